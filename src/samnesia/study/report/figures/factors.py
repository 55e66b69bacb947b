"""Per factor: the measure by level, averaged within each seed over the other factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from samnesia.study.report.contexts import Grid
from samnesia.study.report.figures import marks
from samnesia.study.report.figures.compared import height_of, marks_in_words
from samnesia.study.report.figures.plates import Panel, Plate
from samnesia.study.report.figures.style import Palette, label
from samnesia.study.report.judged import Judged
from samnesia.study.report.summary import estimate_of
from samnesia.study.report.wording import capital

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Levels = Sequence[tuple[str, Mapping[str, Any]]]
"""Name of a level, and its estimate at every point of a run."""


def factors_plate(grid: Grid, judged: Judged) -> Plate | None:
    """A panel for every factor that varies; None where only the compared one does."""
    if grid.varied() in ([], [grid.design.compared]):
        return None
    by_factor = {name: _levels(grid, judged, name) for name in grid.varied()}
    by_factor = {name: levels for name, levels in by_factor.items() if levels}
    if not by_factor:
        return None
    several = len(by_factor) > 1
    panels = tuple(
        Panel(
            partial(draw_levels, levels=levels, judged=judged, name=name, compared=name == grid.design.compared),
            _described(levels, judged, name), height_of(len(levels), several=several),
        )
        for name, levels in by_factor.items()
    )  # fmt: skip
    caption = (
        "Means within each seed over the other factors, as far as all levels were run with the same. "
        f"{marks_in_words(judged)}"
    )
    return Plate("factors", f"{capital(judged.name)} by factor", caption, panels,
                 height_of(max(map(len, by_factor.values())), several=several))  # fmt: skip


def draw_levels(axes: Axes, palette: Palette, *, levels: Levels, judged: Judged, name: str, compared: bool) -> None:
    """The measure by level of one factor; of the compared one in the colours of its levels."""
    for place, (_, estimates) in enumerate(levels):
        if compared:
            marks.point_rows(axes, palette, place, estimates, place, judged.bounds)
        else:
            marks.plain_rows(axes, palette, place, estimates, judged.bounds)
    marks.name_rows(axes, [text for text, _ in levels])
    marks.style_axes(axes, palette, grid="x")
    axes.set_xlabel(judged.axis, color=palette.ink)
    marks.title(axes, palette, f"by {name}")


def _levels(grid: Grid, judged: Judged, factor: str) -> list[tuple[str, dict[str, Any]]]:
    named = label if factor == grid.design.compared else str
    found = [
        (
            named(level),
            {
                point: estimate_of(grid.mean_over(cells, column), grid.design.seeds)
                for point, column in judged.columns.items()
            },
        )
        for level, cells in grid.matched(factor).items()
        if cells
    ]
    return found if any(one["mean"] is not None for _, estimates in found for one in estimates.values()) else []


def _described(levels: Levels, judged: Judged, factor: str) -> str:
    told = [f"{name} {judged.level(estimates[judged.main])}" for name, estimates in levels]
    when = f" {judged.at(judged.main)}" if judged.at(judged.main) else ""
    return f"{capital(judged.axis)} by {factor}{when}, mean and interval: {'; '.join(told)}."
