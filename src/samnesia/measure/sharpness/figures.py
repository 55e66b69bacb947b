"""Sharpness against the radius, for print."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from samnesia.extras import require
from samnesia.measure.sharpness.result import Sharpness
from samnesia.perturb.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Hues of Okabe and Ito (2008), which stay apart under the common colour deficiencies; black first.
_COLOURS = ("#1b1b1f", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_MARKERS, _DASHES = ("o", "s", "^", "D", "v"), ("-", (0, (4, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
_INK, _MUTED, _RULE = "#1b1b1f", "#5c5f66", "#dcdde1"


def draw_sharpness(axes: Axes, results: Mapping[str, Sequence[Sharpness]]) -> None:
    """Draw the rise against rho, with error bars: a colour per model, a line form per measure.

    Radii are on a logarithmic scale, and so are rises if all are positive. What is infinite, or measured at rho = 0,
    has no place on it and is left out.

    Raises:
        ConfigurationError: for nothing to draw, or radii of several balls, which do not compare.
    """
    found = [one for many in results.values() for one in many]
    if not any(_drawn(one) for one in found):
        raise ConfigurationError(
            "cannot draw sharpness against rho, because no result has a positive radius and a finite rise; give some"
        )
    balls = sorted({one.ball.describe() for one in found})
    if len(balls) > 1:
        raise ConfigurationError(
            f"cannot draw sharpness of {len(balls)} balls on one axis ({'; '.join(balls)}), because a rho of one is no "
            "rho of another; draw a panel for each"
        )
    measures = list(dict.fromkeys(one.measure for one in found))
    for index, (label, many) in enumerate(results.items()):
        for form, measure in enumerate(measures):
            points = sorted((one for one in many if one.measure == measure and _drawn(one)), key=lambda one: one.rho)
            _curve(axes, points, label if len(measures) == 1 else f"{label}, {measure}", index, form)
    axes.set_xscale("log")
    if all(one.value > 0.0 for one in found if _drawn(one)):
        axes.set_yscale("log")
    _style(axes)
    axes.set_xlabel(f"rho ({balls[0]})", color=_INK)
    axes.set_ylabel("rise of the loss", color=_INK)


def sharpness_figure(results: Mapping[str, Sequence[Sharpness]]) -> Figure:
    """A figure of :func:`draw_sharpness`, one column of a page wide."""
    matplotlib = require("matplotlib", extra="analysis")
    figure = require("matplotlib.figure", extra="analysis").Figure
    with matplotlib.rc_context({"font.size": 8.5, "axes.linewidth": 0.7}):
        made: Figure = figure(figsize=(4.2, 3.2), layout="constrained")
        draw_sharpness(made.subplots(), results)
    return made


def _drawn(one: Sharpness) -> bool:
    return one.rho > 0.0 and math.isfinite(one.value)


def _curve(axes: Axes, points: Sequence[Sharpness], label: str, index: int, form: int) -> None:
    if not points:
        return
    errors = [0.0 if math.isnan(one.error) else one.error for one in points]
    look: dict[str, Any] = {
        "color": _COLOURS[index % len(_COLOURS)],
        "marker": _MARKERS[form % len(_MARKERS)],
        "linestyle": _DASHES[form % len(_DASHES)],
    }
    axes.errorbar(
        [one.rho for one in points],
        [one.value for one in points],
        yerr=errors,
        label=label,
        linewidth=1.1,
        markersize=4.0,
        elinewidth=0.8,
        capsize=2.0,
        **look,
    )


def _style(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="y", color=_RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=_MUTED, labelcolor=_INK, length=3, width=0.7)
    axes.legend(frameon=False, fontsize=7, labelcolor=_INK)
