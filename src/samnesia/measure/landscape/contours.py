"""Filled contours at levels in equal ratios, with their values written on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from samnesia.extras import require
from samnesia.measure.figures import MUTED, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEVELS = 12
_FLAT = 1e-9  # a spread below it, relative to the largest value, is rounding
_LINE = "#26323f"


def draw_contours(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    grid: Any,
    *,
    name: str,
    levels: Sequence[float] | None = None,
) -> None:
    """Contours of ``grid[j][i]`` at (x[i], y[j]); grey where it is NaN; a plain sentence where it is constant.

    ``levels`` are ascending and span the values; None: those of the grid, by :func:`spaced_levels`.
    """
    values = np.ma.masked_invalid(grid)
    axes.set_facecolor("#d9d9d9")
    if not values.count() or np.ptp(values.compressed()) <= _FLAT * np.abs(values.compressed()).max():
        said = f"{name} is {values.compressed()[0]:.4g} everywhere" if values.count() else f"{name} is nowhere finite"
        axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
        axes.text(0.5, 0.55, said, ha="center", va="bottom", transform=axes.transAxes)
        return
    low, high = float(values.min()), float(values.max())
    levels = list(levels) if levels is not None else spaced_levels(low, high)
    norm = require("matplotlib.colors", extra="analysis").BoundaryNorm(levels, 256)
    filled = axes.contourf(x, y, values, levels=levels, cmap=colour_map(), norm=norm)
    _draw_lines(axes, x, y, values, [level for level in levels[1:-1] if low < level < high], levels[2:-1:2])
    beside = axes.inset_axes((1.03, 0.0, 0.045, 1.0))  # as high as the axes are
    bar = axes.figure.colorbar(filled, cax=beside)
    bar.set_ticks(levels[::2], labels=[_short(level) for level in levels[::2]])
    tidy(bar.ax, grid=False)
    bar.ax.minorticks_off()
    bar.set_label(name)
    bar.outline.set_edgecolor(MUTED)


def _draw_lines(
    axes: Axes, x: Sequence[float], y: Sequence[float], values: Any, levels: Sequence[float], named: Sequence[float]
) -> None:
    """Lines at the levels, with their values on those that are ``named``."""
    if not levels:
        return
    lines = axes.contour(x, y, values, levels=levels, colors=_LINE, linewidths=0.5, alpha=0.8)
    shown = [level for level in levels if level in named]
    for text in axes.clabel(lines, shown, fmt=_short, fontsize=6.5, inline_spacing=1) if shown else ():
        text.set(alpha=1.0, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.65, "pad": 0.6})


def shared_levels(grids: Sequence[Any]) -> list[float] | None:
    """:func:`spaced_levels` over the finite values of several grids; None if all of them are the same."""
    values = np.concatenate([np.ravel(np.asarray(grid, dtype=float)) for grid in grids])
    values = values[np.isfinite(values)]
    if not values.size or np.ptp(values) <= _FLAT * np.abs(values).max():
        return None
    return spaced_levels(float(values.min()), float(values.max()))


def spaced_levels(low: float, high: float, count: int = _LEVELS) -> list[float]:
    """In equal ratios, ends included, with as few digits as keep them apart; equally spaced if ``low <= 0``."""
    raw = np.geomspace(low, high, count + 1) if low > 0.0 else np.linspace(low, high, count + 1)
    for digits in range(2, 16):
        inner = [float(f"{level:.{digits}g}") for level in raw[1:-1]]
        found = [_rounded(low, digits, math.floor), *inner, _rounded(high, digits, math.ceil)]
        if all(a < b for a, b in pairwise(found)):
            return found
    return [float(level) for level in raw]


def _rounded(value: float, digits: int, to: Callable[[float], int]) -> float:
    """To so many digits, downwards or upwards."""
    if value == 0.0:
        return 0.0
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return to(value * 10.0**places) / 10.0**places


def _short(level: float) -> str:
    return f"{level:.3g}"


def colour_map() -> Any:
    """Light in the valley, dark on the walls: one hue after the other, even in grey."""
    matplotlib = require("matplotlib", extra="analysis")
    colours = require("matplotlib.colors", extra="analysis")
    ramp = matplotlib.colormaps["YlGnBu"](np.linspace(0.0, 0.8, 256))
    return colours.ListedColormap(ramp)
