"""Parallel axes: one line per run or seed over several contexts or measures, each method against the baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from samnesia.study.judging import numbers
from samnesia.study.report.contexts import Grid
from samnesia.study.report.facts import ranked_measures
from samnesia.study.report.figures import marks
from samnesia.study.report.figures.plates import Panel, Plate
from samnesia.study.report.figures.style import Palette, label
from samnesia.study.report.judged import Judged, decimals
from samnesia.study.report.summary import COSTS
from samnesia.study.report.wording import capital

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST = 3
"""Axes that make a figure: two of them are a scatter."""
Line = Sequence[float | None]
"""The value of a run, or of a seed, on every axis, where it has one."""
Lines = Sequence[Line]


@dataclass(frozen=True)
class Axis:
    """One of the parallel axes: its name, the ends that its values have, and its unit."""

    name: str
    low: float
    high: float
    unit: str

    def place(self, value: float) -> float:
        """Where a value stands between the ends, from 0 to 1."""
        return (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5

    def shown(self, value: float) -> str:
        """A value in figures."""
        digits = max(decimals(self.unit, [self.low, self.high], [self.high - self.low]), 0)
        return numbers.plain(value, digits)


@dataclass(frozen=True)
class Bundle:
    """All lines, and what they run over.

    Attributes:
        line: what one of them is.
        title: what is seen.
        names: of the axes, each with its unit.
        by_arm: the lines of each method.
    """

    line: str
    title: str
    names: Sequence[tuple[str, str]]
    by_arm: Mapping[str, Lines]

    def told(self) -> Bundle:
        """The same without methods, axes and lines that have no value."""
        lines = {arm: [line for line in every if _known(line)] for arm, every in self.by_arm.items()}
        lines = {arm: every for arm, every in lines.items() if every}
        kept = [place for place in range(len(self.names)) if _known(_on_axis(lines, place))]
        by_arm = {arm: [[line[place] for place in kept] for line in every] for arm, every in lines.items()}
        return Bundle(self.line, self.title, [self.names[place] for place in kept], by_arm)

    def axes(self) -> list[Axis]:
        """The axes, each from the lowest to the highest of all lines."""
        spans = [_known(_on_axis(self.by_arm, place)) for place in range(len(self.names))]
        return [Axis(name, min(span), max(span), unit) for (name, unit), span in zip(self.names, spans, strict=True)]


def parallel_plate(grid: Grid, judged: Judged) -> Plate | None:
    """Runs over the measures that are ranked, or seeds over contexts, or runs over all measures.

    The first of these with three axes or more; None where there is none, and for one method.
    """
    ranked = ranked_measures(grid.design)
    every = [measure.name for measure in grid.design.measures if measure.value not in COSTS]
    choices = (_over_measures(grid, ranked), _over_contexts(grid, judged), _over_measures(grid, every))
    bundle = next((found for found in map(Bundle.told, choices) if len(found.names) >= LEAST), None)
    if bundle is None or len(bundle.by_arm) < 2:
        return None
    axes = bundle.axes()
    base, *others = bundle.by_arm
    panels = tuple(
        Panel(
            partial(
                draw_parallel, rows=axes, ground=bundle.by_arm[base], lines=bundle.by_arm[arm],
                index=grid.arms.index(arm), arm=arm,
            ),
            _described(axes, arm, base, bundle),
        )
        for arm in others
    )  # fmt: skip
    caption = (
        f"A line is {bundle.line}: {label(base)} in grey, what is compared to it in colour. Each axis has a scale of "
        "its own, from the lowest to the highest of all runs, whose values stand at its ends."
    )
    return Plate("parallel", bundle.title, caption, panels, 0.75 + 0.42 * len(axes))


def draw_parallel(axes: Axes, palette: Palette, *, rows: Sequence[Axis], ground: Lines, lines: Lines, index: int,
                  arm: str) -> None:  # fmt: skip
    """The lines of a method over those of the baseline, on axes that lie above each other."""
    for place, row in enumerate(rows):
        axes.plot([0.0, 1.0], [place] * 2, color=palette.rule, linewidth=0.8, zorder=1)
        for end, side, value in ((0.0, -1, row.low), (1.0, 1, row.high)):
            axes.annotate(row.shown(value), (end, place), (5 * side, 0), textcoords="offset points", va="center",
                          ha="right" if side < 0 else "left", color=palette.muted, annotation_clip=False)  # fmt: skip
    for group, colour, alpha in ((ground, palette.method(0), 0.45), (lines, palette.method(index), 0.8)):
        width = 0.9 if len(group) <= 20 else 0.6
        for line in group:
            known = [(rows[place].place(value), place) for place, value in enumerate(line) if value is not None]
            x, y = zip(*known, strict=True)
            axes.plot(x, y, "-", color=colour, alpha=alpha, linewidth=width, zorder=3)
            axes.plot(x, y, "o", color=colour, alpha=alpha, markersize=1.8, mew=0, zorder=3)
    marks.name_rows(axes, [row.name for row in rows])
    marks.style_axes(axes, palette, grid="x")
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])
    axes.set_xlim(-0.02, 1.02)
    axes.tick_params(axis="y", pad=8 + 5 * max(len(row.shown(row.low)) for row in rows))
    marks.title(axes, palette, label(arm))


def _over_contexts(grid: Grid, judged: Judged) -> Bundle:
    column, contexts = judged.columns[judged.main], grid.contexts
    by_arm = {}
    for arm in grid.arms:
        every = [grid.values(grid.cell(context, arm), column) for context in contexts]
        by_arm[arm] = [[values.get(seed) for values in every] for seed in grid.design.seeds]
    when = f" {judged.at(judged.main)}" if judged.at(judged.main) else ""
    title = f"{capital(judged.name)} of every seed, context by context"
    return Bundle(f"one seed{when}", title, [(context.name, judged.unit) for context in contexts], by_arm)


def _over_measures(grid: Grid, names: Sequence[str]) -> Bundle:
    measures = [grid.design.measure(name) for name in names]
    by_arm: dict[str, list[Line]] = {arm: [] for arm in grid.arms}
    for levels, _, row in grid.each():
        found = [row.get(measure.value) for measure in measures]
        line = [float(value) if value is not None and math.isfinite(value) else None for value in found]
        by_arm[levels[grid.design.compared]].append(line)
    return Bundle("one run", "Every run, measure by measure", [(one.label, one.unit) for one in measures], by_arm)


def _on_axis(by_arm: Mapping[str, Lines], place: int) -> list[float | None]:
    return [line[place] for every in by_arm.values() for line in every]


def _known(values: Line) -> list[float]:
    return [value for value in values if value is not None]


def _described(axes: Sequence[Axis], arm: str, base: str, bundle: Bundle) -> str:
    names = ", ".join(f"{axis.name} from {axis.shown(axis.low)} to {axis.shown(axis.high)}" for axis in axes)
    counts = " and ".join(f"{len(bundle.by_arm[one])} of {label(one)}" for one in (arm, base))
    return f"Parallel axes, a line for {bundle.line}: {names}; lines: {counts}."
