"""Ascents that use what earlier steps left: moving averages of gradients, of their size, the optimizer's momentum.

Those that average gradients take one, remember one tensor for each weight (two while a step runs: the old one and the
new), and move in the ball's steepest direction for the vector that they follow. What is remembered is of the loss as it
is: a gradient of a scaled loss is divided by `point.loss_scale()`. With micro-batches each of them counts as one
gradient; on steps where `when` does not fire the average stays as it is.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from samnesia.perturb.parts.ascents import Ascent, GradientAscent
from samnesia.perturb.parts.numbers import integer, number
from samnesia.perturb.parts.point import Need, Point
from samnesia.perturb.tensors import Direction, mix, scale


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
        if not abs(number(self.sigma)) < float("inf"):
            raise ConfigurationError(
                f"cannot subtract sigma={self.sigma!r} times the average gradient, because sigma weights a vector; "
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


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SteepEnough(Ascent):
    """Ascends as `ascent` does, but only where the gradient is large among the last (AE-SAM, Jiang et al., ICLR 2023).

    With s = ‖g‖² of the ascent's first gradient, ``μ ← δ μ + (1 - δ) s`` and then ``σ² ← δ σ² + (1 - δ) (s - μ)²``,
    both from 0. Where ``s < μ + c_t σ`` nothing moves and g is stepped: one gradient evaluation instead of two. c_t
    goes linearly from `lambda_2` at step 0 to `lambda_1` at `total_steps`. All ranks decide alike, on the gradient of
    the batch. Of several micro-batches the first one decides, for all of the step, and it alone enters μ and σ². Waits
    for the device. Under a loss that is scaled but does not go through `p.loss`, s is that of the scaled gradient.
    """

    remembers: ClassVar[bool] = True

    total_steps: int
    delta: float = 0.9
    lambda_1: float = -1.0
    lambda_2: float = 1.0
    ascent: Ascent = GradientAscent()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        if not integer(self.total_steps) >= 1:
            raise ConfigurationError(
                f"cannot move a threshold over total_steps={self.total_steps!r}, because it is the number of steps "
                "after which it has arrived; choose a whole number >= 1"
            )
        if not 0.0 <= number(self.delta) < 1.0:
            raise ConfigurationError(
                f"cannot average squared gradient norms with delta={self.delta!r}, because it is the share that the "
                "average keeps on each step; choose it in [0, 1)"
            )
        if not (abs(number(self.lambda_1)) < float("inf") and abs(number(self.lambda_2)) < float("inf")):
            raise ConfigurationError(
                f"cannot compare a gradient with lambda_1={self.lambda_1!r} and lambda_2={self.lambda_2!r} deviations, "
                "because the threshold has to be a number; choose finite ones"
            )
        if self.ascent.num_gradients < 1:
            raise ConfigurationError(
                f"cannot decide by its gradient whether to follow {self.ascent}, because it takes none; use "
                "GradientAscent"
            )

    @property
    def num_gradients(self) -> int:
        """Those of the ascent, where it is followed."""
        return self.ascent.num_gradients

    def climb(self, point: Point) -> Generator[Need, list[Tensor], None]:
        """One gradient, and then either nothing or what the ascent does."""
        climb = self.ascent.climb(point)
        gradients = yield next(climb)
        if not self._is_steep(point, gradients):
            return
        need = _sent(climb, gradients)
        del gradients  # freed before the next pass
        while need is not None:
            need = _sent(climb, (yield need))

    def _is_steep(self, point: Point, gradients: list[Tensor]) -> bool:
        memory = point.memory
        if int(memory.number(_DECIDED_AT, -1.0)) != point.step:  # the first micro-batch of this step
            steep = self._decided(point, gradients)
            memory.keep_number(_DECIDED, torch.tensor(float(steep), dtype=torch.float64))
            memory.keep_number(_DECIDED_AT, torch.tensor(point.step, dtype=torch.float64))
        return bool(memory.number(_DECIDED))

    def _decided(self, point: Point, gradients: list[Tensor]) -> bool:
        memory, keep = point.memory, self.delta
        square = float(point.start.norm(gradients) / point.loss_scale(unknown=1.0)) ** 2
        mean = keep * float(memory.number(_MEAN)) + (1.0 - keep) * square
        variance = keep * float(memory.number(_VARIANCE)) + (1.0 - keep) * (square - mean) ** 2
        memory.keep_number(_MEAN, torch.tensor(mean, dtype=torch.float64))
        memory.keep_number(_VARIANCE, torch.tensor(variance, dtype=torch.float64))
        share = min(1.0, point.step / self.total_steps)
        threshold = self.lambda_2 + (self.lambda_1 - self.lambda_2) * share
        return square >= mean + threshold * math.sqrt(variance)


_MEAN, _VARIANCE = "steep_enough.mean", "steep_enough.variance"
_DECIDED, _DECIDED_AT = "steep_enough.decision", "steep_enough.step"


def _sent(climb: Generator[Need, list[Tensor], None], gradients: list[Tensor]) -> Need | None:
    try:
        return climb.send(gradients)
    except StopIteration:
        return None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MomentumAscent(Ascent):
    """``e = -ρ v / (‖v‖ + epsilon)``, v the base optimizer's momentum buffer (Momentum-SAM, Becker et al., 2401.12033).

    v, in the ball, is SGD's `momentum_buffer` or Adam's `exp_avg` from before the step, which point uphill: the
    gradient is taken *ahead*, where the optimizer is going. No gradient is taken on the way; on the optimizer's first
    step there is no v, and no move.
    """

    @property
    def num_gradients(self) -> int:
        """None."""
        return 0

    def climb(self, point: Point) -> Generator[Need, list[Tensor], None]:
        """One move, without a pass; raises UnsupportedError for an optimizer that has stepped and keeps no momentum."""
        momentum = point.optimizer_state("momentum_buffer", "exp_avg")
        if momentum is None:
            if point.step:
                raise UnsupportedError(
                    "cannot perturb along the momentum of an optimizer that keeps neither a 'momentum_buffer' nor an "
                    "'exp_avg' after its first step, because there is no other direction without a gradient; use SGD "
                    "with momentum > 0, Adam or AdamW"
                )
            return
        ahead = point.ball.steepest(point.start, momentum, point.epsilon)
        point.move(Direction(ahead.tensors, -ahead.factor, ahead.norm))
        yield from ()


def _check_share(name: str, value: float, doing: str, *, open_below: bool = False, open_above: bool = False) -> None:
    inside = 0.0 <= number(value) <= 1.0 and not (open_below and value == 0.0) and not (open_above and value == 1.0)
    if not inside:
        interval = f"{'(' if open_below else '['}0, 1{')' if open_above else ']'}"
        raise ConfigurationError(
            f"cannot {doing} {name}={value!r}, because it is the share of one part in an average that goes on; choose "
            f"it in {interval}"
        )
