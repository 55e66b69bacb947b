"""What a run has recorded along training, as values of a cell.

Names, in the order of their parts::

    recorded.late.own.exposed.superfluous             when, probe, where, estimate
    recorded.late.own.exposed.flipped.superfluous     of a group of samples
    recorded.late.own-batch.exposed.superfluous       by the statistics of each batch, where layers keep some
    recorded.late.own.norm                            2-norm of the perturbation
    recorded.late.sharpness, ...sharpness-batch       m-sharpness at the radius of the record
    recorded.points, recorded.seconds                 lines that were recorded, and what recording has cost

When is ``all`` (the mean over all recorded steps, each epoch counting the same), ``late`` (that over those of the last
third of training) or ``last`` (the last recorded step). Probes and estimates are those of docs/forgetting.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from samnesia.measure.forgetting.along import Course, course_of
from samnesia.measure.forgetting.estimators import WHOLE
from samnesia.measure.forgetting.result import RUNNING
from samnesia.train.log import Row
from samnesia.train.record.reading import read_records

BEFORE = "_before"
"""What there was to forget is no value: records.jsonl has it."""
Path_ = tuple[str, ...]
"""Where an estimate stands in a line."""


def recorded_values(run: Path) -> dict[str, float | None]:
    """The values of what was recorded in the directory of a run; None where no step has one.

    Raises:
        ConfigurationError: if nothing was recorded there, or the file is damaged.
    """
    return values_of_lines(read_records(run))


def values_of_lines(lines: Sequence[Row]) -> dict[str, float | None]:
    """The values of these lines of ``records.jsonl``."""
    found: dict[str, float | None] = {
        "recorded.points": float(sum("cannot" not in line for line in lines)),
        "recorded.seconds": math.fsum(line["seconds"] for line in lines),
    }
    late = lines[-1]["epoch"] * 2.0 / 3.0 - 1e-9 if lines else 0.0
    for name, path in _paths(lines).items():
        course = course_of(lines, path)
        for when, value in _over(course, late).items():
            found[f"recorded.{when}.{name}"] = value
    return found


def flat(forgetting: Mapping[str, Any], probe: str) -> dict[str, float | None]:
    """The estimates of what was forgotten under one probe (:meth:`Forgetting.as_dict`), by their short names."""
    paths = {name: path[1:] for name, path in _of_probe(probe, forgetting)}
    return {name: _value(forgetting, path) for name, path in paths.items()}


def _over(course: Course | None, late: float) -> dict[str, float | None]:
    if course is None:
        return dict.fromkeys(("all", "late", "last"))
    return {"all": course.run, "late": course.since(late), "last": course.last}


def _paths(lines: Iterable[Row]) -> dict[str, Path_]:
    """Everything that some line has, by its short name."""
    found: dict[str, Path_] = {}
    for line in lines:
        for probe, block in line.get("forgetting", {}).items():
            if block is not None and "values" in block:
                found.update((name, ("forgetting", *path)) for name, path in _of_probe(probe, block))
        for statistics in line.get("sharpness", {}).get("values", {}):
            found[_told("sharpness", statistics)] = ("sharpness", "values", statistics)
    return found


def _of_probe(probe: str, block: Mapping[str, Any]) -> Iterator[tuple[str, Path_]]:
    yield f"{probe}.norm", (probe, "norm")
    for statistics, splits in block["values"].items():
        for split, groups in splits.items():
            for group, estimates in groups.items():
                for name in estimates:
                    if name.endswith(BEFORE):
                        continue
                    parts = (_told(probe, statistics), split, *([] if group == WHOLE else [group]), name)
                    yield ".".join(parts), (probe, "values", statistics, split, group, name)


def _told(what: str, statistics: str) -> str:
    return what if statistics == RUNNING else f"{what}-{statistics}"


def _value(block: Mapping[str, Any], path: Path_) -> float | None:
    found: Any = block
    for key in path:
        found = found[key]
    value: float | None = found["value"]
    return value
