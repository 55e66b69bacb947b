"""The loss over a plane through a model's weights, also over the plane that a training run moved in most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from samnesia.measure.estimate import plain
from samnesia.measure.landscape.directions import Axis, Direction, as_axis
from samnesia.measure.landscape.heights import Height, Span, errors_of, positions, scan
from samnesia.measure.landscape.normalization import KeptStatistics, PointStatistics
from samnesia.measure.landscape.principal import principal_directions
from samnesia.measure.landscape.weights import OtherWeights
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError

Grid = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Plane:
    """What :func:`plane` found.

    Attributes:
        labels: the names of the two directions a and b.
        x: multiples of a.
        y: multiples of b.
        losses: ``losses[j][i]`` is L(w + x[i] a + y[j] b); may be infinite or NaN.
        errors: share of samples classified wrongly, likewise; None for a criterion without classes.
        lengths: ‖a‖₂ and ‖b‖₂, the distances of one unit.
        cosine: between a and b; 0 where the drawn angles are true.
        statistics: by what normalization layers normalized.
        samples: how many samples the means are over.
    """

    labels: tuple[str, str]
    x: tuple[float, ...]
    y: tuple[float, ...]
    losses: Grid
    errors: Grid | None
    lengths: tuple[float, float]
    cosine: float
    statistics: str
    samples: int

    def __str__(self) -> str:
        """Ranges, and what they are of."""
        finite = [loss for row in self.losses for loss in row if math.isfinite(loss)]
        ends = f"{min(finite):.4g} to {max(finite):.4g}" if finite else "nowhere finite"
        lost = len(self.x) * len(self.y) - len(finite)
        return "\n".join(
            (
                f"Plane of {self.labels[0]} and {self.labels[1]}",
                f"{len(self.x)} x {len(self.y)} points, x from {self.x[0]:.4g} to {self.x[-1]:.4g}, "
                f"y from {self.y[0]:.4g} to {self.y[-1]:.4g}",
                f"Loss {ends}" + (f"; not finite at {lost} points" if lost and finite else ""),
                self.conditions,
            )
        )

    @property
    def conditions(self) -> str:
        """What stands beside the figures."""
        return (
            f"One unit is a distance of {self.lengths[0]:.4g} and {self.lengths[1]:.4g}; cosine {self.cosine:.2g}; "
            f"{self.samples} samples; {self.statistics}."
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; None where a loss is not finite."""
        return {
            "labels": list(self.labels),
            "x": list(self.x),
            "y": list(self.y),
            "losses": [[plain(loss) for loss in row] for row in self.losses],
            "errors": None if self.errors is None else [list(row) for row in self.errors],
            "lengths": list(self.lengths),
            "cosine": self.cosine,
            "statistics": self.statistics,
            "samples": self.samples,
        }


@dataclass(frozen=True, slots=True)
class TrajectoryPlane:
    """What :func:`trajectory_plane` found.

    Attributes:
        plane: loss over the plane of the two leading principal directions, of length 1 each.
        path: (x, y) of each checkpoint's projection on the plane; the subject's own weights are at (0, 0).
        explained: share of the checkpoints' variance along each of the two directions.
        outside: distance of each checkpoint from the plane, as a share of the longest way from the subject's weights to
            a checkpoint.
    """

    plane: Plane
    path: tuple[tuple[float, float], ...]
    explained: tuple[float, float]
    outside: tuple[float, ...]

    def __str__(self) -> str:
        """The plane, what it explains, and how far the path leaves it."""
        return "\n".join(
            (
                str(self.plane),
                f"{len(self.path)} checkpoints, variance explained {self.explained[0]:.1%} + {self.explained[1]:.1%} "
                f"= {sum(self.explained):.1%}",
                f"The path leaves the plane by at most {max(self.outside):.1%} of its longest distance from (0, 0).",
            )
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "plane": self.plane.as_dict(),
            "path": [list(point) for point in self.path],
            "explained": list(self.explained),
            "outside": list(self.outside),
        }


