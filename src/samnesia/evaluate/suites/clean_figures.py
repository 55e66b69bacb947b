"""Figures of accuracy on samples as they are: runs that differ by their seed have one colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from samnesia.measure.calibration.calibration import Bins, Calibration
from samnesia.measure.calibration.figures import draw_reliability
from samnesia.measure.figures import colour, panels, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from samnesia.evaluate.accuracy import CleanAccuracy
    from samnesia.evaluate.selection import Selective

Groups = Mapping[str, "Sequence[CleanAccuracy]"]
"""What was found of each run, by the name of its group; not empty."""
_HEIGHT = 3.4


def reliability(groups: Groups) -> Figure:
    """Accuracy over confidence, a line for each group, whose samples are taken together."""
    figure, (axes,) = panels(1, height=_HEIGHT)
    draw_reliability(axes, {name: _together([one.calibration for one in found]) for name, found in groups.items()})
    return figure


def risk_over_coverage(groups: Groups) -> Figure:
    """Errors among the samples that are answered, over their share: a line for each group, a thin one for each run."""
    figure, (axes,) = panels(1, height=_HEIGHT)
    for index, (name, found) in enumerate(groups.items()):
        _draw_risk(axes, name, [one.selective for one in found], colour(index))
    axes.set(xlim=(0, 100), xlabel="samples that are answered (%)", ylabel="errors among them (%)")
    axes.set_title("Risk over coverage")
    axes.set_ylim(bottom=0)
    tidy(axes, legend=True)
    return figure


def _draw_risk(axes: Axes, name: str, found: Sequence[Selective], shade: str) -> None:
    coverage = found[0].coverage
    curves = [np.interp(coverage, one.coverage, one.risk) for one in found]
    for curve in curves if len(curves) > 1 else ():
        axes.plot(100 * coverage, 100 * curve, color=shade, linewidth=0.7, alpha=0.45)
    label = f"{name} (AURC {np.mean([one.area for one in found]):.4f})"
    axes.plot(100 * coverage, 100 * np.mean(curves, axis=0), color=shade, linewidth=1.5, label=label)


def _together(found: Sequence[Calibration]) -> Calibration:
    """One diagram of the samples of all; its ECE is the mean of theirs."""
    first = found[0]
    counts = np.sum([one.bins.counts for one in found], axis=0)
    some = np.where(counts > 0, counts, np.nan)
    confidence, accuracy = (
        np.nansum([one.bins.counts * getattr(one.bins, name) for one in found], axis=0) / some
        for name in ("confidence", "accuracy")
    )
    return replace(
        first,
        samples=sum(one.samples for one in found),
        ece=float(np.mean([one.ece for one in found])),
        bins=Bins(first.bins.edges, counts, confidence, accuracy),
    )
