"""Ascents: how a perturbation is found.

An ascent is a generator. It yields what it needs of the next pass (`Need`), receives the gradients of that pass as a
list parallel to ``point.weights``, and moves the weights with ``point.move(direction)``. It never calls the model.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.ball import Ball
from samnesia.perturb.parts.layerwise import unit_norms
from samnesia.perturb.parts.numbers import integer
from samnesia.perturb.parts.point import Need, Point
from samnesia.perturb.tensors import Direction


class Ascent(ABC):
    """A way to find the perturbation.

    `remembers`: whether it uses `point.memory`, so that a step depends on those before it. `measures`: whether the size
    of the gradient matters to it, so that it asks for `point.loss_scale()`.
    """

    remembers: ClassVar[bool] = False
    measures: ClassVar[bool] = False

    @property
    @abstractmethod
    def num_gradients(self) -> int:
        """How many gradients it takes on the way up."""

    @abstractmethod
    def climb(self, point: Point) -> Generator[Need, list[Tensor], None]:
        """Yield needs, receive gradients, move. Gradients are not to be written to: parameters may share them.

        An ascent that ends without a move after its last gradient has not left the point of that gradient, which
        becomes the step's: no other pass follows.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class SteppedAscent(Ascent):
    """`steps` moves of ``radius / steps``, each along a direction made of the gradient taken where it begins."""

    steps: int = 1

    def __post_init__(self) -> None:
        if not integer(self.steps) >= 1:
            raise ConfigurationError(
                f"cannot ascend in steps={self.steps!r}, because each step is one gradient and one is needed; choose a "
                "whole number >= 1"
            )

    @property
    def num_gradients(self) -> int:
        """One per step."""
        return self.steps

    def climb(self, point: Point) -> Generator[Need, list[Tensor], None]:
        """One gradient pass and one move per step."""
        for _ in range(self.steps):
            # no name for the gradients: they are freed before the next pass
            point.move(self.direction(point, (yield Need.GRADIENT)), 1.0 / self.steps)

    @abstractmethod
    def direction(self, point: Point, gradients: list[Tensor]) -> Direction:
        """The move for a radius of 1."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class GradientAscent(SteppedAscent):
    """`steps` steps of ``radius / steps`` in the ball's steepest direction (Foret et al. 2021, eq. 2 for one step).

    The gradient is taken anew where each step arrived; the scaling T stays that of the unperturbed weights, so that the
    sum of the steps lies in the ball.
    """

    def direction(self, point: Point, gradients: list[Tensor]) -> Direction:
        """The ball's steepest direction."""
        return point.ball.steepest(point.start, gradients, point.epsilon)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AfterNormAscent(SteppedAscent):
    """``e = ρ |w| g / (‖g‖₂ + epsilon)``: the "adaptive" form of the original study's ViT runs.

    The magnitude enters once, after the norm, on all parameters. It is no ball: ``‖e / |w|‖ = ρ`` holds, but e is not
    the steepest perturbation of that size, and the form is not equivariant under rescaling. Use `ElementScaling` for
    ASAM as published (Kwon et al. 2021).
    """

    def direction(self, point: Point, gradients: list[Tensor]) -> Direction:
        """``|w| g / ‖g‖``."""
        steepest = Ball().steepest(point.start, gradients, point.epsilon)
        tensors = [w.abs().mul_(g) for w, g in zip(point.start.tensors, gradients, strict=True)]
        return Direction(tensors, steepest.factor)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BeforeNormAscent(SteppedAscent):
    """``e = ρ |w| g / (‖|w| g‖₂ + epsilon)``: the "adaptive" form of the original study's ResNet-50 runs.

    The magnitude enters once, before the norm, on all parameters, so that ``‖e‖₂ = ρ``. It is no ball either.
    """

    def direction(self, point: Point, gradients: list[Tensor]) -> Direction:
        """``|w| g / ‖|w| g‖``."""
        weighted = [w.abs().mul_(g) for w, g in zip(point.start.tensors, gradients, strict=True)]
        return Ball().steepest(point.start, weighted, point.epsilon)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RandomAscent(Ascent):
    """A random direction of size ρ in the ball; for L2 without scaling, Gaussian noise normalized to length ρ.

    With `clean_statistics` a forward-only pass at the unperturbed weights comes first, so that running statistics
    belong to them as they do under SAM (about 1.3 times the cost of a plain step instead of 1).
    """

    clean_statistics: bool = False

    @property
    def num_gradients(self) -> int:
        """None."""
        return 0

    def climb(self, point: Point) -> Generator[Need, list[Tensor], None]:
        """No gradient pass; at most one forward."""
        if self.clean_statistics:
            yield Need.FORWARD
        point.move(point.ball.random(point.start, point.generator))


@final
@dataclass(frozen=True, slots=True)
class UnitNoiseAscent(Ascent):
    """Gaussian noise on every unit f, of standard deviation ``ρ ‖f‖₂ / √(entries of f)``, after the gradient (RWP).

    Its expected length is about ``ρ ‖f‖₂`` in each unit; it is not normalized, and no ball bounds it. The clean
    gradient is taken for the rule, and moves nothing.
    """

    @property
    def num_gradients(self) -> int:
        """One, at the unperturbed weights."""
        return 1

    def climb(self, point: Point) -> Generator[Need, list[Tensor], None]:
        """One gradient pass, one move."""
        yield Need.GRADIENT
        noise = point.start.gaussian(point.generator)
        norms = unit_norms(point.start, point.start.tensors)
        entries = [math.prod(p.shape[1:]) if p.ndim > 1 else p.numel() for p in point.start.parameters]
        for values, size, count in zip(noise, norms, entries, strict=True):
            values.mul_(size / math.sqrt(max(1, count)))
        point.move(noise)
