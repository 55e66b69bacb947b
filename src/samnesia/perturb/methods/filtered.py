"""SAM along filtered gradients, or no farther than the loss is to rise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import torch
from torch import nn

from samnesia.perturb.flow.options import StepOptions
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.parts.filtered import CentralizedAscent, CentralizedGradient, OutlierAscent
from samnesia.perturb.parts.schedules import Radius
from samnesia.perturb.parts.sized import IncrementAscent


def gcsam(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.05,
    *,
    steps: int = 1,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """SAM with gradient centralization, GCSAM (2025).

    The mean over all dimensions but the first is subtracted from each gradient of a tensor with two or more: from the
    ascent's before the joint norm, and from the one that is stepped. On steps where `when` does not fire the gradient
    is stepped as it is. 1 + `steps` gradient evaluations. rho = 0.05 is SAM's default.
    """
    ascent, rule = CentralizedAscent(steps=steps), CentralizedGradient()
    return PerturbedGradient(model, optimizer, rho=rho, ascent=ascent, rule=rule, **options)


def zsharp(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.05,
    *,
    share: float = 0.05,
    steps: int = 1,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """ZSharp (OPT 2025): SAM along the outliers of each layer's gradient.

    Of each tensor's gradient the top `share` by ``|z|``, z its z-score in the tensor, is kept, the rest 0; then
    ``e = ρ d / (‖d‖₂ + epsilon)`` with the norm over all tensors. (The released code takes the norm per layer and does
    not filter one-dimensional parameters.) 1 + `steps` gradient evaluations, and the quantile of each tensor. The share
    is the paper's, rho SAM's default.
    """
    ascent = OutlierAscent(share=share, steps=steps)
    return PerturbedGradient(model, optimizer, rho=rho, ascent=ascent, **options)


def le_sam(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.5,
    *,
    sigma: float | Callable[[int], float] = 0.35,
    steps: int = 1,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """LE-SAM (ICML 2026, arXiv 2605.10183): a fixed rise of the linearized loss in place of a fixed radius.

    ``e = ρ_t g / (‖g‖₂ + epsilon)`` with ``ρ_t = min(σ / ‖g‖₂, ρ)``: `rho` is the largest radius, `sigma` the rise, a
    number or a callable of the step (the authors take it to 0 at the end, along a cosine). 1 + `steps` gradient
    evaluations. sigma 0.35 is an example's, rho ours. sigma has the unit of the loss, so that a scaled loss must go
    through `p.loss`, where the scale is known.
    """
    ascent = IncrementAscent(sigma=sigma, steps=steps)
    return PerturbedGradient(model, optimizer, rho=rho, ascent=ascent, **options)
