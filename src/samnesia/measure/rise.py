"""How the loss of a batch rises along the way that a perturbation takes, measured without leaving a trace.

It is a flow of passes (:mod:`samnesia.perturb.flow.step`) that is closed before its last one: the moves are those of
training, and what closing a flow promises holds for weights, gradients, buffers and random state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final

import torch
from torch import Tensor, nn

from samnesia.measure.batches import Batch
from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from samnesia.perturb.flow.iterator import Passes
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.modules import ModelState
from samnesia.perturb.parts.ascents import Ascent
from samnesia.perturb.parts.ball import Ball
from samnesia.perturb.parts.point import Need, Point
from samnesia.perturb.tensors import Direction

Criterion = Callable[[Any, Tensor], Tensor]
_LOWEST, _HIGHEST = -24, 16


class Directed(Protocol):
    """An ascent of one step along a direction that it makes of one gradient, such as `GradientAscent`."""

    def direction(self, point: Point, gradients: list[Tensor]) -> Direction:
        """The move for a radius of 1."""


@dataclass(frozen=True)
class Start:
    """A batch at the weights themselves."""

    loss: float
    """Its loss."""
    slope: float
    """Rise per radius that first order predicts: the gradient times the direction of size 1."""
    ignorance: float
    """Its loss if the output were the batch's mean output for every sample; NaN for an output that has no mean."""

    @property
    def usable(self) -> bool:
        """Whether there is a way up from here."""
        return math.isfinite(self.loss) and math.isfinite(self.slope) and self.slope > 0.0


@final
class _Way(Ascent):
    """Moves to one radius after the other along one direction, and asks for a forward at each."""

    def __init__(self, radii: Iterable[float], ascent: Directed) -> None:
        self._radii, self._ascent = radii, ascent
        self.slope = math.nan

    @property
    def num_gradients(self) -> int:
        """One."""
        return 1

    def climb(self, point: Point) -> Generator[Need, list[Tensor], None]:
        """A gradient pass, and a forward at each radius."""
        gradients = yield Need.GRADIENT
        direction = self._ascent.direction(point, gradients)
        self.slope = float(point.start.dot(gradients, direction.tensors) * direction.factor)
        reached = 0.0
        for radius in self._radii:
            point.move(direction, radius - reached)
            reached = radius
            yield Need.FORWARD
        if not self._radii:
            yield Need.FORWARD  # or the flow would end here by itself, and keep what the pass has moved


class Probe:
    """A model and its loss, looked at along the direction of an ascent.

    Raises:
        UnsupportedError: for a model that cannot be perturbed.
    """

    def __init__(self, model: nn.Module, loss: Criterion, ball: Ball, ascent: Directed) -> None:
        trained = [p for p in model.parameters() if p.requires_grad]
        if not trained:
            raise UnsupportedError(
                "cannot probe a model without trainable parameters, because nothing would move; unfreeze some "
                "(requires_grad_(True))"
            )
        self.device = trained[0].device
        self._model, self._loss, self._ball, self._ascent = model, loss, ball, ascent
        self._optimizer = torch.optim.SGD(trained, lr=0.0)  # never stepped: it says what is perturbed

    def start(self, batch: Batch) -> Start:
        """A gradient of the batch, and what it says; raises ConfigurationError for a loss that is no scalar."""
        way = _Way([], self._ascent)
        with self._passes(way) as passes:
            loss, output = self._climbed(passes, batch)
            ignorance = self._ignorance(output, batch[1])
            next(passes)  # the ascent has seen the gradient now
        return Start(loss, way.slope, ignorance)

    def rises(self, batch: Batch, radii: Sequence[float], *, enough: float = math.inf) -> list[float]:
        """How much the loss of the batch has risen at each radius, up to the first where it is ``enough`` or no number.

        All forwards draw the same random numbers, and find the same buffers.
        """
        state = ModelState(self._model, {p.device for p in self._model.parameters()})
        rises: list[float] = []
        with self._passes(_Way(radii, self._ascent)) as passes:
            begin, _ = self._climbed(passes, batch)
            for _ in radii:
                next(passes)
                state.restore_random()
                state.restore_buffers()
                with torch.no_grad():
                    rises.append(float(self._scalar(self._loss(self._model(batch[0]), batch[1]))) - begin)
                if not rises[-1] < enough:
                    break
        return rises

    def ladder(self, batch: Batch, slope: float, target: float, count: int) -> tuple[float, ...]:
        """So many radii, each twice the one before, up to some at which this batch's loss has risen beyond the target.

        Raises:
            ConfigurationError: if it does not rise as far.
        """
        steps = [target / slope * 2.0**k for k in range(_LOWEST, _HIGHEST)]
        rises = self.rises(batch, steps, enough=2.0 * target)
        if rises[-1] < 2.0 * target:
            raise ConfigurationError(
                f"cannot suggest a radius, because the loss did not rise by {2.0 * target:.3g} up to a radius of "
                f"{steps[-1]:.3g}; give a smaller rise="
            )
        top = 2.0 * steps[len(rises) - 1]  # batches differ
        return tuple(top * 2.0**-k for k in reversed(range(count)))

    def _passes(self, way: _Way) -> Passes:
        return PerturbedGradient(self._model, self._optimizer, rho=1.0, ball=self._ball, ascent=way).passes()

    def _climbed(self, passes: Passes, batch: Batch) -> tuple[float, Any]:
        """Loss and output of the first pass, whose gradient is there."""
        next(passes)
        with torch.enable_grad():
            output = self._model(batch[0])
            loss = self._scalar(self._loss(output, batch[1]))
            loss.backward()
        return float(loss.detach()), output

    @torch.no_grad()
    def _ignorance(self, output: Any, targets: Tensor) -> float:
        if not isinstance(output, Tensor) or not output.ndim:
            return math.nan
        return float(self._scalar(self._loss(output.detach().mean(0, keepdim=True).expand_as(output), targets)))

    def _scalar(self, loss: Any) -> Tensor:
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise ConfigurationError(
                "cannot probe a loss that is no single number, because its rise is measured; give the mean over the "
                "samples"
            )
        return loss