def plane(
    subject: Subject,
    directions: tuple[Direction, Direction],
    *,
    span: Span = 1.0,
    points: int = 21,
    statistics: PointStatistics = KeptStatistics(),  # noqa: B008 (frozen)
) -> Plane:
    r"""Loss and error rate at :math:`w + x a + y b`, x and y over one span each.

    The row of y = 0 is :func:`line` along a, to the bit, and the column of x = 0 that along b. Costs ``points ** 2``
    passes, and twice as many with :class:`ReestimatedStatistics`.

    Args:
        subject: what is looked at.
        directions: a and b, as they are; :func:`orthogonalized` makes them orthogonal.
        span: the largest x and y to both sides, or the two ends.
        points: how many along each axis, equally spaced, ends included.
        statistics: :class:`KeptStatistics` (the subject's own) or :class:`ReestimatedStatistics`.

    Raises:
        ConfigurationError: for directions of other shapes, parallel ones, fewer than two points, or a span without
            width.
    """
    first, second = (as_axis(subject, direction) for direction in directions)
    places = positions(span, points)
    return _over(subject, (first, second), places, places, statistics)


def trajectory_plane(
    subject: Subject,
    checkpoints: Sequence[OtherWeights],
    *,
    points: int = 25,
    margin: float = 0.2,
    statistics: PointStatistics = KeptStatistics(),  # noqa: B008 (frozen)
) -> TrajectoryPlane:
    """The plane through the subject's weights in which a run's checkpoints spread most, with their path.

    So Li et al., NeurIPS 2018, drew trajectories. See :func:`principal_directions` for the directions, and
    docs/landscape.md for what a high share of explained variance does not mean. Costs ``points ** 2`` passes.

    Args:
        subject: its weights, usually the last checkpoint, are the origin.
        checkpoints: state dicts, modules or lists of tensors, in the order of training; three different points with
            the subject's weights.
        points: how many along each axis.
        margin: how far the plane goes on beyond the path, as a share of the path's extent.
        statistics: :class:`KeptStatistics` (the subject's own) or :class:`ReestimatedStatistics`.

    Raises:
        ConfigurationError: for checkpoints of another architecture, or that lie on one line or in one point.
    """
    positions(1.0, points)
    if not 0.0 <= margin < math.inf:
        raise ConfigurationError(
            f"cannot draw a plane with margin={margin}, because it is a share of the path's extent; choose 0.2, say"
        )
    found = principal_directions(subject, checkpoints)
    spans = _around([(0.0, 0.0), *found.path], margin)
    x, y = (positions(span, points) for span in spans)
    surface = _over(subject, found.axes, x, y, statistics)
    return TrajectoryPlane(surface, found.path, found.explained, found.outside)


def _over(
    subject: Subject,
    axes: tuple[Axis, Axis],
    x: tuple[float, ...],
    y: tuple[float, ...],
    statistics: PointStatistics,
) -> Plane:
    first, second = (float(subject.weights.norm(axis.tensors)) for axis in axes)
    cosine = float(subject.weights.cosine(axes[0].tensors, axes[1].tensors))
    if abs(cosine) > 1.0 - 1e-6:
        raise ConfigurationError(
            f"cannot span a plane by {axes[0].label!r} and {axes[1].label!r}, because they are parallel or one is "
            "zero; choose another direction"
        )
    grid = scan([subject], axes, [(a, b) for b in y for a in x], statistics, "plane")
    heights = [one for (one,) in grid]
    rows: list[list[Height]] = [heights[j * len(x) : (j + 1) * len(x)] for j in range(len(y))]
    errors = [errors_of(row) for row in rows]
    return Plane(
        labels=(axes[0].label, axes[1].label),
        x=x,
        y=y,
        losses=tuple(tuple(one.loss for one in row) for row in rows),
        errors=None if errors[0] is None else tuple(row for row in errors if row is not None),
        lengths=(first, second),
        cosine=cosine,
        statistics=statistics.describe(subject),
        samples=subject.samples,
    )


def _around(path: Sequence[tuple[float, float]], margin: float) -> list[tuple[float, float]]:
    """The box of a path with its margin; the short side at least half as long as the other, to show walls."""
    ends = [(min(values), max(values)) for values in zip(*path, strict=True)]
    longest = max(high - low for low, high in ends)
    spans = []
    for low, high in ends:
        middle, half = (low + high) / 2, max(high - low, longest / 2) / 2 + margin * longest
        spans.append((middle - half, middle + half))
    return spans
