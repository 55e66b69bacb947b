"""SAM whose radius is relative to each layer."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import nn

from samnesia.perturb.flow.options import StepOptions
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.parts.ascents import GradientAscent
from samnesia.perturb.parts.ball import Ball, LayerScaling
from samnesia.perturb.parts.layerwise import LargestLayer
from samnesia.perturb.parts.schedules import Radius


def layer_sam(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.025,
    *,
    steps: int = 1,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """SAM in the layer ball: every tensor moves by the same share of its own norm (this project's rule, no paper's).

    ``e_l = ρ ‖W_l‖₂ g_l / ‖g_l‖₂`` for every parameter tensor l, biases included; one of zeros does not move. How far a
    radius carries over between widths and architectures was measured: docs/widths.md. 1 + `steps` gradient evaluations.
    """
    ball = Ball(LargestLayer(), LayerScaling(eta=0.0, scaled="all"))
    return PerturbedGradient(model, optimizer, rho=rho, ball=ball, ascent=GradientAscent(steps=steps), **options)
