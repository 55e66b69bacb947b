"""How all figures of measurements look, and how they are made and written: for print, on white.

Curves are told apart by their place among the labels: the first has the first colour in every figure. Drawing functions
``draw_…`` take axes, also a user's own, and end with :func:`tidy`; those that end in ``_figure`` make a whole one
by :func:`page`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samnesia.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, RULE = "#1b1b1f", "#5c5f66", "#dcdde1"
COLOURS = ("#6b6f76", "#0072b2", "#d55e00", "#009e73", "#b8548f", "#3a9bd9")
"""Grey for the first, which is the ground the others are seen against, then the hues of Okabe and Ito (2008), which
stay apart under the common colour deficiencies; yellow is left out, because it vanishes on white."""
MARKERS = ("o", "s", "^", "D", "v")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
TEXT: Any = {  # keys of matplotlib's own type
    "font.size": 8.5,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "axes.linewidth": 0.7,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "svg.fonttype": "none",
    "svg.hashsalt": "samnesia",
}
"""matplotlib's settings that all our figures share, those of a study's report as well: one font, text kept as text."""
WIDTH, HEIGHT = 3.6, 2.9
"""Inches of a panel."""
DPI = 200
_SMALL = 7.5  # points: ticks and legends


def colour(place: int) -> str:
    """Of the label at this place; the first alone has the first, the others come round again."""
    return COLOURS[0] if place == 0 else COLOURS[1 + (place - 1) % (len(COLOURS) - 1)]


def marker(place: int) -> str:
    """Of the kind of measure at this place, or of the label."""
    return MARKERS[place % len(MARKERS)]


def dashes(place: int) -> Any:
    """Likewise, of a line."""
    return DASHES[place % len(DASHES)]


def style() -> AbstractContextManager[Any]:
    """The context in which figures are made and saved: fonts, legends, and text that stays text."""
    found: AbstractContextManager[Any] = require("matplotlib", extra="analysis").rc_context(
        {
            **TEXT,
            "axes.labelcolor": INK,
            "figure.titlesize": 9.5,
            "figure.titleweight": "bold",
            "text.color": INK,
            "legend.frameon": False,
            "legend.fontsize": _SMALL,
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
        }
    )
    return found


def tidy(axes: Axes, *, legend: bool = False, grid: bool = True) -> None:
    """Two spines, rules across, quiet ticks; a frame and no rules for a map (``grid=False``)."""
    for side, spine in axes.spines.items():
        spine.set_visible(not grid or side in ("left", "bottom"))
        spine.set_color(MUTED)
    if grid:
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=MUTED, labelcolor=INK, labelsize=_SMALL, width=0.7)
    axes.tick_params(which="major", length=3)
    axes.tick_params(which="minor", length=1.8)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    if legend:
        axes.legend(
            loc="best", frameon=True, framealpha=0.85, edgecolor="none", borderpad=0.2, fontsize=_SMALL, labelcolor=INK
        )


def zero(axes: Axes) -> None:
    """The line at height 0."""
    axes.axhline(0.0, color=INK, linewidth=0.6, zorder=1)


def whole_steps(axes: Axes) -> None:
    """Few ticks across, at whole numbers: of epochs or steps."""
    axes.xaxis.set_major_locator(require("matplotlib.ticker", extra="analysis").MaxNLocator(nbins=6, integer=True))


def panels(count: int, *, columns: int = 3, width: float = WIDTH, height: float = HEIGHT) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, in rows; to be called, and drawn on, within :func:`style`."""
    across = min(count, columns)
    down = -(-count // across)
    made: Figure = require("matplotlib.figure", extra="analysis").Figure(
        figsize=(width * across, height * down), layout="constrained"
    )
    made.set_layout_engine("constrained", w_pad=0.06, h_pad=0.06)
    return made, [made.add_subplot(down, across, place + 1) for place in range(count)]


def page(
    draws: Sequence[Callable[[Axes], None]], *, columns: int = 3, width: float = WIDTH, height: float = HEIGHT
) -> Figure:
    """A whole figure: a panel for each drawing."""
    with style():
        made, axes = panels(len(draws), columns=columns, width=width, height=height)
        for draw, one in zip(draws, axes, strict=True):
            draw(one)
    return made


def sample(label: str, **look: Any) -> Any:
    """A line for a legend."""
    line = require("matplotlib.lines", extra="analysis").Line2D
    return line([], [], label=label, **{"color": MUTED, "linewidth": 1.0, "markersize": 3.5, **look})


def run_samples(labels: Sequence[str], shown: Container[str] | None = None) -> list[Any]:
    """Lines for a legend: the runs by their colours; all of them, or those that are shown."""
    return [
        sample(label, color=colour(place), linewidth=2.2)
        for place, label in enumerate(labels)
        if shown is None or label in shown
    ]


def name_below(figure: Figure, handles: Sequence[Any], labels: Sequence[str] | None = None) -> None:
    """A legend below all panels; labels are those of the lines, if none are given."""
    figure.legend(
        handles=handles,
        labels=[handle.get_label() for handle in handles] if labels is None else labels,
        loc="outside lower center",
        ncols=min(len(handles), 6),
        frameon=False,
        fontsize=_SMALL,
        labelcolor=INK,
    )


def entitle(figure: Figure, title: str) -> None:
    """A title above all panels, at the left."""
    figure.suptitle(title, x=0.01, ha="left")


def save(figure: Figure, directory: Path, name: str) -> list[Path]:
    """Write ``NAME.png`` and ``NAME.svg``; within :func:`style`."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"{name}.{kind}" for kind in ("png", "svg")]
    for path in paths:
        figure.savefig(path, dpi=DPI, metadata={"Date": None} if path.suffix == ".svg" else None)
        figure.set_layout_engine("none")  # it stands: the second file is laid out as the first
    return paths
