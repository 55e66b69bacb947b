"""The figure of a run: time over the floor for every row, one panel per network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from samnesia.study.report.figures.style import DARK, LIGHT, Palette, style_context, svg

from .summary import Line, Result, file_name, is_floor, lines, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_INCHES, ROW_INCHES, NAMES_INCHES = 3.3, 0.27, 1.6
KINDS = {"floor": 0, "samnesia": 1, "textbook": 2, "peer": 2}
"""Colour of each kind, as a place in the palette."""


def draw(result: Result) -> dict[str, str]:
    """File name -> SVG document, for light and for dark ground."""
    name = file_name(result)
    with style_context():
        return {
            f"{name}.svg": svg(make(result, LIGHT)),
            f"{name}-dark.svg": svg(make(result, DARK)),
        }


def make(result: Result, palette: Palette) -> Figure:
    """One panel per problem, with the rows named once."""
    from matplotlib.figure import Figure

    problems = result["problems"]
    rows = len(_shown(problems[0]))
    figure = Figure(
        figsize=(NAMES_INCHES + PANEL_INCHES * len(problems), 1.2 + ROW_INCHES * rows), layout="constrained"
    )
    figure.patch.set_alpha(0.0)
    for axes, problem in zip(figure.subplots(1, len(problems), squeeze=False)[0], problems, strict=True):
        _panel(axes, palette, problem, names=problem is problems[0])
    threads = f"{result['threads']} thread{'s' if result['threads'] > 1 else ''}"
    device = result["environment"]["hardware"]
    figure.supxlabel(
        "time of a step / time of its passes and base step alone (median, 95 % interval; grey band: the floor against "
        f"itself)\nn = {result['settings']['rounds']} rounds; {device}, {threads}",
        color=palette.ink, fontsize=8.5,
    )  # fmt: skip
    return figure


def _shown(problem: dict[str, Any]) -> list[Line]:
    return [line for line in lines(problem) if not is_floor(line)]


def _panel(axes: Axes, palette: Palette, problem: dict[str, Any], *, names: bool) -> None:
    shown = _shown(problem)
    band = spread(lines(problem))
    axes.patch.set_alpha(0.0)
    axes.axvspan(min(band.low, 1.0), max(band.high, 1.0), color=palette.rule, alpha=0.6, linewidth=0, zorder=0)
    axes.axvline(1.0, color=palette.muted, linewidth=0.9, zorder=1)
    for place, line in enumerate(shown):
        colour = palette.methods[KINDS[line.kind]]
        axes.plot([line.ratio.low, line.ratio.high], [place, place], color=colour, linewidth=1.8, zorder=3)
        axes.plot(line.ratio.median, place, "o", markersize=4.6, color=colour, zorder=4)
        axes.annotate(
            label(line), (1.0, place), (4, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            va="center", color=palette.ink, annotation_clip=False,
        )  # fmt: skip
    axes.set_yticks(range(len(shown)), [named(line) for line in shown] if names else [""] * len(shown))
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_title(f"{problem['title']}, batch {problem['batch']}", color=palette.ink, fontsize=9, loc="left")
    axes.tick_params(colors=palette.ink, length=0)
    axes.grid(axis="x", color=palette.rule, linewidth=0.6, zorder=0)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def named(line: Line) -> str:
    """The row as the axis names it."""
    return f"{line.name}, 1 pass" if line.passes == 1 and line.kind != "floor" else line.name


def label(line: Line) -> str:
    """The number beside a row."""
    return f"{line.ratio.median:.3f}"
