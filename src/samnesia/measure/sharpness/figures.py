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
_NAMED = 7  # radii that have room on an axis
_INK, _MUTED, _RULE = "#1b1b1f", "#5c5f66", "#dcdde1"


def draw_sharpness(axes: Axes, results: Mapping[str, Sequence[Sharpness]]) -> None:
    """Draw the rise against rho, with error bars: a colour per model, a line form per measure.

    Radii are on a logarithmic scale, and so are rises if all are positive. What is infinite, or measured at rho = 0,
    has no place on it and is left out.

    Raises:
        ConfigurationError: for nothing to draw, or radii of several meanings, which do not compare.
    """
    shown = {label: [one for one in many if _has_place(one)] for label, many in results.items()}
    found = [one for many in shown.values() for one in many]
    if not found:
        raise ConfigurationError(
            "cannot draw sharpness against rho, because no result has a positive radius and a finite rise; give some"
        )
    meanings = sorted({one.meaning for one in found})
    if len(meanings) > 1:
        raise ConfigurationError(
            f"cannot draw sharpness by {len(meanings)} meanings of rho on one axis ({'; '.join(meanings)}), because "
            "they do not compare; draw a panel for each"
        )
    measures = list(dict.fromkeys(one.measure for one in found))
    for index, many in enumerate(shown.values()):
        for form, measure in enumerate(measures):
            _curve(axes, [one for one in many if one.measure == measure], _COLOURS[index % len(_COLOURS)], form)
    axes.set_yscale("log" if all(one.value > 0.0 for one in found) else "linear")
    _radii(axes, sorted({one.rho for one in found}))
    _style(axes)
    _legend(axes, list(shown), measures)
    axes.set_xlabel(f"rho ({meanings[0]})", color=_INK)
    axes.set_ylabel("rise of the loss", color=_INK)


def sharpness_figure(results: Mapping[str, Sequence[Sharpness]]) -> Figure:
    """A figure of :func:`draw_sharpness`, one column of a page wide."""
    matplotlib = require("matplotlib", extra="analysis")
    figure = require("matplotlib.figure", extra="analysis").Figure
    with matplotlib.rc_context({"font.size": 8.5, "axes.linewidth": 0.7}):
        made: Figure = figure(figsize=(4.2, 3.4), layout="constrained")
        draw_sharpness(made.subplots(), results)
    return made


def _has_place(one: Sharpness) -> bool:
    return one.rho > 0.0 and math.isfinite(one.value)


def _form(form: int) -> dict[str, Any]:
    return {"marker": _MARKERS[form % len(_MARKERS)], "linestyle": _DASHES[form % len(_DASHES)], "markersize": 4.0}


def _curve(axes: Axes, many: Sequence[Sharpness], colour: str, form: int) -> None:
    points = sorted(many, key=lambda one: one.rho)
    if not points:
        return
    axes.errorbar(
        [one.rho for one in points],
        [one.value for one in points],
        yerr=[0.0 if math.isnan(one.error) else one.error for one in points],
        color=colour,
        linewidth=1.1,
        elinewidth=0.8,
        capsize=2.0,
        **_form(form),
    )


def _radii(axes: Axes, radii: Sequence[float]) -> None:
    """A logarithmic axis that names the radii themselves, where they are few."""
    axes.set_xscale("log")
    if len(radii) <= _NAMED:
        ticker = require("matplotlib.ticker", extra="analysis")
        axes.xaxis.set_major_locator(ticker.FixedLocator(list(radii)))
        axes.xaxis.set_major_formatter(ticker.FixedFormatter([f"{rho:g}" for rho in radii]))
        axes.xaxis.set_minor_locator(ticker.NullLocator())


def _style(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="y", color=_RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=_MUTED, labelcolor=_INK, length=3, width=0.7)


def _legend(axes: Axes, labels: Sequence[str], measures: Sequence[str]) -> None:
    """Models by colour, measures by form, above the axes."""
    line = require("matplotlib.lines", extra="analysis").Line2D
    handles = [
        line([], [], color=_COLOURS[index % len(_COLOURS)], linewidth=2.2, label=label)
        for index, label in enumerate(labels)
    ]
    handles += [line([], [], color=_MUTED, label=name, **_form(form)) for form, name in enumerate(measures)]
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=2,
        frameon=False,
        fontsize=7,
        labelcolor=_INK,
    )
