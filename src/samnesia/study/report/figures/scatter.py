"""One measure against another over runs, with Kendall's tau of the two."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from samnesia.study.design import Measure
from samnesia.study.hypotheses import Scope, in_scope
from samnesia.study.report.contexts import Grid
from samnesia.study.report.figures import marks
from samnesia.study.report.figures.plates import Panel
from samnesia.study.report.figures.style import Palette, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_COLOURS = 6
"""Methods that are told apart by colour; with more of them, all runs look alike."""
HEIGHT, TITLE_WIDTH = 3.1, 40
"""In inches, and in letters."""
SHORT = 8
"""Letters of a method's name of which four stand beside each other."""


@dataclass(frozen=True)
class Relation:
    """Two measures over the runs of some cells.

    Attributes:
        x: the one, on the axis below.
        y: the other.
        told: what is known of their relation, such as tau with its interval.
        scope: levels of the runs that count; of a factor that is not named, all.
        seeds: their seeds; none is all.
    """

    x: Measure
    y: Measure
    told: str
    scope: Scope = field(default_factory=dict)
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Cloud:
    """The runs of one cell: the method, and both values of every seed."""

    arm: str
    values: Sequence[tuple[float, float]]

    @property
    def middle(self) -> tuple[float, float]:
        """The mean of both."""
        x, y = (math.fsum(values) / len(self.values) for values in zip(*self.values, strict=True))
        return x, y


def scatter_panel(grid: Grid, relation: Relation) -> Panel | None:
    """The runs of a relation; None where fewer than three have both values."""
    clouds = _clouds(grid, relation)
    if sum(len(cloud.values) for cloud in clouds) < 3:
        return None
    return Panel(partial(draw_scatter, relation=relation, clouds=clouds, arms=grid.arms), _described(relation, clouds))


def draw_scatter(axes: Axes, palette: Palette, *, relation: Relation, clouds: Sequence[Cloud],
                 arms: Sequence[str]) -> None:  # fmt: skip
    """A small dot for every run, a larger one for the mean of every cell."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    present = [arm for arm in arms if any(cloud.arm == arm for cloud in clouds)]
    coloured = 1 < len(present) <= MOST_COLOURS
    for cloud in clouds:
        colour = palette.method(arms.index(cloud.arm)) if coloured else palette.methods[1]
        axes.plot(*zip(*cloud.values, strict=True), "o", color=colour, markersize=2.8, alpha=0.45, mew=0, zorder=2)
        axes.plot(*cloud.middle, "o", color=colour, markersize=5.4, mew=0.8, mec=palette.surface, zorder=3)
    marks.style_axes(axes, palette, grid="both")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
    axes.set_xlabel(_with_unit(relation.x), color=palette.ink)
    axes.set_ylabel(_with_unit(relation.y), color=palette.ink)
    if coloured:
        handles = [
            Line2D([], [], marker="o", linestyle="", markersize=5.4, mew=0, color=palette.method(arms.index(arm)),
                   label=label(arm))
            for arm in present
        ]  # fmt: skip
        columns = min(len(handles), 4 if max(len(label(arm)) for arm in present) <= SHORT else 2)
        marks.legend(axes, palette, handles, columns=columns)
    rows = -(-len(present) // columns) if coloured else 0
    axes.set_title(textwrap.fill(relation.told, TITLE_WIDTH), color=palette.ink, pad=6 + 14 * rows)


def _clouds(grid: Grid, relation: Relation) -> list[Cloud]:
    found = []
    for levels in grid.design.cells():
        if in_scope(levels, relation.scope):
            x, y = (grid.values(levels, measure.value) for measure in (relation.x, relation.y))
            values = [(x[seed], y[seed]) for seed in x if seed in y and (not relation.seeds or seed in relation.seeds)]
            if values:
                found.append(Cloud(levels[grid.design.compared], values))
    return found


def _with_unit(measure: Measure) -> str:
    return f"{measure.label} ({measure.unit})" if measure.unit else measure.label


def _described(relation: Relation, clouds: Sequence[Cloud]) -> str:
    count = sum(len(cloud.values) for cloud in clouds)
    return f"{relation.y.label} against {relation.x.label} of {count} runs in {len(clouds)} cells: {relation.told}."
