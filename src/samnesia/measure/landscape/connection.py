"""The straight way between two runs: linear mode connectivity, and whether they are in the same valley."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from samnesia.measure.estimate import plain
from samnesia.measure.landscape.directions import direction_to
from samnesia.measure.landscape.heights import positions, scan
from samnesia.measure.landscape.lines import Line, line_of
from samnesia.measure.landscape.normalization import KeptStatistics, PointStatistics, ReestimatedStatistics
from samnesia.measure.landscape.weights import OtherWeights
from samnesia.measure.statistics import BatchStatistics
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError

_SAME = 1e-9  # positions closer than that are one


@dataclass(frozen=True, slots=True)
class Barrier:
    r"""How much higher a curve V lies between t = 0 and t = 1 than at its ends.

    Attributes:
        height: :math:`\max_{t \in [0, 1]} V(t) - [(1 - t) V(0) + t V(1)]`, above the straight line between the end
            values; never negative.
        position: the t of this maximum.
        instability: :math:`\max_{t \in [0, 1]} V(t) - \frac{V(0) + V(1)}{2}`, the error barrier height of Frankle et
            al., ICML 2020, who call two networks linearly connected below 0.02 in error rate. Half the difference of
            the ends at least.
    """

    height: float
    position: float
    instability: float

    @classmethod
    def of(cls, places: Sequence[float], values: Sequence[float]) -> Barrier:
        """From values at positions that include 0 and 1; a value that is not finite is an infinite barrier."""
        at = dict(zip(places, values, strict=True))
        start, end = at[0.0], at[1.0]
        inside = {t: v if math.isfinite(v) else math.inf for t, v in at.items() if 0.0 < t < 1.0}
        above = {0.0: 0.0} | {t: v - (start + t * (end - start)) for t, v in inside.items()}
        highest = max(above, key=lambda t: above[t])
        return cls(above[highest], highest, max(start, end, *inside.values()) - (start + end) / 2)


@dataclass(frozen=True, slots=True)
class Segment:
    """Loss and error rate along the way on some samples, and the barriers in both."""

    line: Line

    @property
    def loss_barrier(self) -> Barrier:
        """In the loss."""
        return Barrier.of(self.line.positions, self.line.losses)

    @property
    def error_barrier(self) -> Barrier | None:
        """In the error rate; None without classes."""
        return None if self.line.errors is None else Barrier.of(self.line.positions, self.line.errors)

    def describe(self) -> list[str]:
        """The barriers in words."""
        barrier, start, end = self.loss_barrier, *_ends(self.line, self.line.losses)
        found = [
            f"loss   {start:.4g} -> {end:.4g}, barrier {barrier.height:.4g} at {barrier.position:.3g} "
            f"(above the mean of the ends: {barrier.instability:.4g})"
        ]
        if (error := self.error_barrier) is not None and self.line.errors is not None:
            start, end = _ends(self.line, self.line.errors)
            found.append(
                f"error  {start:.2%} -> {end:.2%}, barrier {error.height:.2%} at {error.position:.3g} "
                f"(above the mean of the ends: {error.instability:.2%})"
            )
        return found

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        error = self.error_barrier
        return self.line.as_dict() | {
            "loss_barrier": _written(self.loss_barrier),
            "error_barrier": None if error is None else _written(error),
        }


@dataclass(frozen=True, slots=True)
class Connection:
    """What :func:`connect` found.

    Attributes:
        train: on the samples of the subject.
        held_out: on held-out samples, if they were given.
        distance: ‖w' - w‖₂.
    """

    train: Segment
    held_out: Segment | None
    distance: float

    @property
    def segments(self) -> dict[str, Segment]:
        """By the name of the samples."""
        return {"training": self.train} | ({} if self.held_out is None else {"held-out": self.held_out})

    def __str__(self) -> str:
        """The barriers, and what they are of."""
        lines = [f"Straight way between two runs, a distance of {self.distance:.4g}"]
        for name, segment in self.segments.items():
            lines += [f"{name} ({segment.line.samples} samples)", *(f"  {text}" for text in segment.describe())]
        return "\n".join((*lines, f"{self.train.line.statistics[0].upper()}{self.train.line.statistics[1:]}."))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "distance": self.distance,
            "train": self.train.as_dict(),
            "held_out": None if self.held_out is None else self.held_out.as_dict(),
        }


def connect(
    subject: Subject,
    other: OtherWeights,
    *,
    held_out: Subject | None = None,
    points: int = 40,
    span: tuple[float, float] = (-0.2, 1.2),
    statistics: PointStatistics | None = None,
) -> Connection:
    r"""Linear mode connectivity: loss and error rate at :math:`(1 - t) w + t w'`, from one run's weights to another's.

    The protocol is that of Zhou et al., ICLR 2025 (methods.md §6): 40 points from -0.2 to 1.2, on 1,000 training and
    1,000 test images. The two ends t = 0 and t = 1 are measured besides, because barriers are counted from them. Ends
    and points in between have their running statistics re-estimated alike, or a barrier would measure the difference
    between two ways of estimating.

    Costs, per point, one pass over each subject's samples and one to re-estimate; ``points + 2`` points.

    Args:
        subject: one run, on training samples; its weights are t = 0.
        other: the other run: a module, a state dict, or tensors; t = 1.
        held_out: the same model on other samples.
        points: how many, equally spaced over the span, ends included.
        span: from where to where.
        statistics: None re-estimates running statistics from the subject's samples (:class:`ReestimatedStatistics`),
            but for a subject with BatchStatistics.

    Raises:
        ConfigurationError: for weights of another architecture, a held-out subject of another model, fewer than two
            points, or a span that leaves out 0 or 1.
    """
    if held_out is not None and not isinstance(held_out, Subject):
        raise ConfigurationError(
            f"cannot follow the way on held-out samples of type {type(held_out).__name__}, because model and criterion "
            "belong to them; give held_out=Subject(model, criterion, loader)"
        )
    if held_out is not None and held_out.model is not subject.model:
        raise ConfigurationError(
            "cannot measure held-out samples with a subject of another model, because both are moved together; build "
            "both subjects on the same model"
        )
    places = positions(span, points)
    if not places[0] <= 0.0 < 1.0 <= places[-1]:
        raise ConfigurationError(
            f"cannot connect two runs over a span of {span}, because it has to hold both ends; give low <= 0 and "
            "high >= 1"
        )
    places = tuple(sorted({0.0, 1.0, *(1.0 if abs(t - 1.0) < _SAME else t for t in places)}))
    if statistics is None:
        kept = isinstance(subject.statistics, BatchStatistics)
        statistics = KeptStatistics() if kept else ReestimatedStatistics(subject)
    axis = direction_to(subject, other, label="way to the other run")
    subjects = [subject] if held_out is None else [subject, held_out]
    found = scan(subjects, [axis], [(t,) for t in places], statistics, "way between two runs")
    distance = float(subject.weights.norm(axis.tensors))
    segments = [
        Segment(line_of(one, axis.label, places, list(heights), distance, statistics))
        for one, heights in zip(subjects, zip(*found, strict=True), strict=True)
    ]
    if not all(math.isfinite(loss) for segment in segments for loss in _ends(segment.line, segment.line.losses)):
        raise ConfigurationError(
            "cannot connect two runs of which one has a loss that is not finite, because barriers are counted from the "
            "ends; look at its weights"
        )
    return Connection(segments[0], segments[1] if len(segments) > 1 else None, distance)


@dataclass(frozen=True, slots=True)
class Valley:
    """What :func:`same_valley` found; ``same`` is the answer, ``verdict`` says why."""

    connection: Connection
    same: bool
    verdict: str

    def __str__(self) -> str:
        """The barriers and the verdict."""
        return f"{self.connection}\n{self.verdict}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return self.connection.as_dict() | {"same_valley": self.same, "verdict": self.verdict}


def same_valley(connection: Connection, *, error: float = 0.02, loss: float | None = None) -> Valley:
    """Whether two runs ended in the same valley: whether there is no barrier between them, on any of the samples.

    Zhou et al. (ICLR 2025) ask this by the curves of :func:`connect`; no threshold of theirs is known to us. The
    criterion is ours: two runs are in the same valley if, on training and on held-out samples alike, the error rate
    nowhere on the segment exceeds the mean of the ends by ``error`` or more (0.02 is the margin below which Frankle et
    al. 2020 call networks connected), and, if ``loss`` is given, the barrier in the loss is below it, too.

    Args:
        connection: what :func:`connect` found.
        error: the margin in the error rate, a share of the samples.
        loss: the margin in the loss, in its units; needed where there is no error rate.

    Raises:
        ConfigurationError: for a criterion without classes, if no margin in the loss is given.
    """
    if connection.train.error_barrier is None and loss is None:
        raise ConfigurationError(
            "cannot tell valleys apart without an error rate, because what barrier in a loss matters depends on its "
            "unit; give loss=, a margin in units of the loss"
        )
    crossed = []
    for name, segment in connection.segments.items():
        rate, cost = segment.error_barrier, segment.loss_barrier
        if rate is not None and not rate.instability < error:
            crossed.append(f"the error rate on {name} samples rises {rate.instability:.2%} above the mean of the ends")
        if loss is not None and not cost.height < loss:
            crossed.append(f"the loss on {name} samples rises {cost.height:.3g} above the line between the ends")
    margins = [f"{error:.2%} in the error rate"] if connection.train.error_barrier is not None else []
    margins += [f"{loss:.3g} in the loss"] if loss is not None else []
    allowed = f"margin {' and '.join(margins)}"
    if crossed:
        return Valley(connection, False, f"Not the same valley: {', '.join(crossed)} ({allowed}).")
    where = " and ".join(connection.segments)
    return Valley(connection, True, f"Same valley: no barrier between the runs on {where} samples ({allowed}).")


def _ends(line: Line, values: Sequence[float]) -> tuple[float, float]:
    at = dict(zip(line.positions, values, strict=True))
    return at[0.0], at[1.0]


def _written(barrier: Barrier) -> dict[str, float | None]:
    return {name: plain(value) for name, value in asdict(barrier).items()}
