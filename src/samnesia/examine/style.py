"""How the figures of measurements look, and how they are written: for print, on white."""

from __future__ import annotations

from collections.abc import Container, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samnesia.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, RULE = "#1b1b1f", "#5c5f66", "#dcdde1"
# The hues of Okabe and Ito (2008), which stay apart under the common colour deficiencies.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b8548f", "#3a9bd9", "#6b6f76")
MARKERS = ("o", "s", "^", "D", "v")
WIDTH, HEIGHT = 3.6, 2.9
"""Inches of a panel."""
DPI = 200


def style() -> AbstractContextManager[Any]:
    """The context in which figures are made and saved."""
    matplotlib = require("matplotlib", extra="analysis")
    found: AbstractContextManager[Any] = matplotlib.rc_context(
        {
            "font.size": 8.5,
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],
            "axes.linewidth": 0.7,
            "axes.titlesize": 8.5,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.edgecolor": MUTED,
            "axes.labelcolor": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.grid.axis": "y",
            "axes.axisbelow": True,
            "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
            "grid.color": RULE,
            "grid.linewidth": 0.6,
            "xtick.color": MUTED,
            "xtick.labelcolor": INK,
            "ytick.color": MUTED,
            "ytick.labelcolor": INK,
            "text.color": INK,
            "legend.frameon": False,
            "legend.fontsize": 7.5,
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "svg.fonttype": "none",
            "svg.hashsalt": "samnesia",
        }
    )
    return found


def panels(count: int, *, columns: int = 3, width: float = WIDTH, height: float = HEIGHT) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, in rows."""
    across = min(count, columns)
    down = -(-count // across)
    made = require("matplotlib.figure", extra="analysis").Figure(
        figsize=(width * across, height * down), layout="constrained"
    )
    axes = [made.add_subplot(down, across, place + 1) for place in range(count)]
    return made, axes


def name_runs(
    figure: Figure, labels: Sequence[str], more: Sequence[Any] = (), shown: Container[str] | None = None
) -> None:
    """A legend below all panels: the runs that are shown by their colours, and more entries."""
    line = require("matplotlib.lines", extra="analysis").Line2D
    runs = [
        line([], [], color=COLOURS[index % len(COLOURS)], linewidth=2.2, label=label)
        for index, label in enumerate(labels)
        if shown is None or label in shown
    ]
    figure.legend(handles=[*runs, *more], loc="outside lower center", ncols=min(len(runs) + len(more), 6))


def save(figure: Figure, directory: Path, name: str) -> list[Path]:
    """Write ``NAME.png`` and ``NAME.svg``."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"{name}.{kind}" for kind in ("png", "svg")]
    for path in paths:
        figure.savefig(path, dpi=DPI, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths
