"""Sharpness-aware minimization, and its base line without a perturbation."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import nn

from samnesia.perturb.flow.options import StepOptions
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.parts.ascents import GradientAscent
from samnesia.perturb.parts.schedules import Radius


def sam(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.05,
    *,
    steps: int = 1,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """Sharpness-aware minimization (Foret et al., ICLR 2021, arXiv 2010.01412, eq. 2-3).

    ``e = ρ g / (‖g‖₂ + epsilon)``, step with ``∇L(w + e)``; with `steps` = k, k ascent steps of ρ/k. 1 + k gradient
    evaluations per step; rho = 0.05 is the paper's default. m-sharpness: open `passes()` once per micro-batch of m.
    """
    return PerturbedGradient(model, optimizer, rho=rho, ascent=GradientAscent(steps=steps), **options)


def unperturbed(
    model: nn.Module, optimizer: torch.optim.Optimizer, **options: Unpack[StepOptions]
) -> PerturbedGradient:
    """The base optimizer through the same flow: one pass per step, the plain gradient."""
    return PerturbedGradient(model, optimizer, rho=0.0, ascent=None, **options)
