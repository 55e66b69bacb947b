"""Ascents that follow what earlier steps left: moving averages of the gradient.

Both take one gradient, remember one tensor for each weight (two while a step runs: the old one and the new), and move
in the ball's steepest direction for the vector that they follow. What is remembered is of the loss as it is: a gradient
of a scaled loss is divided by `point.loss_scale()`, or taken as it is where the loss did not go through `p.loss`. With
micro-batches each of them counts as one gradient; on steps where `when` does not fire the average stays as it is.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.ascents import Ascent
from samnesia.perturb.parts.point import Need, Point
from samnesia.perturb.tensors import mix, scale


class _Averaging(Ascent):
    """One move along a vector made of the gradient and of what is remembered."""

    remembers: ClassVar[bool] = True

    @property
    def num_gradients(self) -> int:
        """One."""
        return 1

    def climb(self, point: Point) -> Generator[Need, list[Tensor], None]:
        """One gradient pass, one move."""
        followed = self.follow(point, (yield Need.GRADIENT))
        point.move(point.ball.steepest(point.start, followed, point.epsilon))

    @abstractmethod
    def follow(self, point: Point, gradients: list[Tensor]) -> list[Tensor]:
        """The vector to follow in place of the gradient; what is remembered is brought up to date."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualAscent(_Averaging):
    """What is special to this batch: ``d = g - σ m``, then ``m ← decay · m + (1 - decay) g`` (Friendly SAM).

    The average m of gradients begins with the first one, whose step is SAM's, and is subtracted before it takes up the
    present gradient (as in the authors' code, nblt/F-SAM).
    """

    sigma: float = 1.0
    decay: float = 0.9

    def __post_init__(self) -> None:
        _check_share("decay", self.decay, "average gradients with", open_above=True)
        if not abs(self.sigma) < float("inf"):
            raise ConfigurationError(
                f"cannot subtract sigma={self.sigma} times the average gradient, because sigma weights a vector; "
                "choose a finite number"
            )

    def follow(self, point: Point, gradients: list[Tensor]) -> list[Tensor]:
        """``g - σ m``."""
        scaled_by = point.loss_scale(unknown=1.0).to(gradients[0])
        average = point.memory.tensors("residual.average", point.start)
        if average is None:
            point.memory.keep("residual.average", point.start, scale(gradients, 1.0 / scaled_by))
            return gradients
        weight = (1.0 - self.decay) / scaled_by
        kept = mix(average, weight.new_tensor(self.decay), gradients, weight)
        point.memory.keep("residual.average", point.start, kept)
        return mix(gradients, weight.new_tensor(1.0), average, -self.sigma * scaled_by)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AveragedAscent(_Averaging):
    """The moving average of gradients itself: ``d ← (1 - θ) d + θ g``, at first g (VaSSO)."""

    theta: float = 0.4

    def __post_init__(self) -> None:
        _check_share("theta", self.theta, "follow an average of gradients with", open_below=True)

    def follow(self, point: Point, gradients: list[Tensor]) -> list[Tensor]:
        """The average, this gradient included."""
        scaled_by = point.loss_scale(unknown=1.0).to(gradients[0])
        average = point.memory.tensors("averaged.direction", point.start)
        if average is None:
            kept = scale(gradients, 1.0 / scaled_by)
        else:
            kept = mix(average, scaled_by.new_tensor(1.0 - self.theta), gradients, self.theta / scaled_by)
        point.memory.keep("averaged.direction", point.start, kept)
        return kept


def _check_share(name: str, value: float, doing: str, *, open_below: bool = False, open_above: bool = False) -> None:
    inside = 0.0 <= value <= 1.0 and not (open_below and value == 0.0) and not (open_above and value == 1.0)
    if not inside:
        interval = f"{'(' if open_below else '['}0, 1{')' if open_above else ']'}"
        raise ConfigurationError(
            f"cannot {doing} {name}={value}, because it is the share of one part in an average that goes on; choose it "
            f"in {interval}"
        )
