"""The figures of a comparison, drawn once and coloured for paper, for a dark screen, or by the page's style sheet.

Every drawing function takes axes, a palette and the numbers of :mod:`samnesia.study.summary`, and nothing else:
the same figure serves the report (colours as CSS variables, so that it follows light and dark) and the image files.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samnesia.study.judged import Judged

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Summary = Mapping[str, Any]
Curves = Mapping[str, Sequence[Sequence[float | None]]]
"""By method, for each seed one list of numbers per epoch."""

WIDTH_INCHES = 4.2  # of one panel: text of 8.5 pt stays readable on a phone 375 px wide
POINTS = ("last", "best")


@dataclass(frozen=True)
class Palette:
    """Colours by role; ``methods`` holds the baseline's first, and is taken in the order of the comparison."""

    ink: str
    muted: str
    rule: str
    surface: str
    methods: tuple[str, ...]

    def method(self, index: int) -> str:
        """Colour of the method at this place; the baseline alone has the first."""
        return self.methods[0] if index == 0 else self.methods[1 + (index - 1) % (len(self.methods) - 1)]


# The hues of Okabe and Ito (2008), which stay apart under the common colour deficiencies; yellow is left out, because
# it vanishes on white. The baseline is grey: it is the ground the others are seen against.
LIGHT = Palette(
    "#1b1b1f", "#5c5f66", "#dcdde1", "#ffffff", ("#6b6f76", "#0072b2", "#d55e00", "#009e73", "#b8548f", "#3a9bd9")
)
DARK = Palette(
    "#e8e8ea", "#a3a6ad", "#3a3c42", "#15161a", ("#a3a6ad", "#4aa8e0", "#f08a4b", "#2fc79a", "#e08cbf", "#8ccbf2")
)
# Placeholders that matplotlib accepts as colours and that `inline_svg` turns into the page's CSS variables.
TOKENS = Palette(
    "#010101", "#010102", "#010103", "#010104", ("#010200", "#010201", "#010202", "#010203", "#010204", "#010205")
)
CSS_COLOURS = {
    TOKENS.ink: "currentColor",
    TOKENS.muted: "var(--muted)",
    TOKENS.rule: "var(--rule)",
    TOKENS.surface: "var(--surface)",
    **{token: f"var(--method-{index})" for index, token in enumerate(TOKENS.methods)},
}


Draw = Callable[["Axes", Palette], None]


def label(method: str) -> str:
    """The method's name as printed: short names are acronyms."""
    return method.upper() if len(method) <= 5 else method


def draw_scores(axes: Axes, palette: Palette, *, summary: Summary) -> None:
    """What runs are judged by, by method: mean with interval at the last and at the best epoch, and every seed."""
    rows, judged = summary["methods"], Judged.of(summary)
    for index, row in enumerate(rows):
        for point in POINTS:
            _interval_row(axes, index, row["score"][point], point, palette.method(index), palette, judged.bounds)
    _name_rows(axes, [label(row["method"]) for row in rows])
    _style(axes, palette, grid="x")
    axes.set_xlabel(judged.axis, color=palette.ink)
    _point_legend(axes, palette, judged)


def draw_differences(axes: Axes, palette: Palette, *, summary: Summary) -> None:
    """Paired difference of each method to the first one, in steps of the unit, with interval and every seed."""
    rows, judged = summary["methods"][1:], Judged.of(summary)
    axes.axvline(0.0, color=palette.muted, linewidth=0.9, zorder=1)
    for index, row in enumerate(rows):
        for point in POINTS:
            difference = row["difference"][point]
            if difference["mean"] is None:
                continue
            drawn = _interval_row(axes, index, difference, point, palette.method(index + 1), palette)
            axes.annotate(
                judged.difference(difference["mean"]), (1.0, drawn), (5, 0),
                xycoords=("axes fraction", "data"), textcoords="offset points", va="center", annotation_clip=False,
                color=palette.ink if point == "last" else palette.muted,
            )  # fmt: skip
    _name_rows(axes, [label(row["method"]) for row in rows])
    _style(axes, palette, grid="x")
    of = f"{judged.step} of {judged.name}" if judged.step else judged.name
    axes.set_xlabel(f"difference to {label(summary['baseline'])} ({of})", color=palette.ink)
    _point_legend(axes, palette, judged)


