"""Adaptive sharpness-aware minimization, as published and as the original study's runs had it."""

from __future__ import annotations

from typing import Literal, Unpack

import torch
from torch import nn

from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.flow.options import StepOptions
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.parts.ascents import AfterNormAscent, BeforeNormAscent, GradientAscent
from samnesia.perturb.parts.ball import Ball, ElementScaling, FilterScaling, LayerScaling
from samnesia.perturb.parts.schedules import Radius

_SCALINGS: dict[str, type[ElementScaling | FilterScaling | LayerScaling]] = {
    "element": ElementScaling,
    "filter": FilterScaling,
    "layer": LayerScaling,
}


def asam(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.5,
    *,
    eta: float = 0.01,
    scaling: Literal["element", "filter", "layer"] = "element",
    scaled: Literal["weight", "all"] = "weight",
    steps: int = 1,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """Adaptive SAM (Kwon et al., ICML 2021, arXiv 2102.11600, eq. 5-7).

    ``e = ρ T_w² g / (‖T_w g‖₂ + epsilon)`` with ``T_w = |w| + η`` element-wise (or per filter, per layer) on parameters
    whose name contains "weight", 1 elsewhere. 1 + `steps` gradient evaluations. Defaults are the paper's: rho 0.5 on
    CIFAR-10, 1.0 on CIFAR-100 and ImageNet, eta 0.01. A radius does not carry over to other forms of "ASAM": most
    copies scale biases too and leave η out (`scaled="all", eta=0`, with rho about 2).
    """
    if not isinstance(scaling, str) or scaling not in _SCALINGS:
        raise ConfigurationError(
            f"cannot scale by {scaling!r}, because the operators are {sorted(_SCALINGS)}; choose one of them"
        )
    ball = Ball(scaling=_SCALINGS[scaling](eta=eta, scaled=scaled))
    return PerturbedGradient(model, optimizer, rho=rho, ball=ball, ascent=GradientAscent(steps=steps), **options)


def asam_after_norm(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 6.0,
    *,
    steps: int = 1,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """``e = ρ |w| g / ‖g‖₂``: "ASAM" as in the ViT runs of Vani et al. (ICML 2024), which have rho 6.0.

    The magnitude enters once, after the norm; see `AfterNormAscent` for why this is another method than `asam`.
    """
    return PerturbedGradient(model, optimizer, rho=rho, ascent=AfterNormAscent(steps=steps), **options)


def asam_before_norm(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.8,
    *,
    steps: int = 1,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """``e = ρ |w| g / ‖|w| g‖₂``: "ASAM" as in the ResNet-50 runs of Vani et al. (ICML 2024), which have rho 0.8."""
    return PerturbedGradient(model, optimizer, rho=rho, ascent=BeforeNormAscent(steps=steps), **options)
