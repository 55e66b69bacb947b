"""Parallel axes: one line per run or seed over several contexts or measures, each method against the baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from samnesia.study import numbers
from samnesia.study.contexts import Grid
from samnesia.study.figures import Palette, label
from samnesia.study.judged import Judged, decimals
from samnesia.study.report import marks
from samnesia.study.report.plates import Panel, Plate
from samnesia.study.wording import capital

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST = 3
"""Axes that make a figure: two of them are a scatter."""
Lines = Sequence[Sequence[float | None]]
"""For each line its value on every axis, where it has one."""


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


def parallel_plate(grid: Grid, judged: Judged) -> Plate | None:
    """Seeds over contexts, where there are enough of them, or else runs over measures; None for neither."""
    by_arm, names, over = _over_contexts(grid, judged) if len(grid.contexts) >= LEAST else _over_measures(grid)
    kept = [place for place, (_, _) in enumerate(names) if _spread(by_arm, place) is not None]
    if len(kept) < LEAST or len(by_arm) < 2:
        return None
    axes = [Axis(names[place][0], *(_spread(by_arm, place) or (0.0, 0.0)), names[place][1]) for place in kept]
    lines = {arm: [[line[place] for place in kept] for line in every] for arm, every in by_arm.items()}
    base, *others = lines
    panels = tuple(
        Panel(
            partial(
                draw_parallel, rows=axes, ground=lines[base], lines=lines[arm], index=grid.arms.index(arm), arm=arm
            ),
            _described(axes, arm, base, lines, over),
        )
        for arm in others
    )
    caption = (
        f"A line is {over}: {label(base)} in grey, the method in colour. Each axis has a scale of its own, from the "
        "lowest to the highest of all runs, whose values stand at its ends."
    )
    if over == ONE_SEED and judged.at(judged.main):
        caption += f" Values {judged.at(judged.main)}."
    titles = {
        ONE_SEED: f"{capital(judged.name)} of every seed, context by context",
        ONE_RUN: "Every run, measure by measure",
    }
    return Plate("parallel", titles[over], caption, panels, 0.75 + 0.42 * len(axes))


ONE_SEED, ONE_RUN = "one seed", "one run"


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


def _over_contexts(
    grid: Grid, judged: Judged
) -> tuple[dict[str, list[list[float | None]]], list[tuple[str, str]], str]:
    column = judged.columns[judged.main]
    by_arm = {}
    for arm in grid.arms:
        every = [grid.values(grid.cell(context, arm), column) for context in grid.contexts]
        by_arm[arm] = [[values.get(seed) for values in every] for seed in grid.design.seeds]
    return _with_values(by_arm), [(context.name, judged.unit) for context in grid.contexts], ONE_SEED


def _over_measures(grid: Grid) -> tuple[dict[str, list[list[float | None]]], list[tuple[str, str]], str]:
    by_arm: dict[str, list[list[float | None]]] = {arm: [] for arm in grid.arms}
    for levels, _, row in grid.each():
        found = [row.get(measure.value) for measure in grid.design.measures]
        values = [float(one) if one is not None and math.isfinite(one) else None for one in found]
        by_arm[levels[grid.design.compared]].append(values)
    return _with_values(by_arm), [(measure.label, measure.unit) for measure in grid.design.measures], ONE_RUN


def _with_values(by_arm: Mapping[str, list[list[float | None]]]) -> dict[str, list[list[float | None]]]:
    lines = {arm: [line for line in every if any(one is not None for one in line)] for arm, every in by_arm.items()}
    return {arm: every for arm, every in lines.items() if every}


def _spread(by_arm: Mapping[str, Lines], place: int) -> tuple[float, float] | None:
    values = [line[place] for every in by_arm.values() for line in every]
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if known else None


def _described(axes: Sequence[Axis], arm: str, base: str, lines: Mapping[str, Lines], over: str) -> str:
    names = ", ".join(f"{axis.name} from {axis.shown(axis.low)} to {axis.shown(axis.high)}" for axis in axes)
    counts = f"{len(lines[arm])} lines of {label(arm)} and {len(lines[base])} of {label(base)}"
    return f"Parallel axes, a line for {over}: {names}; {counts}."
