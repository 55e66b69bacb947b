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
        axes.scatter(confidence, accuracy, s=6 + 60 * one.bins.counts[some] / one.samples, color=colour, zorder=3)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", title="Reliability")
    axes.set_aspect("equal")
    axes.legend(loc="best", frameon=False, fontsize="small")


def draw_margins(axes: Axes, found: Mapping[str, Margins], *, of: str) -> None:
    """The distribution of margins, a line per model or group; right of 0 the label is ahead."""
    axes.axvline(0.0, color="0.6", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    for index, (label, one) in enumerate(found.items()):
        share = 100.0 * one.counts / one.counts.sum()
        axes.stairs(share, one.edges, color=f"C{index}", linewidth=1.2, label=label)
        axes.stairs(share, one.edges, color=f"C{index}", alpha=0.12, fill=True, linewidth=0)
    axes.set(xlabel=f"margin of the label ({of})", ylabel="samples in a bar (%)", title="Margins")
    axes.set_ylim(bottom=0)
    axes.legend(loc="best", frameon=False, fontsize="small")


def reliability_and_margins(found: Mapping[str, Calibration]) -> Figure:
    """A figure with both, and a panel of margins for each model whose samples are in groups."""
    matplotlib = require("matplotlib.figure", extra="analysis")
    grouped = {label: one for label, one in found.items() if len(one.groups) > 1}
    count = 2 + len(grouped)
    figure: Figure = matplotlib.Figure(figsize=(_WIDTH * min(count, 4), _HEIGHT * -(-count // 4)), layout="constrained")
    panels = [figure.add_subplot(-(-count // 4), min(count, 4), 1 + place) for place in range(count)]
    draw_reliability(panels[0], found)
    draw_margins(panels[1], {label: one.probability_margins for label, one in found.items()}, of="probability")
    for axes, (label, one) in zip(panels[2:], grouped.items(), strict=True):
        margins = {f"{name} ({group.samples})": group.probability_margins for name, group in one.groups.items()}
        draw_margins(axes, margins, of="probability")
        axes.set_title(f"Margins of {label}")
    return figure
