"""The table of all numbers: a row per context and method, a column per factor, measure, difference and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from samnesia.study.judging import numbers
from samnesia.study.judging.numbers import Bounds, Estimate
from samnesia.study.report.contexts import Grid, number
from samnesia.study.report.judged import SHARE, Judged, decimals
from samnesia.study.report.summary import COSTS, other_measures
from samnesia.study.report.wording import Rows, Summary, capital, order_of, sides


@dataclass(frozen=True)
class Column:
    """A column: its heading, what stands below that, and whether it holds numbers, which are sorted from the top."""

    name: str
    unit: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Entry:
    """A cell of a table: what it is sorted by, what is shown, and the interval below it."""

    value: float | str | None
    shown: str
    ends: str = ""


@dataclass(frozen=True)
class Line:
    """A row: the method, its place in the order of colours, and its cells."""

    method: str
    index: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Table:
    """A table of the page; its first column is the method."""

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]


def numbers_table(summary: Summary, grid: Grid) -> Table:
    """All means with their intervals: a row per context and method."""
    judged, order = Judged.of(summary), order_of(summary)
    factors = [name for name in grid.varied() if name != summary["compared"]] if summary["contexts"] else []
    blocks = [(one["levels"], one["methods"]) for one in summary["contexts"]] or [({}, summary["methods"])]
    rows = [row for _, block in blocks for row in block]
    fields: list[_Estimates | _Number] = [
        *_score_fields(judged, summary["baseline"]),
        *_flipped_fields(rows),
        *_COSTS,
        *_measure_fields(grid, rows),
    ]
    fields = [one for one in fields if any(one.entry(row).value is not None for row in rows)]
    lines = tuple(
        Line(
            row["method"], order[row["method"]],
            (*(_level(levels[name]) for name in factors), *(one.entry(row) for one in fields)),
        )
        for levels, block in blocks
        for row in block
    )  # fmt: skip
    heads = [Column(capital(name), numeric=False) for name in factors]
    return Table((Column(capital(summary["compared"]), numeric=False), *heads, *(one.column for one in fields)), lines)


def standing_table(summary: Summary) -> Table | None:
    """Where each method stands over several contexts; None for one context."""
    judged = Judged.of(summary)
    if not summary["contexts"] or len(summary["methods"]) < 2:
        return None
    columns, rows = [Column(capital(summary["compared"]), numeric=False)], summary["methods"][1:]
    for words in judged.points.values():
        unit = ", ".join(part for part in (words or judged.name, judged.step) if part)
        columns += [Column("Mean difference", unit), Column("Contexts", words)]
    lines = tuple(
        Line(
            row["method"],
            place,
            tuple(entry for point in judged.points for entry in _standing(summary, judged, row, point)),
        )
        for place, row in enumerate(rows, start=1)
    )
    return Table(tuple(columns), lines)


@dataclass(frozen=True)
class _Estimates:
    """A column of estimates: where they stand in a method's row, and how they are written."""

    column: Column
    path: tuple[str, ...]
    digits: int = 1
    signed: bool = False
    bounds: Bounds | None = None
    without: str = ""
    """The method that has none of its own, being the baseline."""

    def entry(self, row: Mapping[str, Any]) -> Entry:
        if row["method"] == self.without:
            return Entry(None, numbers.plain(None))
        estimate: Estimate = row
        for name in self.path:
            estimate = estimate[name]
        shown = (numbers.signed if self.signed else numbers.plain)(estimate["mean"], self.digits)
        return Entry(estimate["mean"], shown, numbers.ends(estimate, self.digits, self.bounds))


@dataclass(frozen=True)
class _Number:
    """A column of plain numbers."""

    column: Column
    name: str
    digits: int

    def entry(self, row: Mapping[str, Any]) -> Entry:
        return Entry(row[self.name], numbers.plain(row[self.name], self.digits))


_COSTS = (
    _Number(Column("Gradients", "per run"), "gradient_evaluations", 0),
    _Number(Column("Seconds", "per run"), "seconds", 1),
)


def _score_fields(judged: Judged, baseline: str) -> list[_Estimates]:
    levels, differences = [], []
    for point, words in judged.points.items():
        short = " ".join([words.split()[0], words.split()[-1]]) if words else judged.name
        head = Column(capital(short), judged.heading if words else judged.unit)
        levels.append(_Estimates(head, ("score", point), judged.decimals, bounds=judged.bounds))
        told = f"Difference, {words.split()[0]}" if words else "Difference"
        differences.append(
            _Estimates(Column(told, judged.step), ("difference", point), judged.decimals, signed=True, without=baseline)
        )
    return [*levels, *differences]


def _flipped_fields(rows: Rows) -> list[_Estimates]:
    if all(row["flipped_fitted"]["last"]["mean"] is None for row in rows):
        return []
    return [_Estimates(Column("Flipped fitted", "last epoch, %"), ("flipped_fitted", "last"), bounds=SHARE)]


def _measure_fields(grid: Grid, rows: Rows) -> list[_Estimates]:
    fields = []
    for measure in other_measures(grid):
        if measure.value.endswith(".flipped_fitted") or measure.value in COSTS:
            continue  # has a column of its own
        means = [row["measures"][measure.name]["mean"] for row in rows]
        digits, bounds = decimals(measure.unit, means, []), SHARE if measure.unit == "%" else None
        head = Column(capital(measure.label), measure.unit)
        fields.append(_Estimates(head, ("measures", measure.name), digits, bounds=bounds))
    return fields


def _level(level: str) -> Entry:
    return Entry(level if number(level) is None else number(level), level)


def _standing(summary: Summary, judged: Judged, row: Mapping[str, Any], point: str) -> Sequence[Entry]:
    difference = row["difference"][point]
    better, unclear, worse = sides(summary, judged, row["method"], point)
    words = ("above", "below") if judged.higher_is_better is None else ("better", "worse")
    return (
        Entry(difference["mean"], judged.difference(difference["mean"]), judged.change_ends(difference)),
        Entry(better - worse, f"{better} {words[0]}", f"{unclear} unclear, {worse} {words[1]}"),
    )
