"""The measure that a study shows first, and how it is spoken of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from samnesia.study.design import Design, Measure
from samnesia.study.judging import numbers
from samnesia.study.judging.numbers import Bounds, Estimate

SHARE: Bounds = (0.0, 100.0)
MOST_DECIMALS = 6
POINTS = ("last", "best")
"""The epochs of a run at which a measure may be taken: the first part of its column's name."""


@dataclass(frozen=True)
class Judged:
    """A measure with its unit and direction; the fields are those of ``judged_by`` in ``compare.json``.

    Attributes:
        name: as it is spoken of, such as ``test accuracy``.
        unit: its unit; % is a share of 0 to 100, empty is a pure number.
        higher_is_better: whether a larger value is better; None where neither is.
        key: name of its curve over epochs, such as ``test_accuracy``; empty where it has none.
        columns: by point of a run, the column of the table that holds it; one point, ``value``, of what has no epochs.
        points: by point, how it is called, such as ``best validation epoch``.
        decimals: digits after the point with which values are written.
    """

    name: str
    unit: str
    higher_is_better: bool | None
    key: str = ""
    columns: Mapping[str, str] = field(default_factory=lambda: {"value": "value"})
    points: Mapping[str, str] = field(default_factory=lambda: {"value": ""})
    decimals: int = 1

    @staticmethod
    def of(summary: Mapping[str, Any]) -> Judged:
        """Read it from a summary."""
        return Judged(**summary["judged_by"])

    @staticmethod
    def first(design: Design, columns: Sequence[str]) -> Judged:
        """The measure that a study shows first, at the last and at the best epoch where it has both among its own."""
        measure = design.measures[0]
        point, _, key = measure.value.partition(".")
        name, words = split_label(measure)
        if point not in POINTS:
            return Judged(name, measure.unit, measure.higher_is_better, "", {"value": measure.value}, {"value": words})
        known = {one.value: split_label(one)[1] for one in design.measures}
        found = {one: f"{one}.{key}" for one in POINTS if one == point or f"{one}.{key}" in {*columns} & known.keys()}
        called = {one: known.get(column) or f"{one} epoch" for one, column in found.items()}
        return Judged(name, measure.unit, measure.higher_is_better, key, found, called)

    @property
    def main(self) -> str:
        """The point that is shown where there is room for one."""
        return next(iter(self.points))

    @property
    def axis(self) -> str:
        """With its unit, for an axis: ``test accuracy (%)``."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def heading(self) -> str:
        """With its unit, for the head of a column: ``test accuracy, %``."""
        return f"{self.name}, {self.unit}" if self.unit else self.name

    @property
    def step(self) -> str:
        """The unit of differences: points, of a share in percent."""
        return "points" if self.unit == "%" else self.unit

    @property
    def bounds(self) -> Bounds | None:
        """Where intervals of values are cut."""
        return SHARE if self.unit == "%" else None

    @property
    def most(self) -> float | None:
        """The value with no error: 100 of a share that is better higher, 0 of what is better lower; or None."""
        if self.higher_is_better is None:
            return None
        if not self.higher_is_better:
            return 0.0
        return 100.0 if self.unit == "%" else None

    @property
    def error(self) -> str:
        """What is lowered by what is better: of an accuracy the error."""
        if not self.most:
            return self.name
        return "error" if "accuracy" in self.name else f"distance of {self.name} from {self.most:g} %"

    @property
    def better(self) -> str:
        """Where the better values are."""
        return "below" if self.higher_is_better is False else "above"

    @property
    def worse(self) -> str:
        """Where the worse values are."""
        return "above" if self.higher_is_better is False else "below"

    @property
    def top(self) -> str:
        """What the best of several values is."""
        return "lowest" if self.higher_is_better is False else "highest"

    def at(self, point: str) -> str:
        """A point of a run in words: ``at the best validation epoch``; empty where there is but one."""
        return f"at the {self.points[point]}" if self.points[point] else ""

    def gain(self, difference: float) -> float:
        """A difference, positive where it is for the better."""
        return -difference if self.higher_is_better is False else difference

    def side(self, difference: Estimate) -> int:
        """1 for better, -1 for worse, 0 where the interval holds zero or does not exist."""
        if difference["low"] is None:
            return 0
        return int(self.gain(1)) * (int(difference["low"] > 0.0) - int(difference["high"] < 0.0))

    def in_unit(self, text: str) -> str:
        """A value with its unit: ``94.7 %``."""
        return f"{text} {self.unit}" if self.unit else text

    def in_steps(self, text: str) -> str:
        """A difference with its unit: ``+1.2 points``."""
        return f"{text} {self.step}" if self.step else text

    def value(self, value: float | None) -> str:
        """A value in figures."""
        return numbers.plain(value, self.decimals)

    def difference(self, value: float | None) -> str:
        """A difference in figures."""
        return numbers.signed(value, self.decimals)

    def level(self, estimate: Estimate) -> str:
        """A mean value with its interval: ``94.7 (93.9 to 95.5)``."""
        return numbers.level(estimate, self.decimals, self.bounds)

    def change(self, estimate: Estimate) -> str:
        """A mean difference with its interval: ``+12.1 (10.3 to 13.9)``."""
        return numbers.change(estimate, self.decimals)

    def change_ends(self, estimate: Estimate) -> str:
        """The interval of a difference."""
        return numbers.ends(estimate, self.decimals)


def split_label(measure: Measure) -> tuple[str, str]:
    """What a measure is, and when: ``test accuracy, last epoch`` gives both; the second is empty where none is said."""
    name, _, point = measure.label.rpartition(", ")
    told = name and point.endswith("epoch") and measure.value.partition(".")[0] in POINTS
    return (name, point) if told else (measure.label, "")


def decimals(unit: str, levels: Sequence[float | None], differences: Sequence[float | None]) -> int:
    """Digits after the point that show three figures of the largest value, and one more for small differences."""
    if unit == "%":
        return 1
    largest, widest = (max((abs(value or 0.0) for value in values), default=0.0) for values in (levels, differences))
    if not largest:
        return 1
    enough = 2 - math.floor(math.log10(largest))
    if widest and 1 - math.floor(math.log10(widest)) > enough:
        enough += 1
    return min(max(enough, 0), MOST_DECIMALS)
