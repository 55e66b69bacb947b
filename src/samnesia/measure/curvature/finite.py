"""The Hessian by differences of gradients, where there are no second derivatives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from torch import Tensor

from samnesia.measure.batches import Batch
from samnesia.measure.curvature.operators import Matrix, Product
from samnesia.measure.curvature.space import Space
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError

_STEPS = 6
_FACTOR = 4.0


@final
@dataclass(frozen=True, slots=True)
class DifferenceHessian(Matrix):
    r"""The Hessian by central differences of gradients.

    .. math:: H v \approx \frac{\nabla L(w + \varepsilon v) - \nabla L(w - \varepsilon v)}{2 \varepsilon}

    Two gradients per batch in one pass over the data; it works wherever gradients do, also for parameters sharded by
    ``fully_shard``. For a vector v of length 1, ``step`` is the distance :math:`\varepsilon` that the weights move
    either way. Without one, it is chosen in seven passes: along the gradient, which lies in the space of large
    curvature, products with steps of :math:`u^{1/3} \lVert w \rVert 4^{-j}` (u: the machine's precision) are compared,
    and the two neighbours that agree best enclose the step that is taken. Their distance, relative to the product, is
    the ``error`` that results show: curvature that changes on the way makes it large for long steps, rounding for short
    ones. Along other directions it may be larger: where a kink (ReLU) lies between the two gradients, a single sample's
    slope jumps, and products are no longer linear. The residuals of :func:`eigenpairs` show it.
    """

    step: float | None = None

    def __post_init__(self) -> None:
        if self.step is not None and not (self.step > 0.0 and math.isfinite(self.step)):
            raise ConfigurationError(
                f"cannot take differences over a step of {self.step}, because weights have to move; give step > 0, or "
                "None"
            )

    def product(self, subject: Subject) -> Product:
        """Two gradients per batch."""
        differences = _Differences(subject)
        if self.step is None:
            step, error = differences.best()
        else:
            step, error = self.step, differences.error_of(self.step)
        return Product(f"Hessian by differences (step {step:.2g})", differences.over(step), error)


class _Differences:
    """Products by differences over a step, and how far those of two steps lie apart."""

    def __init__(self, subject: Subject) -> None:
        self._subject, self._space = subject, Space(subject)

    def over(self, step: float) -> _Over:
        return _Over(self._subject, self._space, step)

    def best(self) -> tuple[float, float]:
        """A step, and how far its neighbours' products lie apart."""
        weights = self._space.join(self._subject.weights.tensors)
        longest = self._space.eps ** (1 / 3) * max(self._space.norm(weights), math.sqrt(self._space.eps))
        direction = self._direction()
        steps = [longest * _FACTOR**-j for j in range(_STEPS)]
        before = self._along(direction, steps[0])
        found: list[tuple[float, float]] = []
        for longer, shorter in zip(steps, steps[1:], strict=False):
            after = self._along(direction, shorter)
            found.append((self._apart(before, after), math.sqrt(longer * shorter)))
            before = after
        error, step = min(found)
        if not math.isfinite(error):
            raise ConfigurationError(
                "cannot measure curvature by differences here, because the gradient near the weights is not finite; "
                "look for samples or weights at which loss or gradient are NaN or infinite"
            )
        return step, error

    def error_of(self, step: float) -> float:
        """How far the products of this step and of half of it lie apart."""
        direction = self._direction()
        return self._apart(self._along(direction, step), self._along(direction, step / 2.0))

    def _direction(self) -> Tensor:
        slope = self._space.join(self._subject.gradient())
        length = self._space.norm(slope)
        if not (length > 0.0 and math.isfinite(length)):
            slope = self._space.gaussian(0)
            length = self._space.norm(slope)
        return slope / length

    def _along(self, direction: Tensor, step: float) -> Tensor:
        vector, of = self._space.split(direction), self.over(step)
        return self._space.join(self._subject.mean(lambda batch: of(batch, vector)))

    def _apart(self, left: Tensor, right: Tensor) -> float:
        size = self._space.norm(right)
        apart = self._space.norm(left - right)
        return apart / size if size > 0.0 else (0.0 if apart == 0.0 else math.inf)


@final
class _Over:
    """The product over one step; the weights move as far along a vector of any length."""

    def __init__(self, subject: Subject, space: Space, step: float) -> None:
        self._subject, self._space, self._step = subject, space, step

    def __call__(self, batch: Batch, vector: list[Tensor]) -> Sequence[Tensor]:
        length = self._space.norm(self._space.join(vector))
        if length == 0.0:
            return [v * 0.0 for v in vector]
        move = self._step / length
        with self._subject.at([move * v for v in vector]):
            above = self._subject.gradient_of(batch)
        with self._subject.at([-move * v for v in vector]):
            below = self._subject.gradient_of(batch)
        return [(a - b) / (2.0 * move) for a, b in zip(above, below, strict=True)]
