"""The contexts of a study: in each of them the levels of the compared factor are held against its first level."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samnesia.study.design import Design, Levels

if TYPE_CHECKING:
    import pandas

Row = Mapping[str, Any]
"""A row of the tidy table: its columns by name."""
FINISHED = "finished"
SHORT = 7
"""Letters of a word that says too little alone, such as yes, right or high."""


@dataclass(frozen=True)
class Context:
    """One combination of levels of all factors but the compared one.

    Attributes:
        levels: the level of each of these factors.
        name: those of the factors that vary, as they are printed; empty where none does.
        arms: levels of the compared factor that run in it, in the order of the design.
    """

    levels: Mapping[str, str]
    name: str
    arms: tuple[str, ...]


class Grid:
    """The rows of a study's table by the levels of their cell and by seed.

    Args:
        design: what was asked for.
        table: one row for each cell and seed; see :class:`samnesia.study.design.Design`.
    """

    def __init__(self, design: Design, table: pandas.DataFrame) -> None:
        self.design = design
        self._factors = [factor.name for factor in design.factors]
        self._rows: dict[tuple[str, ...], dict[int, dict[str, Any]]] = {}
        for row in table.to_dict("records"):
            self._rows.setdefault(self._key(row), {})[int(row["seed"])] = row
        self.columns = tuple(table.columns)

    @property
    def contexts(self) -> list[Context]:
        """All contexts with at least one cell, in the order of the design."""
        compared = self.design.compared
        found: dict[tuple[str, ...], tuple[dict[str, str], list[str]]] = {}
        for levels in self.design.cells():
            others = {name: level for name, level in levels.items() if name != compared}
            found.setdefault(tuple(others.values()), (others, []))[1].append(levels[compared])
        return [Context(levels, self._name(levels), tuple(arms)) for levels, arms in found.values()]

    @property
    def arms(self) -> tuple[str, ...]:
        """The levels of the compared factor that run in some context, in the order of the design."""
        present = {arm for context in self.contexts for arm in context.arms}
        return tuple(level for level in self.design.factor(self.design.compared).levels if level in present)

    def cell(self, context: Context, arm: str) -> dict[str, str]:
        """The levels of one cell of a context."""
        return {**context.levels, self.design.compared: arm}

    def rows(self, levels: Levels) -> dict[int, Row]:
        """Every row of a cell by seed, in the order of the seeds; whether it has finished or not."""
        rows = self._rows.get(self._key(levels), {})
        return {seed: rows[seed] for seed in self.design.seeds if seed in rows}

    def finished(self, levels: Levels) -> dict[int, Row]:
        """The finished rows of a cell by seed."""
        return {seed: row for seed, row in self.rows(levels).items() if row["status"] == FINISHED}

    def values(self, levels: Levels, column: str) -> dict[int, float]:
        """A column of the finished rows of a cell by seed; without those that have no finite number there."""
        if column not in self.columns:
            return {}
        found = {seed: row[column] for seed, row in self.finished(levels).items()}
        return {seed: float(value) for seed, value in found.items() if value is not None and math.isfinite(value)}

    def mean_over(self, cells: Iterable[Levels], column: str) -> dict[int, float]:
        """The mean of a column over several cells by seed; of those seeds that have all of them."""
        every = [self.values(levels, column) for levels in cells]
        if not every:
            return {}
        return {
            seed: math.fsum(values[seed] for values in every) / len(every)
            for seed in self.design.seeds
            if all(seed in values for values in every)
        }

    def each(self) -> Iterable[tuple[dict[str, str], int, Row]]:
        """Yield the levels, the seed and the row of every cell and seed that is in the table."""
        for levels in self.design.cells():
            for seed, row in self.rows(levels).items():
                yield levels, seed, row

    def matched(self, factor: str) -> dict[str, list[dict[str, str]]]:
        """The cells of each level of a factor, of those combinations of the other factors that all its levels have.

        Means over them differ by the factor alone, also where the design leaves cells out.
        """
        by_level: dict[str, dict[tuple[str, ...], dict[str, str]]] = {}
        for levels in self.design.cells():
            others = tuple(level for name, level in levels.items() if name != factor)
            by_level.setdefault(levels[factor], {})[others] = levels
        shared = set.intersection(*(set(cells) for cells in by_level.values()))
        return {
            level: [cell for others, cell in by_level[level].items() if others in shared]
            for level in self.design.factor(factor).levels
            if level in by_level
        }

    def varied(self) -> list[str]:
        """Names of the factors that have more than one level among the cells, in the order of the design."""
        seen = {name: {levels[name] for levels in self.design.cells()} for name in self._factors}
        return [name for name in self._factors if len(seen[name]) > 1]

    def _key(self, levels: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(str(levels[name]) for name in self._factors)

    def _name(self, levels: Levels) -> str:
        varied = self.varied()
        return ", ".join(self._level(name, level) for name, level in levels.items() if name in varied)

    def _level(self, factor: str, level: str) -> str:
        """A level as printed: with the factor's name before it where all its levels are numbers or short words."""
        bare = all(len(one) < SHORT or number(one) is not None for one in self.design.factor(factor).levels)
        return f"{factor} {level}" if bare else level


def number(text: str) -> float | None:
    """The number that a text is, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
