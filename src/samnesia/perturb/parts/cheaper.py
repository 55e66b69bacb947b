"""Parts of methods that cost less than two full passes per step: an old direction, no ascent, or a part of one."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from samnesia.perturb.parts.ascents import Ascent, GradientAscent, SteppedAscent
from samnesia.perturb.parts.point import Need, Point
from samnesia.perturb.parts.rules import Rule
from samnesia.perturb.tensors import Direction, Weights, mix, scale


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ReusedDirection(Rule):
    """What perturbed steps learned serves the steps between them (LookSAM, Liu et al., CVPR 2022).

    A perturbed step steps g_p and keeps ``g_v = g_p - (⟨g, g_p⟩ / ‖g‖²) g``, its part orthogonal to the clean gradient
    g. A step on which `when` does not fire steps ``g + α (‖g‖ / (‖g_v‖ + epsilon)) g_v``; before there is a g_v, g. The
    projection is over all parameters jointly, as in the paper. Of several micro-batches, the sum of the g_v is kept. A
    g_v that is nothing but rounding, as where nothing has moved (`SteepEnough`, a radius of 0), is none: that of an
    earlier step stays.
    """

    remembers: ClassVar[bool] = True
    of_the_loss: ClassVar[bool] = True

    alpha: float = 0.7

    def __post_init__(self) -> None:
        if not abs(self.alpha) < float("inf"):
            raise ConfigurationError(
                f"cannot re-use a direction with alpha={self.alpha}, because alpha is its length next to that of the "
                "gradient; choose a finite number"
            )

    def combine(self, point: Point, clean: Sequence[Tensor], perturbed: Sequence[Tensor]) -> list[Tensor]:
        """g_p; keeps g_v."""
        weights = point.start
        square = weights.norm(clean) ** 2
        along = weights.dot(clean, perturbed) / square.clamp_min(torch.finfo(square.dtype).tiny)
        found = mix(perturbed, torch.ones_like(along), clean, -along)
        # all of it where the gradients are: nothing here waits for the device
        is_one = weights.norm(found) > _ROUNDINGS * torch.finfo(square.dtype).eps * weights.norm(perturbed)
        earlier, kept_at = self._kept(point, weights), point.memory.number(_KEPT_AT, -1.0).to(square)
        if earlier:
            of_this_step = torch.where(is_one, (kept_at == point.step).to(square), 1.0)
            found = mix(found, is_one.to(square), earlier, of_this_step)
        else:
            found = scale(found, is_one.to(square))
        point.memory.keep(_KEPT, weights, found)
        point.memory.keep_number(_KEPT_AT, torch.where(is_one, float(point.step), kept_at))
        return [g.clone() for g in perturbed]

    def between(self, point: Point, gradients: list[Tensor]) -> list[Tensor]:
        """``g + α (‖g‖ / ‖g_v‖) g_v``."""
        weights = point.start
        kept = self._kept(point, weights)
        if not kept:
            return gradients
        size = self.alpha * weights.norm(gradients) / (weights.norm(kept) + point.epsilon)
        return mix(gradients, torch.ones_like(size), kept, size)

    def _kept(self, point: Point, weights: Weights) -> list[Tensor]:
        return point.memory.tensors(_KEPT, weights) or []


_ROUNDINGS = 32.0  # of the longer vector, that a difference of two nearly equal ones may consist of
_KEPT, _KEPT_AT = "reused_direction.direction", "reused_direction.step"


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
        if not isinstance(self.total_steps, int) or self.total_steps < 1:
            raise ConfigurationError(
                f"cannot move a threshold over total_steps={self.total_steps!r}, because it is the number of steps "
                "after which it has arrived; choose a whole number >= 1"
            )
        if not 0.0 <= self.delta < 1.0:
            raise ConfigurationError(
                f"cannot average squared gradient norms with delta={self.delta}, because it is the share that the "
                "average keeps on each step; choose it in [0, 1)"
            )
        if not (abs(self.lambda_1) < float("inf") and abs(self.lambda_2) < float("inf")):
            raise ConfigurationError(
                f"cannot compare a gradient with lambda_1={self.lambda_1} and lambda_2={self.lambda_2} deviations, "
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
class PartialAscent(SteppedAscent):
    """A random part of the ball's steepest direction: ``e = (ρ / β) m ⊙ g / ‖g‖``, m ~ Bernoulli(β) (ESAM, ICLR 2022).

    The norm is that of the whole gradient, so that e is SAM's on average. m is drawn anew for each move: an entry of
    its own for each weight (`per="entry"`, the paper's formula), or one for each parameter tensor (`per="tensor"`, the
    authors' code). Nothing is frozen, so that this saves no gradient by itself.
    """

    beta: float = 0.6
    per: Literal["entry", "tensor"] = "entry"

    def __post_init__(self) -> None:
        super(PartialAscent, self).__post_init__()
        if not 0.0 < self.beta <= 1.0:
            raise ConfigurationError(
                f"cannot perturb a share of beta={self.beta} of the weights, because e is divided by it and it is a "
                "probability; choose it in (0, 1]"
            )
        if self.per not in ("entry", "tensor"):
            raise ConfigurationError(
                f"cannot draw a mask per {self.per!r}, because only 'entry' and 'tensor' are known; choose one of them"
            )

    def direction(self, point: Point, gradients: list[Tensor]) -> Direction:
        """``(m / β) ⊙ g / ‖g‖``, in the ball."""
        steepest = point.ball.steepest(point.start, gradients, point.epsilon)
        masks = point.start.chosen(self.beta, point.generator, each_entry=self.per == "entry")
        tensors = [values * mask for values, mask in zip(steepest.tensors, masks, strict=True)]
        return Direction(tensors, steepest.factor / self.beta)


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
