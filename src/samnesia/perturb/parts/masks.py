"""Perturbations of some entries only: those where the squared gradient is largest, or a random share."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.ascents import Ascent, SteppedAscent
from samnesia.perturb.parts.numbers import integer, number
from samnesia.perturb.parts.point import Need, Point
from samnesia.perturb.tensors import Direction, Weights, at_least


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedAscent(Ascent):
    """``e = ρ m ⊙ d``: the ball's steepest direction d where the mask m is, 0 elsewhere (sparse SAM).

    m marks the ``⌈(1 - sparsity) n⌉`` of all n entries whose squared gradient, a Fisher information of one batch, is
    largest; entries as large as the smallest of them are marked, too. It is made anew, of that step's gradient, on the
    first step that is perturbed and whenever `refresh` steps have gone by. It is remembered as one byte per entry, and
    found exactly over shards: the threshold is bisected, so that no rank holds more than its own part.
    """

    remembers: ClassVar[bool] = True

    sparsity: float = 0.5
    refresh: int = 100

    def __post_init__(self) -> None:
        if not 0.0 <= number(self.sparsity) < 1.0:
            raise ConfigurationError(
                f"cannot mask the share sparsity={self.sparsity!r} of all entries, because some have to move and none "
                "can be masked twice; choose it in [0, 1)"
            )
        if not integer(self.refresh) >= 1:
            raise ConfigurationError(
                f"cannot make a new mask every refresh={self.refresh!r} steps, because it counts optimizer steps; "
                "choose a whole number >= 1"
            )

    @property
    def num_gradients(self) -> int:
        """One."""
        return 1

    def climb(self, point: Point) -> Generator[Need, list[Tensor], None]:
        """One gradient pass, one move."""
        gradients = yield Need.GRADIENT
        steepest = point.ball.steepest(point.start, gradients, point.epsilon)
        masked = [t * m for t, m in zip(steepest.tensors, self._mask(point, gradients), strict=True)]
        point.move(Direction(masked, steepest.factor))

    def _mask(self, point: Point, gradients: list[Tensor]) -> list[Tensor]:
        mask = point.memory.tensors("masked.mask", point.start)
        if mask is not None and point.step < float(point.memory.number("masked.made")) + self.refresh:
            return mask
        sizes = [g.abs() for g in gradients]
        count = sum(p.numel() for p in point.start.parameters)
        threshold = kth_largest(point.start, sizes, max(1, at_least(1.0 - self.sparsity, count)))
        mask = [size >= threshold.to(size.device) for size in sizes]
        point.memory.keep("masked.mask", point.start, mask)
        point.memory.keep_number("masked.made", torch.tensor(float(point.step), dtype=torch.float64))
        return mask


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
        if not 0.0 < number(self.beta) <= 1.0:
            raise ConfigurationError(
                f"cannot perturb a share of beta={self.beta!r} of the weights, because e is divided by it and it is a "
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


_BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


def kth_largest(weights: Weights, sizes: Sequence[Tensor], k: int) -> Tensor:
    """The k-th largest of all entries of `sizes`, which are >= 0, over all ranks; a 0-d tensor.

    Exact, by bisection over the bits of floating-point numbers, which are ordered as the numbers are: one sweep over
    `sizes` for each bit, without another copy of them.
    """
    device = sizes[0].device
    widest = max((s.dtype for s in sizes), key=lambda dtype: dtype.itemsize)
    low = torch.zeros((), dtype=_BITS[widest], device=device)
    above = torch.full((), torch.inf, dtype=widest, device=device).view(_BITS[widest]) + 1
    for _ in range(torch.iinfo(_BITS[widest]).bits - 1):
        middle = low + (above - low) // 2
        value = middle.view(widest)
        reached = weights.sum([(s >= value.to(s.device)).sum() for s in sizes]) >= k
        low, above = torch.where(reached, middle, low), torch.where(reached, above, middle)
    return low.view(widest)
