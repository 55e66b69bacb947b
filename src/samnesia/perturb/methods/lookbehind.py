"""Several ascent and descent steps on one batch, of which the weights keep a part."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import nn

from samnesia.perturb.flow.options import StepOptions
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.parts.ball import Ball
from samnesia.perturb.parts.inner import Aligned, Fixed, InnerSteps
from samnesia.perturb.parts.schedules import Radius


def lookbehind(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.05,
    *,
    k: int = 2,
    alpha: float | None = None,
    ball: Ball | None = None,
    reuse: bool = False,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """Lookbehind-SAM (Mordido et al., ICML 2024, arXiv 2307.16704); with an ASAM ball, Lookbehind-ASAM.

    From the weights φ = φ_0 = φ'_0, for i = 1 … k on the same batch: ``φ'_i = φ'_{i-1} + e_i`` with e_i the steepest
    move of radius ρ at φ'_{i-1} (ASAM: the scaling T of φ'_{i-1}); ``φ_i`` is φ_{i-1} after a step of the base
    optimizer with ∇L(φ'_i). Then ``φ ← φ + a (φ_k - φ)``. Perturbations add up, to k ρ at most; k = a = 1 is SAM.

    It steps the optimizer by itself: loop over `method.stepping()`, or call `method.step(closure)`. For schedules, and
    for `method.steps`, the k steps are one. 2 k gradient evaluations per step, or k + 1 with `reuse`: the gradient of
    step i is that of the next ascent as well, exactly so but for dropout. Running statistics move in the first pass
    only; its authors' move in all.

    Args:
        k: rounds on a batch; the authors' commands use 2, their figures 2, 5 and 10.
        alpha: a, a number in (0, 1]; None is their adaptive form, ``(cos(φ_1 - φ, φ_k - φ) + 1) / 2`` for each tensor
            (`Aligned(per_tensor=False)` in ``InnerSteps`` has one for all weights).
        ball: the geometry of each move; the default is SAM's (the authors use rho = 0.05, and 0.5 for ASAM).
        reuse: take one gradient for a step and for the next ascent.
    """
    interpolation = Aligned() if alpha is None else Fixed(alpha)
    options["inner"] = InnerSteps(steps=k, interpolation=interpolation, reuse=reuse)
    return PerturbedGradient(model, optimizer, rho=rho, ball=ball, **options)
