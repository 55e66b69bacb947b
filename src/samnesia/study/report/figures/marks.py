"""Marks that several figures share: an estimate with its interval and its seeds, names of rows, axes."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from samnesia.study.judging.numbers import Bounds, Estimate
from samnesia.study.report.figures.style import Palette
from samnesia.study.report.judged import Judged

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME_WIDTH = 17
"""Letters of a row's name on one line."""
LINE_INCHES = 0.146
"""Height of a line of text."""


def interval_row(axes: Axes, place: float, estimate: Estimate, colour: str, face: str, *, marker: str = "o",
                 bounds: Bounds | None = None) -> None:  # fmt: skip
    """One estimate in a row: seeds as small dots below, interval as a line, mean as a large mark."""
    seeds = [value for value in estimate["per_seed"] if value is not None]
    axes.plot(seeds, [place + 0.1] * len(seeds), "o", markersize=2.4, color=colour, alpha=0.55, mew=0, zorder=2)
    if estimate["mean"] is None:
        return
    if estimate["low"] is not None:
        low, high = cut(estimate, bounds)
        axes.plot([low, high], [place, place], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=3)
    axes.plot(estimate["mean"], place, marker, markersize=5.2, color=colour, mfc=face, mew=1.3, zorder=4)


def cut(estimate: Estimate, bounds: Bounds | None) -> Bounds:
    """The interval of an estimate, cut at bounds."""
    low, high = estimate["low"], estimate["high"]
    return (max(low, bounds[0]), min(high, bounds[1])) if bounds else (low, high)


def point_rows(axes: Axes, palette: Palette, row: int, estimates: Mapping[str, Estimate], index: int,
               bounds: Bounds | None = None) -> dict[str, float]:  # fmt: skip
    """The estimates of a method at the points of its runs, one above the other; returns where they stand."""
    places = dict(zip(estimates, (-0.2, 0.14) if len(estimates) > 1 else (-0.05,), strict=True))
    colour = palette.method(index)
    for point, place in places.items():
        face = colour if place < 0.0 else palette.surface
        interval_row(axes, row + place, estimates[point], colour, face, marker=palette.marker(index), bounds=bounds)
    return {point: row + place for point, place in places.items()}


def plain_rows(
    axes: Axes, palette: Palette, row: int, estimates: Mapping[str, Estimate], bounds: Bounds | None = None
) -> None:
    """The same of what is no method, and has no colour of its own."""
    places = (-0.2, 0.14) if len(estimates) > 1 else (-0.05,)
    for place, estimate in zip(places, estimates.values(), strict=True):
        face = palette.muted if place < 0.0 else palette.surface
        interval_row(axes, row + place, estimate, palette.muted, face, bounds=bounds)


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Rows from the top down, with their names, which are broken where they are long."""
    shown = [textwrap.fill(name, NAME_WIDTH, break_long_words=False) for name in names]
    axes.set_yticks(range(len(names)), shown)
    axes.set_ylim(len(names) - 0.5, -0.5)


def point_legend(axes: Axes, palette: Palette, judged: Judged) -> None:
    """What filled and open marks are; nothing where there is one kind."""
    from matplotlib.lines import Line2D

    if len(judged.points) < 2:
        return
    faces = (palette.muted, palette.surface)
    handles = [
        Line2D([], [], marker="o", linestyle="", markersize=5.2, color=palette.muted, mew=1.3, mfc=face, label=text)
        for face, text in zip(faces, judged.points.values(), strict=True)
    ]
    legend(axes, palette, handles)


def legend(axes: Axes, palette: Palette, handles: Sequence[Any], columns: int = 2) -> None:
    """A legend above the axes."""
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, frameon=False,
                handletextpad=0.2, columnspacing=1.2, borderaxespad=0.2, borderpad=0.2,
                labelcolor=palette.muted)  # fmt: skip


def title(axes: Axes, palette: Palette, text: str) -> None:
    """What one panel among several is about."""
    if text:
        axes.set_title("\n".join(textwrap.wrap(text, 42)), color=palette.ink)


def style_axes(axes: Axes, palette: Palette, grid: Literal["x", "y", "both"]) -> None:
    """Thin axes with a grid across ``grid``, x, y or both."""
    from matplotlib.ticker import MaxNLocator

    axes.patch.set_alpha(0.0)
    for side in ("top", "right", "left") if grid == "x" else ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(palette.muted)
    axes.grid(axis=grid, color=palette.rule, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=palette.muted, labelcolor=palette.ink, length=3, width=0.7)
    if grid == "x":
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))


def label_ends(axes: Axes, palette: Palette, ends: Sequence[tuple[float, int, str]], height: float) -> None:
    """Names right of the axes, each at the height of its value and in its method's colour, none over another.

    Args:
        axes: with its limits set.
        palette: the colours.
        ends: value, place of the method, and name.
        height: of the panel in inches.
    """
    from samnesia.study.report.figures.style import spread

    low, high = axes.get_ylim()
    gap = LINE_INCHES / (height - 0.55) * (high - low)
    places = _held(spread([value for value, _, _ in ends], gap=gap), low + gap / 2, high - gap / 2, gap)
    for (_, index, text), place in zip(ends, places, strict=True):
        axes.annotate(text, (1.0, place), (5, 0), xycoords=("axes fraction", "data"), va="center",
                      textcoords="offset points", color=palette.method(index), annotation_clip=False)  # fmt: skip


def _held(places: Sequence[float], low: float, high: float, gap: float) -> list[float]:
    """Places that are a gap apart moved between two ends, in their order; a little beyond where there are too many."""
    held = list(places)
    order = sorted(range(len(held)), key=lambda place: held[place])
    for rank, place in enumerate(order):
        held[place] = max(held[place], low + rank * gap)
    for rank, place in enumerate(reversed(order)):
        held[place] = min(held[place], high - rank * gap)
    return held


def labelled_height(least: float, names: int) -> float:
    """Height of a panel in inches with room for this many names beside it."""
    return max(least, 0.75 + LINE_INCHES * names)
