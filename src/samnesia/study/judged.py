"""The figure that runs are judged by, and how it is spoken of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from samnesia.study import numbers
from samnesia.study.numbers import Bounds, Estimate

SHARE: Bounds = (0.0, 100.0)
MOST_DECIMALS = 6


@dataclass(frozen=True)
class Judged:
    """A measure on a split, with its unit and direction; the fields are those of ``judged_by`` in ``compare.json``.

    Attributes:
        split: the samples that are reported: test, validation or train.
        measure: name of the measure, such as accuracy or rmse.
        unit: its unit; % is a share of 0 to 100, empty is a pure number.
        higher_is_better: whether a larger value is better.
        chosen_on: the split whose measure decides which epoch is the best.
        decimals: digits after the point with which values are written.
    """

    split: str
    measure: str
    unit: str
    higher_is_better: bool
    chosen_on: str
    decimals: int = 1

    @staticmethod
    def of(summary: Mapping[str, Any]) -> Judged:
        """Read it from a comparison's summary."""
        return Judged(**summary["judged_by"])

    @property
    def key(self) -> str:
        """Name of its curve, such as ``test_accuracy``."""
        return f"{self.split}_{self.measure}"

    @property
    def name(self) -> str:
        """As it is spoken of: ``test accuracy``."""
        return f"{_adjective(self.split)} {self.measure}".replace("_", " ")

    @property
    def chosen(self) -> str:
        """What the best epoch is the best of: ``validation accuracy``."""
        return f"{_adjective(self.chosen_on)} {self.measure}".replace("_", " ")

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
    def best_epoch(self) -> str:
        """``best validation epoch``."""
        return f"best {_adjective(self.chosen_on)} epoch"

    @property
    def at(self) -> dict[str, str]:
        """The two points of a run at which it is judged, in words."""
        return {"last": "at the last epoch", "best": f"at the {self.best_epoch}"}

    @property
    def better(self) -> str:
        """Where the better values are."""
        return "above" if self.higher_is_better else "below"

    @property
    def worse(self) -> str:
        """Where the worse values are."""
        return "below" if self.higher_is_better else "above"

    @property
    def top(self) -> str:
        """What the best of several values is."""
        return "highest" if self.higher_is_better else "lowest"

    def gain(self, difference: float) -> float:
        """A difference, positive where it is for the better."""
        return difference if self.higher_is_better else -difference

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

    def level_ends(self, estimate: Estimate) -> str:
        """The interval of a value."""
        return numbers.ends(estimate, self.decimals, self.bounds)

    def change_ends(self, estimate: Estimate) -> str:
        """The interval of a difference."""
        return numbers.ends(estimate, self.decimals)


def decimals(unit: str, levels: Sequence[float | None], differences: Sequence[float | None]) -> int:
    """Digits after the point that show three figures of the largest value, and one more for small differences."""
    if unit == "%":
        return 1
    largest, widest = (max(abs(value or 0.0) for value in values) for values in (levels, differences))
    if not largest:
        return 1
    enough = 2 - math.floor(math.log10(largest))
    if widest and 1 - math.floor(math.log10(widest)) > enough:
        enough += 1
    return min(max(enough, 0), MOST_DECIMALS)


def _adjective(split: str) -> str:
    return "training" if split == "train" else split