@dataclass(frozen=True)
class Course:
    """A figure over epochs.

    Attributes:
        curves: by method and seed.
        epochs: the epochs of the numbers of a curve, counted from 1.
        ylabel: what it is, with its unit.
        falls: whether it begins high: then the steep start is above what follows, and not below.
    """

    curves: Curves
    epochs: Sequence[int]
    ylabel: str
    falls: bool = False

    def ends_of_axis(self) -> tuple[float | None, float | None]:
        """Where the axis is to begin or to end for the steep start to be left out; None is left to the figure."""
        edge = self.extreme(skip_start=True)
        return (None, edge) if self.falls else (edge, None)

    def extreme(self, *, skip_start: bool) -> float:
        """The value furthest on the side of the start, without the first tenth of the epochs when ``skip_start``.

        The steep start would press what differs later into one end of a panel, so its axis begins where that has
        passed.
        """
        values = [
            value
            for seeds in self.curves.values()
            for curve in seeds
            for value in curve[len(curve) // 10 if skip_start else 0 :]
            if value is not None
        ]
        return max(values) if self.falls else min(values)


def draw_curves(axes: Axes, palette: Palette, *, course: Course, methods: Sequence[str]) -> None:
    """One curve over epochs per method: the mean over seeds, and the band from the lowest to the highest seed."""
    import numpy as np
    from matplotlib.ticker import MaxNLocator

    curves = course.curves
    ends: list[tuple[float, int]] = []
    for index, method in enumerate(methods):
        if not curves.get(method):
            continue
        length = min(len(seed) for seed in curves[method])
        values = np.array([list(seed)[:length] for seed in curves[method]], dtype=float)
        epoch = np.array(course.epochs[:length])
        colour = palette.method(index)
        axes.fill_between(epoch, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.16, linewidth=0)
        axes.plot(epoch, values.mean(axis=0), color=colour, linewidth=1.5, zorder=3)
        if np.isfinite(values[:, -1]).all():
            ends.append((float(values[:, -1].mean()), index))
    _style(axes, palette, grid="y")
    axes.set_xlim(course.epochs[0], max(course.epochs[-1], course.epochs[0] + 1))
    bottom, top = course.ends_of_axis()
    if bottom is not None:
        axes.set_ylim(bottom=bottom - 0.04 * (axes.get_ylim()[1] - bottom))
    if top is not None:
        axes.set_ylim(top=top + 0.04 * (top - axes.get_ylim()[0]))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch", color=palette.ink)
    axes.set_ylabel(course.ylabel, color=palette.ink)
    low, high = axes.get_ylim()
    places = spread([value for value, _ in ends], gap=0.062 * (high - low))
    for (_, index), place in zip(ends, places, strict=True):
        axes.annotate(label(methods[index]), (1.0, place), (5, 0), xycoords=("axes fraction", "data"), va="center",
                      textcoords="offset points", color=palette.method(index), annotation_clip=False)  # fmt: skip


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Move values apart, as little as needed in order, until neighbours are at least ``gap`` apart (least squares)."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    # With the gaps taken off, "at least gap apart" is "not decreasing": pool neighbours that violate it.
    blocks: list[list[float]] = []  # sum, count
    for rank, place in enumerate(order):
        blocks.append([values[place] - rank * gap, 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    level = [total / count for total, count in blocks for _ in range(int(count))]
    moved = [0.0] * len(values)
    for rank, place in enumerate(order):
        moved[place] = level[rank] + rank * gap
    return moved


def make_panels(draws: Sequence[Draw], palette: Palette, height: float) -> Figure:
    """A figure of panels side by side, ``height`` inches high, drawn in ``palette`` on a transparent ground."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES * len(draws), height), layout="constrained")
    figure.patch.set_alpha(0.0)
    panels = figure.subplots(1, len(draws), squeeze=False)[0]
    for draw, axes in zip(draws, panels, strict=True):
        draw(axes, palette)
    return figure


def style_context() -> Any:
    """The context in which figures are made and saved: one font size, thin lines, text kept as text."""
    import matplotlib

    return matplotlib.rc_context(
        {
            "font.size": 8.5,
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],
            "axes.linewidth": 0.7,
            "svg.fonttype": "none",
            "svg.hashsalt": "samnesia",
            "figure.dpi": 72,
        }
    )


def inline_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an ``<svg>`` element for a page: named for screen readers, coloured by the page's variables.

    Identifiers get ``name`` as a prefix, because several figures share one document.
    """
    from html import escape

    text = svg(figure)
    text = text[text.index("<svg") :]
    for token, variable in CSS_COLOURS.items():
        text = text.replace(token, variable)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text).replace("url(#", f"url(#{name}-")
    view_box = re.search(r'viewBox="[^"]+"', text)
    if view_box is None:
        raise ValueError("cannot place a figure in the page, because its SVG has no viewBox.")
    opening = f'<svg id="{name}" {view_box[0]} role="img" aria-label="{escape(description, quote=True)}">'
    return opening + text[text.index(">") + 1 :].replace("xlink:href", "href")


def svg(figure: Figure) -> str:
    """The figure as an SVG document without date and generator, so that equal figures are equal files."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return buffer.getvalue()


def _interval_row(axes: Axes, index: int, estimate: Mapping[str, Any], point: str, colour: str, palette: Palette,
                  bounds: tuple[float, float] | None = None) -> float:  # fmt: skip
    """One estimate: seeds as small dots, interval as a line, mean as a marker (filled: last epoch). Returns its y."""
    place = index + (-0.2 if point == "last" else 0.14)
    seeds = [value for value in estimate["per_seed"] if value is not None]
    axes.plot(seeds, [place + 0.1] * len(seeds), "o", markersize=2.4, color=colour, alpha=0.55, mew=0, zorder=2)
    if estimate["mean"] is None:
        return place
    if estimate["low"] is not None:
        low, high = estimate["low"], estimate["high"]
        if bounds:
            low, high = max(low, bounds[0]), min(high, bounds[1])
        axes.plot([low, high], [place, place], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=3)
    face = colour if point == "last" else palette.surface
    axes.plot(estimate["mean"], place, "o", markersize=5.2, color=colour, mfc=face, mew=1.3, zorder=4)
    return place


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)


def _point_legend(axes: Axes, palette: Palette, judged: Judged) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker="o", linestyle="", markersize=5.2, color=palette.muted, mew=1.3, mfc=face, label=text)
        for face, text in ((palette.muted, "last epoch"), (palette.surface, judged.best_epoch))
    ]
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, frameon=False,
                handletextpad=0.2, columnspacing=1.2, borderaxespad=0.2, borderpad=0.2,
                labelcolor=palette.muted)  # fmt: skip


def _style(axes: Axes, palette: Palette, grid: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.patch.set_alpha(0.0)
    for side in ("top", "right", "left") if grid == "x" else ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(palette.muted)
    axes.grid(axis="x" if grid == "x" else "y", color=palette.rule, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=palette.muted, labelcolor=palette.ink, length=3, width=0.7)
    if grid == "x":
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))
