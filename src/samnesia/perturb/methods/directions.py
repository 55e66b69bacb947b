"""SAM along an average of gradients, or along what a gradient has beyond its average."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import nn

from samnesia.perturb.flow.options import StepOptions
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.parts.remembering import AveragedAscent, ResidualAscent
from samnesia.perturb.parts.schedules import Radius


def friendly_sam(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.1,
    *,
    sigma: float = 1.0,
    decay: float = 0.9,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """Friendly SAM, "F-SAM" (Li et al., CVPR 2024).

    ``e = ρ d / (‖d‖₂ + epsilon)`` with ``d = g - σ m`` and ``m ← decay · m + (1 - decay) g`` after it: the perturbation
    follows what is special to the batch, without the direction that all batches share. m begins with the first
    gradient, whose step is SAM's. Two gradient evaluations and one tensor per weight more than SAM, two while a step
    runs. sigma 1 and decay 0.9 are the authors' (their training script has 0.95); rho 0.1 is unverified. Try it where
    SAM itself helps.
    """
    ascent = ResidualAscent(sigma=sigma, decay=decay)
    return PerturbedGradient(model, optimizer, rho=rho, ascent=ascent, **options)


def vasso(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.05,
    *,
    theta: float = 0.4,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """VaSSO, variance-suppressed SAM (Li and Giannakis, NeurIPS 2023).

    ``e = ρ d / (‖d‖₂ + epsilon)`` with ``d ← (1 - θ) d + θ g``, at first g: the perturbation follows an average of
    gradients, which is less noisy than the batch's own; with theta 1 it is SAM. Two gradient evaluations and one tensor
    per weight more than SAM, two while a step runs. Both defaults are unverified. For small or noisy batches.
    """
    return PerturbedGradient(model, optimizer, rho=rho, ascent=AveragedAscent(theta=theta), **options)
