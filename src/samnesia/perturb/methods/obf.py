"""Perturbations that do not ascend the loss: output-bias forgetting and noise."""

from __future__ import annotations

from typing import Literal, Unpack

import torch
from torch import nn

from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.flow.options import FlowOptions, StepOptions
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.parts.ascents import GradientAscent, RandomAscent
from samnesia.perturb.parts.numbers import integer
from samnesia.perturb.parts.objectives import Criterion, OutputBiasForgetting
from samnesia.perturb.parts.schedules import Radius


def obf(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius,
    loss: Criterion,
    *,
    threshold: float | None = None,
    gamma: float = 1.0,
    link: Literal["softmax", "sigmoid"] = "softmax",
    ignore_index: int = -100,
    steps: int = 1,
    **options: Unpack[FlowOptions],
) -> PerturbedGradient:
    """Output-bias forgetting (Vani et al., ICML 2024, arXiv 2406.06700) inside SAM.

    The perturbation ascends `OutputBiasForgetting` in place of the loss, so each pass must compute its loss with
    `p.loss(output, target)`. 1 + `steps` gradient evaluations. The original runs have the sigmoid link and, for ViTs,
    gamma 1; for ResNets gamma 1e-12, which leaves the linear margin. Inside ASAM or GSAM:
    ``asam(…, loss=loss, objective=OutputBiasForgetting())``.

    `steps` > 1 is iterated output-bias forgetting: k ascent steps of ρ/k, each along the objective's gradient where it
    arrived, with the weight of forgetting taken anew from the predictions there. That is an assumption: the paper's
    algorithm A.1 could not be read, and is not in the released code.
    """
    objective = OutputBiasForgetting(threshold=threshold, gamma=gamma, link=link, ignore_index=ignore_index)
    return PerturbedGradient(
        model, optimizer, rho=rho, ascent=GradientAscent(steps=steps), loss=loss, objective=objective, **options
    )


def random_perturbation(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.05,
    *,
    clean_statistics: bool = False,
    steps: int = 1,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """Gaussian noise of length ρ, then the gradient there: the control of Vani et al. (ICML 2024).

    ``e = ρ z / ‖z‖₂``, drawn anew for each micro-batch from (seed, step, micro-batch), without touching the global
    random state. One gradient evaluation; `clean_statistics` adds the study's forward-only pass, in which running
    statistics move (skip its backward where ``p.needs_gradient`` is false).
    """
    if integer(steps) != 1:
        raise ConfigurationError(
            f"cannot take steps={steps!r} along a random perturbation, because it follows no gradient; leave steps at 1"
        )
    return PerturbedGradient(
        model, optimizer, rho=rho, ascent=RandomAscent(clean_statistics=clean_statistics), **options
    )
