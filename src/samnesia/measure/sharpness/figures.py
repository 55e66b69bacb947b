"""Sharpness against the radius, for print."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from samnesia.extras import require
from samnesia.measure.figures import INK, colour, dashes, marker, page, run_samples, sample, tidy
from samnesia.measure.sharpness.result import Sharpness
from samnesia.perturb.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMED = 7  # radii that have room on an axis


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
            _curve(axes, [one for one in many if one.measure == measure], colour(index), form)
    axes.set_yscale("log" if all(one.value > 0.0 for one in found) else "linear")
    _radii(axes, sorted({one.rho for one in found}))
    tidy(axes)
    _legend(axes, list(shown), measures)
    axes.set_xlabel(f"rho ({meanings[0]})")
    axes.set_ylabel("rise of the loss")


def sharpness_figure(results: Mapping[str, Sequence[Sharpness]]) -> Figure:
    """A figure of :func:`draw_sharpness`, one column of a page wide."""
    return page([partial(draw_sharpness, results=results)], width=4.2, height=3.4)


def _has_place(one: Sharpness) -> bool:
    return one.rho > 0.0 and math.isfinite(one.value)


def _form(form: int) -> dict[str, Any]:
    return {"marker": marker(form), "linestyle": dashes(form), "markersize": 4.0}


def _curve(axes: Axes, many: Sequence[Sharpness], shade: str, form: int) -> None:
    points = sorted(many, key=lambda one: one.rho)
    if not points:
        return
    axes.errorbar(
        [one.rho for one in points],
        [one.value for one in points],
        yerr=[0.0 if math.isnan(one.error) else one.error for one in points],
        color=shade,
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


def _legend(axes: Axes, labels: Sequence[str], measures: Sequence[str]) -> None:
    """Models by colour, measures by form, above the axes."""
    handles = run_samples(labels) + [sample(name, **_form(form)) for form, name in enumerate(measures)]
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=2,
        frameon=False,
        fontsize=7,
        labelcolor=INK,
    )
