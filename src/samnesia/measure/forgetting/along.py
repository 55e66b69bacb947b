"""Forgetting and sharpness along training, from the lines that a run records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from samnesia.measure.forgetting.estimators import WHOLE
from samnesia.measure.forgetting.result import RUNNING, TRAINING
from samnesia.perturb.errors import ConfigurationError

Record = Mapping[str, Any]
"""A line of ``records.jsonl``: ``step``, ``epoch`` and what was measured before that step."""


@dataclass(frozen=True)
class Course:
    """One figure along training. Points without a value are left out."""

    steps: tuple[int, ...]
    epochs: tuple[float, ...]
    values: tuple[float, ...]
    errors: tuple[float, ...]
    """Standard errors; NaN where there is none."""

    @property
    def run(self) -> float:
        """The mean over the run, each epoch counting the same, wherever the points lie."""
        return self.since(-math.inf)

    @property
    def last_third(self) -> float:
        """The mean over the last third of the epochs; the late phase should matter most."""
        return self.since(self.epochs[-1] * 2.0 / 3.0 - 1e-9)

    @property
    def last(self) -> float:
        """The last value."""
        return self.values[-1]

    def since(self, epoch: float) -> float:
        """The mean from an epoch on, each epoch counting the same; NaN where there is no point any more."""
        points = [(e, v) for e, v in zip(self.epochs, self.values, strict=True) if e >= epoch]
        if not points:
            return math.nan
        if len(points) == 1:
            return points[0][1]
        pairs = list(zip(points[:-1], points[1:], strict=True))
        area = math.fsum((b - a) * (v + w) / 2.0 for (a, v), (b, w) in pairs)
        return area / (points[-1][0] - points[0][0])


def forgetting_course(
    lines: Iterable[Record],
    name: str,
    *,
    probe: str = "common",
    split: str = TRAINING,
    group: str = WHOLE,
    statistics: str = RUNNING,
) -> Course:
    """What is forgotten along training, by its name in :class:`samnesia.measure.Forgetting`.

    Args:
        lines: of ``records.jsonl``.
        name: such as ``superfluous`` or ``input_exposed``.
        probe: ``own`` or ``common``; steps on which the method does not perturb have no own perturbation.
        split: ``exposed``, ``training`` or ``held_out``.
        group: of samples.
        statistics: ``running`` or ``batch``.

    Raises:
        ConfigurationError: if it was recorded on no step.
    """
    path = ("forgetting", probe, "values", statistics, split, group, name)
    return _there(course_of(lines, path), " / ".join(path[1:]))


def sharpness_course(lines: Iterable[Record], *, statistics: str = RUNNING) -> Course:
    """m-sharpness along training, from the same steps; raises ConfigurationError if it was recorded on none."""
    return _there(course_of(lines, ("sharpness", "values", statistics)), f"m-sharpness / {statistics}")


def course_of(lines: Iterable[Record], path: Sequence[str]) -> Course | None:
    """The course of the estimate that stands at a place of the lines; None where no line has a value there."""
    found = [(line["step"], line["epoch"], _at(line, path)) for line in lines]
    points = [
        (step, epoch, one["value"], math.nan if one["error"] is None else one["error"])
        for step, epoch, one in found
        if one is not None and one["value"] is not None
    ]
    if not points:
        return None
    steps, epochs, values, errors = zip(*points, strict=True)
    return Course(steps, epochs, values, errors)


def _there(course: Course | None, words: str) -> Course:
    if course is None:
        raise ConfigurationError(
            f"cannot follow {words} along training, because it was recorded on no step; look at what the lines hold"
        )
    return course


def _at(line: Record, path: Sequence[str]) -> Any:
    found: Any = line
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found
