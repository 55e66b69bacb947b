"""Calibration drawn: reliability diagrams and margins, several models beside each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from samnesia.measure.calibration.calibration import Calibration, Margins
from samnesia.measure.figures import MUTED, colour, dashes, page, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 3.6, 3.2
_FIRST = 3  # place of the colours of groups: not those of the first models


def draw_reliability(axes: Axes, found: Mapping[str, Calibration]) -> None:
    """Accuracy over mean confidence, a line per model; marks grow with the samples in a bin; the diagonal is right."""
    axes.axline((0, 0), (1, 1), color=MUTED, linewidth=0.8, linestyle=dashes(2), zorder=1)
    for index, (label, one) in enumerate(found.items()):
        some = one.bins.counts > 0
        confidence, accuracy = one.bins.confidence[some], one.bins.accuracy[some]
        shade = colour(index)
        axes.plot(confidence, accuracy, color=shade, linewidth=1.2, label=f"{label} (ECE {one.ece:.3f})")
        sizes = 6 + 60 * one.bins.counts[some] / one.samples
        axes.scatter(confidence, accuracy, s=sizes, color=shade, zorder=3, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", title="Reliability")
    axes.set_aspect("equal")
    tidy(axes, legend=True)


def draw_margins(axes: Axes, found: Mapping[str, Margins], *, of: str, first: int = 0) -> None:
    """The distribution of margins, a line per model or group; right of 0 the label is ahead.

    Args:
        axes: to draw on.
        found: margins by label.
        of: what they are margins of.
        first: place of the first one's colour: another, where they are no models.
    """
    axes.axvline(0.0, color=MUTED, linewidth=0.8, linestyle=dashes(2), zorder=1)
    for index, (label, one) in enumerate(found.items()):
        share = 100.0 * one.counts / one.counts.sum()
        shade = colour(index + first)
        axes.stairs(share, one.edges, color=shade, linewidth=1.2, label=label)
        axes.stairs(share, one.edges, color=shade, alpha=0.12, fill=True, linewidth=0)
    axes.set(xlabel=f"margin of the label ({of})", ylabel="samples per bar (%)", title="Margins")
    axes.set_ylim(0, 1.2 * axes.get_ylim()[1])  # with room for the legend
    axes.locator_params(axis="x", nbins=5)
    tidy(axes, legend=True)


def reliability_and_margins(found: Mapping[str, Calibration]) -> Figure:
    """A figure with both, and a panel of margins for each model whose samples are in groups."""
    draws: list[Callable[[Axes], None]] = [
        partial(draw_reliability, found=found),
        partial(draw_margins, found={label: one.probability_margins for label, one in found.items()}, of="probability"),
        *(partial(_draw_groups, label=label, found=one) for label, one in found.items() if len(one.groups) > 1),
    ]
    return page(draws, columns=2 if len(draws) == 4 else 3, width=_WIDTH, height=_HEIGHT)


def _draw_groups(axes: Axes, *, label: str, found: Calibration) -> None:
    margins = {f"{name} ({group.samples})": group.probability_margins for name, group in found.groups.items()}
    draw_margins(axes, margins, of="probability", first=_FIRST)
    axes.set_title(f"Margins of {label}")
