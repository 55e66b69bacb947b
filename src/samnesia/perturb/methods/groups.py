"""Perturbations for some classes of a long-tailed problem: the loss of the others is trained at the weights."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import nn

from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.flow.options import FlowOptions
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.parts.ascents import GradientAscent
from samnesia.perturb.parts.class_weights import ClassWeighted
from samnesia.perturb.parts.numbers import integer, number
from samnesia.perturb.parts.objectives import Criterion
from samnesia.perturb.parts.schedules import Radius
from samnesia.perturb.parts.selection import PerSample


def imbsam(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.05,
    *,
    tail: Collection[int],
    num_classes: int,
    loss: Criterion = F.cross_entropy,
    per_sample: PerSample | None = None,
    **options: Unpack[FlowOptions],
) -> PerturbedGradient:
    """Class-grouped SAM, ImbSAM (ICCV 2023): SAM for the tail classes alone.

    ``∇L_head(w) + ∇L_tail(w + e)``, ``e = ρ ∇L_tail / ‖∇L_tail‖₂``, L_head and L_tail being the sums of the samples'
    losses over the size of the whole batch (our reading). With all classes in the tail it is SAM, with none the base
    optimizer. Three gradient evaluations; each pass must compute its loss with ``p.loss(output, target)``. rho is SAM's
    default. For long-tailed data, where SAM's perturbation is that of the many.

    Args:
        tail: class indices. The paper splits by the classes' shares.
        num_classes: how many classes the model has.
        loss: the training loss; a mean over the samples.
        per_sample: the losses whose mean `loss` is; None asks `loss` for them with ``reduction="none"``.
    """
    if not integer(num_classes) >= 1:
        raise ConfigurationError(
            f"cannot perturb for some of num_classes={num_classes!r}, because that is how many classes the model has; "
            "give a whole number >= 1"
        )
    tail = _members("tail", tail, example="tail=[7, 8, 9]")
    if any(isinstance(k, bool) or not isinstance(k, Integral) for k in tail):
        raise ConfigurationError(
            f"cannot perturb for the classes {tail}, because the tail names classes by their indices; give whole "
            "numbers, as in tail=[7, 8, 9]"
        )
    strange = sorted(set(tail) - set(range(num_classes)))
    if strange:
        raise ConfigurationError(
            f"cannot perturb for the classes {strange}, because there are num_classes={num_classes}, counted from 0; "
            "give indices of classes"
        )
    return _with_remainder(
        model, optimizer, rho, [0.0 if k in tail else 1.0 for k in range(num_classes)], loss, per_sample, **options
    )


def focal_sam(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.05,
    *,
    class_shares: Sequence[float],
    gamma: float = 1.0,
    share: float = 1.0,
    loss: Criterion = F.cross_entropy,
    per_sample: PerSample | None = None,
    **options: Unpack[FlowOptions],
) -> PerturbedGradient:
    """Focal-SAM (ICML 2025): the rarer a class, the more of its loss is perturbed.

    ``λ ∇L^γ(w + e) + ∇(L - λ L^γ)(w)``, ``e = ρ ∇L^γ / ‖∇L^γ‖₂``, ``L^γ = Σ_i (1 - π_i)^γ L_i / N`` with π_i the share
    of sample i's class (that L and L^γ are divided by the size of the batch is our reading). SAM for gamma 0 and λ 1.
    Three gradient evaluations; each pass must compute its loss with ``p.loss(output, target)``. rho is SAM's default,
    gamma = 1 and λ = 1 are ours.

    Args:
        class_shares: π of each class, or the number of its training samples: they are divided by their sum.
        gamma: γ >= 0, how much frequent classes are spared.
        share: λ > 0.
        loss: the training loss; a mean over the samples.
        per_sample: the losses whose mean `loss` is; None asks `loss` for them with ``reduction="none"``.
    """
    shares = _members("class_shares", class_shares, example="class_shares=[50, 30, 20]")
    if not shares or not all(isinstance(s, Real) and 0.0 <= float(s) < float("inf") for s in shares) or not sum(shares):
        raise ConfigurationError(
            f"cannot weigh classes by class_shares={class_shares}, because they are shares of the training samples; "
            "give one number >= 0 for every class, not all of them 0"
        )
    if not 0.0 <= number(gamma) < float("inf") or not 0.0 < number(share) < float("inf"):
        raise ConfigurationError(
            f"cannot perturb a part of the loss with gamma={gamma!r} and share={share!r}, because that part has to "
            "grow with a class's rarity and to be ascended; choose gamma >= 0 and share > 0"
        )
    total = sum(shares)
    remaining = [1.0 - share * (1.0 - part / total) ** gamma for part in shares]
    return _with_remainder(model, optimizer, rho, remaining, loss, per_sample, **options)


def _members(name: str, values: Any, *, example: str) -> list[Any]:
    """What stands in a collection, a tensor or an array among them; refuses a single value."""
    listed = values.tolist() if hasattr(values, "tolist") else values
    if not isinstance(listed, Collection) or isinstance(listed, str | bytes | Mapping):
        raise ConfigurationError(
            f"cannot take {name}={values!r}, because it stands for several classes; give a list, as in {example}"
        )
    return list(listed)


def _with_remainder(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius,
    remaining: Sequence[float],
    loss: Criterion,
    per_sample: PerSample | None,
    **options: Unpack[FlowOptions],
) -> PerturbedGradient:
    for name, value in (("loss", loss), ("per_sample", per_sample or loss)):
        if not callable(value):
            raise ConfigurationError(
                f"cannot take {name}={value!r}, because it must be a callable (output, target) -> losses; write "
                f"{name}=F.cross_entropy, say"
            )
    if per_sample is None:
        if "reduction" not in inspect.signature(loss).parameters:
            raise ConfigurationError(
                f"cannot tell the samples' losses from {loss}, because it takes no reduction; give them as per_sample="
            )
        per_sample = partial(loss, **{"reduction": "none"})
    remainder = ClassWeighted(tuple(remaining), per_sample)
    return PerturbedGradient(
        model, optimizer, rho=rho, ascent=GradientAscent(), loss=loss, remainder=remainder, **options
    )
