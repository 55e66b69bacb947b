"""How the highest point of a ball is looked for. Each gradient is one look at the hill."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from samnesia.measure.sharpness.hill import Around, Hill, Offsets, Seen
from samnesia.perturb.errors import ConfigurationError


@dataclass(frozen=True)
class Place:
    """A perturbation, and what was seen there."""

    offsets: Offsets
    seen: Seen


class Climb(ABC):
    """A way up inside a ball. `steps` moves take `steps` gradients and one last look at the loss."""

    @property
    @abstractmethod
    def name(self) -> str:
        """In words, for a result."""

    @abstractmethod
    def route(self, hill: Hill, around: Around, start: Place, steps: int) -> Iterator[Place]:
        """The places it arrives at, at most `steps` of them; it ends early where there is no way on."""

    def highest(self, hill: Hill, around: Around, start: Place, steps: int) -> Place:
        """The highest place it arrives at; the start itself if it cannot leave it."""
        best: Place | None = None
        for place in self.route(hill, around, start, steps):
            if best is None or place.seen.loss > best.seen.loss:
                best = place
        return best or start


@final
@dataclass(frozen=True, slots=True)
class ProjectedAscent(Climb):
    """``e ← P(e + s ρ d(e))`` with d the ball's steepest direction and P its projection (Madry et al., ICLR 2018).

    The step is ``s = min(1, reach / steps)``: all steps together can cross the ball `reach / 2` times. One step from
    the weights is SAM's perturbation.
    """

    reach: float = 2.5

    def __post_init__(self) -> None:
        if not 0.0 < self.reach < math.inf:
            raise ConfigurationError(
                f"cannot ascend with reach={self.reach}, because the step is reach / steps of the radius; give a "
                "positive number such as 2.5"
            )

    @property
    def name(self) -> str:
        """In words, for a result."""
        return "projected ascent"

    def route(self, hill: Hill, around: Around, start: Place, steps: int) -> Iterator[Place]:
        """Equal steps."""
        place = start
        length = min(1.0, self.reach / steps)
        for step in range(steps):
            if not _goes_on(place):
                return
            moved = [e + d for e, d in zip(place.offsets, around.uphill(place.seen.gradient, length), strict=True)]
            offsets = around.inside(moved)
            place = Place(offsets, hill.look(offsets, slope=step + 1 < steps))
            yield place


@final
@dataclass(frozen=True, slots=True)
class AutoPGD(Climb):
    r"""Auto-PGD (Croce & Hein, ICML 2020), in the ball's own coordinates: momentum, and steps that halve by themselves.

    .. math::
        z = P(e_k + \eta\, \rho\, d(e_k)), \qquad
        e_{k+1} = P(e_k + \alpha (z - e_k) + (1 - \alpha)(e_k - e_{k-1}))

    with :math:`\eta = 2` at first and :math:`\alpha` the `momentum`; the first step has none, so that one step from the
    weights is SAM's perturbation. At checkpoints (after 22 % of the steps, then in intervals that shrink by 3 points to
    6 %) the step is halved, and the climb goes on from the highest place so far, if fewer than `successes` of the steps
    since the last one went up, or if neither step nor highest place changed. Andriushchenko et al. (ICML 2023) take 20
    steps.
    """

    momentum: float = 0.75
    successes: float = 0.75

    def __post_init__(self) -> None:
        for name, value in (("momentum", self.momentum), ("successes", self.successes)):
            if not 0.0 <= value <= 1.0:
                raise ConfigurationError(
                    f"cannot ascend with {name}={value}, because it is a share; give a number from 0 to 1, such as 0.75"
                )

    @property
    def name(self) -> str:
        """In words, for a result."""
        return "auto-PGD"

    def route(self, hill: Hill, around: Around, start: Place, steps: int) -> Iterator[Place]:
        """Steps with momentum, that halve at checkpoints."""
        place, previous, best = start, start, start
        length, halving = 2.0, _Halving(self.successes, steps)
        for step in range(1, steps + 1):
            if not _goes_on(place):
                return
            offsets = self._moved(around, place, previous, length, first=step == 1)
            following = Place(offsets, hill.look(offsets, slope=step < steps))
            yield following
            halving.note(rose=following.seen.loss > place.seen.loss)
            previous, place = place, following
            if following.seen.loss > best.seen.loss:
                best = following
            if halving.due(step, length, best.seen.loss):
                length, place = 0.5 * length, best

    def _moved(self, around: Around, place: Place, previous: Place, length: float, *, first: bool) -> Offsets:
        step = around.uphill(place.seen.gradient, length)
        ahead = around.inside([e + d for e, d in zip(place.offsets, step, strict=True)])
        if first:
            return ahead
        share = self.momentum
        return around.inside(
            [
                e + share * (z - e) + (1.0 - share) * (e - before)
                for e, z, before in zip(place.offsets, ahead, previous.offsets, strict=True)
            ]
        )


class _Halving:
    """When auto-PGD halves its step."""

    def __init__(self, successes: float, steps: int) -> None:
        self._successes, self._checkpoints = successes, checkpoints(steps)
        self._last, self._rises = 0, 0
        self._length, self._highest = math.nan, math.nan

    def note(self, *, rose: bool) -> None:
        """A step went up, or not."""
        self._rises += rose

    def due(self, step: int, length: float, highest: float) -> bool:
        """Whether the step is to be halved now."""
        if step not in self._checkpoints:
            return False
        few = self._rises < self._successes * (step - self._last)
        stuck = length == self._length and highest == self._highest
        self._last, self._rises, self._length, self._highest = step, 0, length, highest
        return few or stuck


def checkpoints(steps: int) -> list[int]:
    """The steps after which auto-PGD asks whether to halve: ``ceil(p_j steps)``, p = 0.22, 0.41, 0.57, 0.70, …."""
    places, before, share = [], 0, 22  # in hundredths: 0.57 * 100 is more than 57
    while share < 100:
        places.append(-(-share * steps // 100))
        before, share = share, share + max(share - before - 3, 6)
    return places


def _goes_on(place: Place) -> bool:
    """Whether there is a slope to follow: on from a loss or a gradient that is not finite there is none."""
    finite = math.isfinite(place.seen.loss) and all(bool(g.isfinite().all()) for g in place.seen.gradient)
    return finite and not place.seen.is_flat
