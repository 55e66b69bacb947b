"""Sharpness as a term with a weight of its own."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import nn

from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.flow.options import StepOptions, put_first
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.parts.ascents import GradientAscent
from samnesia.perturb.parts.numbers import number
from samnesia.perturb.parts.rules import KeptDifference, Mixture
from samnesia.perturb.parts.schedules import Radius
from samnesia.perturb.parts.updates import DifferenceStep


def wsam(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.05,
    *,
    gamma: float = 0.9,
    decoupled: bool = True,
    steps: int = 1,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """Weighted sharpness-aware minimization, WSAM (Yue et al., KDD 2023, arXiv 2305.15817).

    Minimizes ``L + γ/(1-γ) · (L_p - L)``: SAM for gamma 1/2, the base optimizer for 0, more than SAM beyond. Decoupled,
    the base optimizer steps with the clean gradient g, and afterwards ``w ← w - lr · γ/(1-γ) · (g_p - g)``: momentum,
    preconditioning and gradient clipping then act on g alone. Else it steps with ``g + γ/(1-γ) (g_p - g)``.
    1 + `steps` gradient evaluations, and one copy of the gradient more than SAM while the last pass runs, g itself;
    decoupled, the difference waits beside `p.grad` until the optimizer has stepped.

    Decoupled, it cannot be used under a GradScaler, whose scale the difference keeps. With ``p.loss`` that is refused;
    of a loss computed otherwise nobody knows the scale, and the difference would be stepped scaled. The paper has gamma
    0.8 to 0.95; that 0.9 is its default is unverified, rho is SAM's.
    """
    if not 0.0 <= number(gamma) < 1.0:
        raise ConfigurationError(
            f"cannot weigh sharpness with gamma={gamma!r}, because its weight is gamma / (1 - gamma); choose it in "
            "[0, 1)"
        )
    factor, ascent = gamma / (1.0 - gamma), GradientAscent(steps=steps)
    if not decoupled:
        rule = Mixture(share=factor)
        return PerturbedGradient(model, optimizer, rho=rho, ascent=ascent, rule=rule, **options)
    put_first(DifferenceStep(factor=factor), options)
    return PerturbedGradient(model, optimizer, rho=rho, ascent=ascent, rule=KeptDifference(), **options)
