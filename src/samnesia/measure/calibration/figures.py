"""Calibration drawn: reliability diagrams and margins, several models beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from samnesia.extras import require
from samnesia.measure.calibration.calibration import Calibration, Margins

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 3.6, 3.2


def draw_reliability(axes: Axes, found: Mapping[str, Calibration]) -> None:
    """Accuracy over mean confidence, a line per model; marks grow with the samples in a bin; the diagonal is right."""
    axes.axline((0, 0), (1, 1), color="0.6", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    for index, (label, one) in enumerate(found.items()):
        some = one.bins.counts > 0
        confidence, accuracy = one.bins.confidence[some], one.bins.accuracy[some]
        colour = f"C{index}"
        axes.plot(confidence, accuracy, color=colour, linewidth=1.2, label=f"{label} (ECE {one.ece:.3f})")
        sizes = 6 + 60 * one.bins.counts[some] / one.samples
        axes.scatter(confidence, accuracy, s=sizes, color=colour, zorder=3, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", title="Reliability")
    axes.set_aspect("equal")
    axes.legend(loc="best", frameon=False, fontsize="small")


def draw_margins(axes: Axes, found: Mapping[str, Margins], *, of: str, first: int = 0) -> None:
    """The distribution of margins, a line per model or group; right of 0 the label is ahead.

    Args:
        axes: to draw on.
        found: margins by label.
        of: what they are margins of.
        first: the number of the first colour in the cycle.
    """
    axes.axvline(0.0, color="0.6", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    for index, (label, one) in enumerate(found.items()):
        share = 100.0 * one.counts / one.counts.sum()
        colour = f"C{index + first}"
        axes.stairs(share, one.edges, color=colour, linewidth=1.2, label=label)
        axes.stairs(share, one.edges, color=colour, alpha=0.12, fill=True, linewidth=0)
    axes.set(xlabel=f"margin of the label ({of})", ylabel="samples per bar (%)", title="Margins")
    axes.set_ylim(bottom=0)
    axes.legend(loc="best", frameon=False, fontsize="small")


def reliability_and_margins(found: Mapping[str, Calibration]) -> Figure:
    """A figure with both, and a panel of margins for each model whose samples are in groups."""
    matplotlib = require("matplotlib.figure", extra="analysis")
    grouped = {label: one for label, one in found.items() if len(one.groups) > 1}
    count = 2 + len(grouped)
    across = 2 if count == 4 else min(count, 3)
    down = -(-count // across)
    figure: Figure = matplotlib.Figure(figsize=(_WIDTH * across, _HEIGHT * down), layout="constrained")
    panels = [figure.add_subplot(down, across, 1 + place) for place in range(count)]
    draw_reliability(panels[0], found)
    draw_margins(panels[1], {label: one.probability_margins for label, one in found.items()}, of="probability")
    for axes, (label, one) in zip(panels[2:], grouped.items(), strict=True):
        margins = {f"{name} ({group.samples})": group.probability_margins for name, group in one.groups.items()}
        draw_margins(axes, margins, of="probability", first=2)
        axes.set_title(f"Margins of {label}")
    return figure
