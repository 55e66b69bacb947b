"""Ascents for which the size of the gradient matters, not its direction alone.

It is that of the loss as it is: where a backward call scaled it (a `GradScaler`, a micro-batch's share) the gradient is
divided by `point.loss_scale()`. That is known of losses that go through `p.loss`; others count as not scaled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.ascents import SteppedAscent
from samnesia.perturb.parts.numbers import number
from samnesia.perturb.parts.point import Point
from samnesia.perturb.tensors import Direction


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FisherAscent(SteppedAscent):
    """``e = ρ F⁻¹ g / √(gᵀ F⁻¹ g)`` with the diagonal ``F = g² + damping`` (Fisher SAM).

    The steepest direction of the ball ``eᵀ F e ≤ ρ²``, in place of the method's own ball. Without damping every entry
    would move alike, by ``ρ / (√n g)``, farthest where the gradient is smallest.
    """

    measures: ClassVar[bool] = True

    damping: float = 0.01

    def __post_init__(self) -> None:
        SteppedAscent.__post_init__(self)
        if not 0.0 < number(self.damping) < float("inf"):
            raise ConfigurationError(
                f"cannot divide by the Fisher information with damping={self.damping!r}, because g² alone is zero for "
                "some entries; choose a finite number > 0"
            )

    def direction(self, point: Point, gradients: list[Tensor]) -> Direction:
        """``F⁻¹ g / √(gᵀ F⁻¹ g)``."""
        scaled_by = point.loss_scale(unknown=1.0).to(gradients[0])
        # of s g in place of g: F⁻¹ g = (s g) s / ((s g)² + damping s²), and gᵀ F⁻¹ g has no s outside of F
        damping = self.damping * scaled_by**2
        natural = [g.square().add_(damping.to(g)).reciprocal_().mul_(g) for g in gradients]
        length = point.start.dot(gradients, natural).sqrt()
        return Direction(natural, scaled_by.to(length) / (length + point.epsilon))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class IncrementAscent(SteppedAscent):
    """The ball's steepest direction, but no farther than the linearized loss rises by `sigma` (LE-SAM).

    For L2 the radius is ``min(σ / ‖g‖₂, ρ)``; `sigma` is a number or a callable of the step. In other balls ‖g‖₂ stands
    for the slope along the steepest direction.
    """

    measures: ClassVar[bool] = True

    sigma: float | Callable[[int], float]

    def __post_init__(self) -> None:
        SteppedAscent.__post_init__(self)
        if not callable(self.sigma):
            _check_sigma(self.sigma)

    def direction(self, point: Point, gradients: list[Tensor]) -> Direction:
        """The steepest direction, for each weight times ``min(1, σ / (slope · its radius))``."""
        sigma = self.sigma(point.step) if callable(self.sigma) else self.sigma
        _check_sigma(sigma)
        steepest = point.ball.steepest(point.start, gradients, point.epsilon)
        slope = point.start.dot(gradients, steepest.tensors) * steepest.factor
        slope = slope / point.loss_scale(unknown=1.0).to(slope)
        tiny = torch.finfo(slope.dtype).tiny  # without a slope or a radius, nothing limits it
        shares = {r: torch.clamp(sigma / (slope * r).clamp_min(tiny), max=1.0) for r in set(point.radii)}
        tensors = [t * shares[r].to(t) for t, r in zip(steepest.tensors, point.radii, strict=True)]
        return Direction(tensors, steepest.factor)


def _check_sigma(sigma: float) -> None:
    if not 0.0 <= number(sigma) < float("inf"):
        raise ConfigurationError(
            f"cannot let the loss rise by sigma={sigma!r}, because it limits the radius; choose a finite number >= 0"
        )
