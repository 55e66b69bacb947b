"""What a measure of sharpness found."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from samnesia.measure.estimate import Estimate, plain
from samnesia.measure.sharpness.noise import Noise
from samnesia.perturb.parts.ball import Ball


@dataclass(frozen=True, kw_only=True)
class Sharpness:
    """The rise of the loss in a ball around the weights; printing it says how it was measured.

    A loss that is not a finite number at a perturbed point counts as an infinite rise: `value` is then infinite, its
    error NaN, and both are None in :meth:`as_dict`.

    Attributes:
        measure: worst case, average case or m-sharpness.
        rise: ``L(w + e) - L(w)``, with a standard error over what `over` names.
        over: what the standard error is over.
        rho: the radius.
        ball: the ball; its scaling T is that of the unperturbed weights.
        how: how perturbations were found.
        values: the rises that `rise` is made of: the highest of each start, the mean of each pair of opposite
            directions, or that of each micro-batch (of this process).
        loss: L(w).
        size: size of the perturbation in the ball, as realized in the weights' type; a mean where there are several.
        length: its 2-norm, likewise.
        samples: how many samples were looked at.
        passes: looks at each sample: a gradient, or a loss alone, is one.
        notes: what to know before it is believed, a sentence each.
    """

    measure: str
    rise: Estimate
    over: str
    rho: float
    ball: Ball
    how: str
    values: tuple[float, ...]
    loss: float
    size: float
    length: float
    samples: int
    passes: float
    notes: tuple[str, ...] = ()

    @property
    def value(self) -> float:
        """The rise."""
        return self.rise.value

    @property
    def error(self) -> float:
        """Its standard error; NaN where there is none."""
        return self.rise.error

    @property
    def meaning(self) -> str:
        """What rho bounds, as a formula."""
        return self.ball.describe()

    @property
    def convention(self) -> str:
        """What rho means here, in full."""
        where = "T of the unperturbed weights" if self.ball.scaling.describe() else "no scaling"
        return f"rho = {self.rho:g}: {self.meaning}, {where}, all trained weights jointly"

    def __str__(self) -> str:
        """The value first, then how it came about."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.measure}: the loss rises by {self.rise} (standard error over {self.over}), from {self.loss:.4g}"
        yield f"  {self.convention}; realized {self.size:.4g}, 2-norm {self.length:.4g}"
        yield f"  {self.how}; {self.passes:g} passes over {self.samples} samples"
        yield from self._more()
        for note in self.notes:
            yield f"  Note: {note}."

    def _more(self) -> Iterator[str]:
        """Lines of one kind of sharpness."""
        yield from ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; numbers that are not finite are None."""
        return {
            "measure": self.measure,
            "rise": self.rise.as_dict(),
            "error_over": self.over,
            "finite": math.isfinite(self.value),
            "rho": self.rho,
            "convention": self.convention,
            "how": self.how,
            "values": [plain(value) for value in self.values],
            "loss": plain(self.loss),
            "size": plain(self.size),
            "length": plain(self.length),
            "samples": self.samples,
            "passes": self.passes,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, kw_only=True)
class WorstCase(Sharpness):
    """Sharpness at the highest point that was found.

    Attributes:
        steps: moves of each climb.
        restarts: climbs after the one from the weights themselves.
    """

    steps: int
    restarts: int

    @property
    def spread(self) -> float:
        """How far apart the highest points of the climbs are; 0 for a single climb."""
        return max(self.values) - min(self.values) if math.isfinite(max(self.values)) else math.nan

    def _more(self) -> Iterator[str]:
        if len(self.values) > 1:
            yield f"  highest of each climb: {', '.join(f'{value:.4g}' for value in self.values)}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return super().as_dict() | {"steps": self.steps, "restarts": self.restarts, "spread": plain(self.spread)}


@dataclass(frozen=True, kw_only=True)
class AverageCase(Sharpness):
    """Mean sharpness over random perturbations.

    Attributes:
        batches: the same mean rise, with its standard error over batches instead of over directions.
        directions: pairs of opposite perturbations.
        noise: how they were drawn.
    """

    batches: Estimate
    directions: int
    noise: Noise

    @property
    def meaning(self) -> str:
        """What rho is of the noise."""
        return self.noise.meaning(self.ball)

    def _more(self) -> Iterator[str]:
        yield f"  standard error over {self.batches.count} batches: {self.batches.error:.2g}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return super().as_dict() | {"directions": self.directions, "over_batches": self.batches.as_dict()}


@dataclass(frozen=True, kw_only=True)
class MSharpness(Sharpness):
    """Mean sharpness of micro-batches, each at its own perturbation.

    Attributes:
        m: samples of a micro-batch.
        steps: moves of each climb.
        left_out: samples that made no whole micro-batch.
    """

    m: int
    steps: int
    left_out: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return super().as_dict() | {"m": self.m, "steps": self.steps, "left_out": self.left_out}
