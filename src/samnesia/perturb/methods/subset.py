"""SAM of some parameters only: those of normalization layers."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Unpack

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.flow.options import StepOptions
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.modules import parameter_name
from samnesia.perturb.parts.ascents import GradientAscent
from samnesia.perturb.parts.ball import Ball, ElementScaling, Unscaled
from samnesia.perturb.parts.schedules import Radius
from samnesia.perturb.parts.subset import Only


def sam_on(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.5,
    *,
    eta: float | None = None,
    names: Collection[str] | None = None,
    steps: int = 1,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """SAM-ON (Müller et al., NeurIPS 2023): SAM that perturbs normalization layers only.

    ``e = ρ g / (‖g‖₂ + epsilon)`` on their weights and biases, 0 elsewhere, with the norm over them alone; with `eta`,
    element-wise ASAM on them, ``e = ρ T² g / ‖T g‖₂`` with ``T = |w| + eta`` on both. 1 + `steps` gradient evaluations:
    backward passes, and the copy of the weights, are those of all of them, as in the authors' code. It needs a larger
    rho than SAM: element-wise 10 in the paper; the default 0.5 is ours.

    Normalization layers are those of ``torch.nn`` and modules whose class is called so (``…Norm``, ``…Norm2d``);
    `names` says instead which parameters are perturbed. Raises ConfigurationError if there are none.
    """
    if names is not None and (isinstance(names, str) or not _all_texts(names)):
        raise ConfigurationError(
            f"cannot perturb only the parameters of names={names!r}, because it stands for several parameters; give a "
            "list of their names"
        )
    chosen = frozenset(_of_normalizations(model) if names is None else map(parameter_name, names))
    known = {parameter_name(name) for name, _ in model.named_parameters()}
    if names is not None and not chosen:
        raise ConfigurationError(
            "cannot perturb only the parameters of names=[], because it names none; give at least one name, or leave "
            "names= out for normalization layers"
        )
    if not chosen or chosen - known:
        raise ConfigurationError(
            f"cannot perturb only {sorted(chosen - known)[:3] or 'normalization layers'}, because the model has no "
            f"such parameters ({min(known)!r} is one it has); give names= of its own"
        )
    ball = Ball(Only(chosen), Unscaled() if eta is None else ElementScaling(eta=eta, scaled="all"))
    return PerturbedGradient(model, optimizer, rho=rho, ball=ball, ascent=GradientAscent(steps=steps), **options)


def _all_texts(names: Any) -> bool:
    return isinstance(names, Collection) and all(isinstance(name, str) for name in names)


def _of_normalizations(model: nn.Module) -> set[str]:
    own = {p for module in model.modules() if _normalizes(module) for p in module.parameters(recurse=False)}
    return {parameter_name(name) for name, parameter in model.named_parameters() if parameter in own}


def _normalizes(module: nn.Module) -> bool:
    known = isinstance(module, _NormBase | nn.LayerNorm | nn.GroupNorm | nn.RMSNorm)
    return known or re.search(r"Norm(\dd)?$", type(module).__name__) is not None
