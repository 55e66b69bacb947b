"""The norm of the gradient as a penalty."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import nn

from samnesia.perturb.flow.options import StepOptions
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.parts.ascents import GradientAscent
from samnesia.perturb.parts.rules import Mixture
from samnesia.perturb.parts.schedules import Radius


def gradient_norm_penalty(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.05,
    *,
    share: float = 0.8,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """Gradient-norm penalty (Zhao et al., ICML 2022, arXiv 2202.03599; formula unverified): SAM is its share 1.

    Minimizes ``L + λ ‖∇L‖₂`` with λ = share · rho: the gradient of the norm, ``H g / ‖g‖``, is taken by a finite
    difference of length rho, which makes the step ``(1 - share) g + share g_p`` with SAM's g_p. Two gradient
    evaluations and one copy of the gradient more than SAM. Both defaults are unverified. A baseline: what it gains SAM
    has to beat.
    """
    return PerturbedGradient(model, optimizer, rho=rho, ascent=GradientAscent(), rule=Mixture(share=share), **options)
