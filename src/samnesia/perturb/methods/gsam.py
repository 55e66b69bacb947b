"""Surrogate-gap guided sharpness-aware minimization."""

from __future__ import annotations

from typing import Literal, Unpack

import torch
from torch import nn

from samnesia.perturb.flow.options import StepOptions
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.parts.ascents import GradientAscent
from samnesia.perturb.parts.rules import SurrogateGap
from samnesia.perturb.parts.schedules import Radius


def gsam(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.05,
    *,
    alpha: float = 0.4,
    backup: Literal["raw", "normalized"] = "raw",
    steps: int = 1,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """Surrogate-gap guided SAM (Zhuang et al., ICLR 2022, arXiv 2203.08065, algorithm 1).

    ``g_p - α (g - (⟨g, g_p⟩ / ‖g_p‖²) g_p)`` with SAM's perturbed gradient g_p. 1 + `steps` gradient evaluations and
    one more copy of the gradient than SAM. The paper lets rho follow the learning rate (`proportional_to_lr`) and has
    alpha 0.4 for ViT-S/32, 0.01 for ResNet-50. Under `sync="rank"` each rank decomposes its own gradients before they
    are averaged, as the authors do; under "batch" the averaged ones are decomposed, which is another algorithm.
    """
    rule, ascent = SurrogateGap(alpha=alpha, backup=backup), GradientAscent(steps=steps)
    return PerturbedGradient(model, optimizer, rho=rho, ascent=ascent, rule=rule, **options)
