"""The loss along a line through a model's weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from samnesia.measure.estimate import plain
from samnesia.measure.landscape.directions import Direction, as_axis
from samnesia.measure.landscape.heights import Height, Span, errors_of, positions, scan
from samnesia.measure.landscape.normalization import KeptStatistics, PointStatistics
from samnesia.measure.subject import Subject


@dataclass(frozen=True, slots=True)
class Line:
    """What :func:`line` found.

    Attributes:
        label: the direction's name.
        positions: multiples t of the direction d, rising.
        losses: L(w + t d) at each; may be infinite or NaN.
        errors: share of samples classified wrongly at each, in [0, 1]; None for a criterion without classes.
        length: ‖d‖₂, the distance of one unit of position.
        statistics: by what normalization layers normalized.
        samples: how many samples the means are over.
    """

    label: str
    positions: tuple[float, ...]
    losses: tuple[float, ...]
    errors: tuple[float, ...] | None
    length: float
    statistics: str
    samples: int

    def __str__(self) -> str:
        """A table, and what it is of."""
        head = f"{'position':>10}  {'loss':>11}" + ("" if self.errors is None else f"  {'error':>7}")
        shown = "" if self.errors is None else "  {:7.2%}"
        rows = [
            f"{t:10.4g}  {loss:11.5g}" + shown.format(self.errors[i] if self.errors else 0.0)
            for i, (t, loss) in enumerate(zip(self.positions, self.losses, strict=True))
        ]
        return "\n".join((f"Along the {self.label}", head, *rows, self.conditions))

    @property
    def conditions(self) -> str:
        """What stands beside the figures."""
        return f"One unit is a distance of {self.length:.4g}; {self.samples} samples; {self.statistics}."

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; None where a loss is not finite."""
        return {
            "label": self.label,
            "positions": list(self.positions),
            "losses": [plain(loss) for loss in self.losses],
            "errors": None if self.errors is None else list(self.errors),
            "length": self.length,
            "statistics": self.statistics,
            "samples": self.samples,
        }


def line(
    subject: Subject,
    direction: Direction,
    *,
    span: Span = 1.0,
    points: int = 41,
    statistics: PointStatistics = KeptStatistics(),  # noqa: B008 (frozen)
) -> Line:
    r"""Loss and error rate at :math:`w + t d` for t over a span.

    With an odd number of points around zero the middle one is the model itself, and its loss is ``subject.loss()`` to
    the bit. Costs one pass per point, and one more with :class:`ReestimatedStatistics`.

    Args:
        subject: what is looked at.
        direction: d, as it is; :func:`random_direction`, :func:`direction_to`, or tensors such as an eigenvector.
        span: the largest t to both sides, or the two ends.
        points: how many, equally spaced, ends included.
        statistics: :class:`KeptStatistics` (the subject's own) or :class:`ReestimatedStatistics`.

    Raises:
        ConfigurationError: for a direction of other shapes, fewer than two points, or a span without width.
    """
    axis, places = as_axis(subject, direction), positions(span, points)
    found = scan([subject], [axis], [(t,) for t in places], statistics, f"line along {axis.label}")
    heights = [one for (one,) in found]
    return line_of(subject, axis.label, places, heights, float(subject.weights.norm(axis.tensors)), statistics)


def line_of(
    subject: Subject,
    label: str,
    places: tuple[float, ...],
    heights: list[Height],
    length: float,
    statistics: PointStatistics,
) -> Line:
    """A result from heights."""
    losses = tuple(one.loss for one in heights)
    return Line(label, places, losses, errors_of(heights), length, statistics.describe(subject), subject.samples)
