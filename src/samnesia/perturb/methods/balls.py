"""SAM in balls other than the Euclidean one."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import nn

from samnesia.perturb.flow.options import StepOptions
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.parts.ascents import GradientAscent
from samnesia.perturb.parts.ball import Ball, Linf
from samnesia.perturb.parts.layerwise import LargestUnit, UnitScaling
from samnesia.perturb.parts.schedules import Radius


def filter_sam(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.025,
    *,
    steps: int = 1,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """SAM in the filter ball: every output unit moves by the same share of its own norm (our rule, no paper's).

    ``e_f = ρ ‖W_f‖₂ g_f / ‖g_f‖₂`` (epsilon beside the lower norm left out) for every slice f along the first dimension
    of a tensor with two or more (a filter of a convolution, a neuron's weights); a tensor with fewer is one unit. A
    unit of zeros does not move. 1 + `steps` gradient evaluations. rho is that of `layer_sam`, whose tensors are finer
    cut here.
    """
    ball = Ball(LargestUnit(), UnitScaling())
    return PerturbedGradient(model, optimizer, rho=rho, ball=ball, ascent=GradientAscent(steps=steps), **options)


def linf_sam(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 5e-4,
    *,
    steps: int = 1,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """SAM in the L∞ ball: ``e = ρ sign(g)`` (Foret et al., ICLR 2021, eq. 2 with p = ∞; they found p = 2 better).

    Every weight moves by rho, so that the perturbation is ``ρ √n`` long for n weights. 1 + `steps` gradient
    evaluations. rho is ours: as long as SAM's 0.05 for 10,000 weights; take it smaller for larger models.
    """
    ball, ascent = Ball(Linf()), GradientAscent(steps=steps)
    return PerturbedGradient(model, optimizer, rho=rho, ball=ball, ascent=ascent, **options)
