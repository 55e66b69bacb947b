"""Gradients that are filtered tensor by tensor before they are followed: centralized, or left with their outliers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.ascents import SteppedAscent
from samnesia.perturb.parts.numbers import number
from samnesia.perturb.parts.point import Point
from samnesia.perturb.parts.rules import Rule
from samnesia.perturb.tensors import Direction, Weights, at_least, whole


def centralized(weights: Weights, gradients: Sequence[Tensor]) -> list[Tensor]:
    """Each gradient minus its mean over all dimensions but the first; those with fewer than two as they are.

    In memory of their own. Of sharded tensors the mean is that over all ranks.
    """
    return [g - _mean(weights, index, g) for index, g in enumerate(gradients)]


def _mean(weights: Weights, index: int, gradient: Tensor) -> Tensor | float:
    shape = weights.parameters[index].shape
    if len(shape) < 2:
        return 0.0
    sums = gradient.sum(dim=tuple(range(1, len(shape))), keepdim=True)
    return weights.reduce_tensor(index, sums, kept_dimension=0) / math.prod(shape[1:])


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CentralizedAscent(SteppedAscent):
    """Along gradients without their mean over all dimensions but the first, taken before the joint norm (GCSAM)."""

    def direction(self, point: Point, gradients: list[Tensor]) -> Direction:
        """The ball's steepest direction for the centralized gradients."""
        return point.ball.steepest(point.start, centralized(point.start, gradients), point.epsilon)


@final
@dataclass(frozen=True, slots=True)
class CentralizedGradient(Rule):
    """The perturbed gradient without its mean over all dimensions but the first (GCSAM)."""

    needs_clean: ClassVar[bool] = False

    def combine(self, point: Point, clean: Sequence[Tensor], perturbed: Sequence[Tensor]) -> list[Tensor]:
        """The perturbed gradients, centralized."""
        return centralized(point.start, perturbed)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class OutlierAscent(SteppedAscent):
    """Along the outliers of each tensor's gradient: the top `share` of ``|z| = |g - mean| / deviation`` (ZSharp).

    Kept is what reaches the (1 - share) quantile of |z|, linearly interpolated; the rest is 0, and the norm that
    follows is over all tensors. A sharded tensor is put together for its quantile, one tensor at a time.
    """

    share: float = 0.05

    def __post_init__(self) -> None:
        SteppedAscent.__post_init__(self)
        if not 0.0 < number(self.share) <= 1.0:
            raise ConfigurationError(
                f"cannot follow the share={self.share!r} of the gradient's outliers, because at least one entry has to "
                "be left and at most all are there; choose it in (0, 1]"
            )

    def direction(self, point: Point, gradients: list[Tensor]) -> Direction:
        """The ball's steepest direction for the outliers."""
        parameters = point.start.parameters
        # a product, so that what is not finite stays so
        followed = [g * self._kept(g, p) for g, p in zip(gradients, parameters, strict=True)]
        return point.ball.steepest(point.start, followed, point.epsilon)

    def _kept(self, gradient: Tensor, parameter: Tensor) -> Tensor:
        """Whether each entry is an outlier: the deviation is the same for all, so that |g - mean| decides."""
        full = whole(gradient, parameter)
        if not full.numel():
            return gradient == gradient
        mean = full.mean()
        # the interpolated quantile lies between two entries; the upper one is the least that reaches it
        rank = at_least(1.0 - self.share, full.numel() - 1)
        threshold = (full - mean).abs().flatten().kthvalue(rank + 1).values
        return (gradient - mean).abs() >= threshold
