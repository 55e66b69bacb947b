"""Landscapes drawn: lines, contours, trajectories, the way between two runs, and escapes.

A drawing function takes axes first; those that end in ``_figure`` make a whole one on white ground. Colours are those
of Okabe and Ito, and a map that grows darker all the way: they stay apart under the common colour deficiencies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from samnesia.extras import require
from samnesia.measure.landscape.connection import Barrier, Connection
from samnesia.measure.landscape.contours import draw_contours
from samnesia.measure.landscape.escaping import Escape, Growth
from samnesia.measure.landscape.lines import Line
from samnesia.measure.landscape.planes import Plane, TrajectoryPlane
from samnesia.perturb.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b8548f", "#3a9bd9", "#6b6f76")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)))
_INK, _MUTED, _RULE = "#1b1b1f", "#5c5f66", "#dcdde1"
_WIDTH, _HEIGHT = 4.2, 3.1
_VISIBLE = 0.04  # of the axis' height: a barrier that is less is not marked
_STEEP = 30.0  # highest over lowest loss, from which on a logarithmic axis shows more


def draw_lines(axes: Axes, found: Mapping[str, Line], *, errors: bool = False) -> None:
    """Loss (or error rate) over the position, a curve for each label; logarithmic where the loss spans decades."""
    axes.axvline(0.0, color=_MUTED, linewidth=0.8, linestyle=_DASHES[2], zorder=1)
    for index, (label, one) in enumerate(found.items()):
        values = _percent(one.errors) if errors else np.array(one.losses)
        axes.plot(one.positions, _finite(values), label=label, zorder=3, **_look(index))
    values = np.concatenate([_finite(one.losses) for one in found.values()])
    if not errors and np.nanmin(values) > 0.0 and np.nanmax(values) > _STEEP * np.nanmin(values):
        axes.set_yscale("log")
    names = {one.label for one in found.values()}
    axes.set_xlabel(f"position along the {names.pop()}" if len(names) == 1 else "position along the direction")
    axes.set_ylabel("error rate (%)" if errors else "loss")
    _style(axes, legend=len(found) > 1)


def draw_plane(axes: Axes, found: Plane, *, errors: bool = False) -> None:
    """Filled contours of the loss (or error rate) at levels in equal ratios, with their values; the model is at +."""
    grid = _percent(found.errors) if errors else np.array(found.losses)
    draw_contours(axes, found.x, found.y, _finite(grid), name="error rate (%)" if errors else "loss")
    axes.plot(0.0, 0.0, "+", color=_INK, markersize=9, markeredgewidth=1.6, zorder=5)
    axes.set_xlabel(found.labels[0])
    axes.set_ylabel(found.labels[1])
    axes.set_aspect("equal")
    _style(axes, grid=None)


def draw_trajectory(axes: Axes, found: TrajectoryPlane, *, errors: bool = False) -> None:
    """The plane with the path of the checkpoints on it, from the square to the star."""
    from matplotlib.patheffects import Normal, Stroke

    draw_plane(axes, found.plane, errors=errors)
    x, y = np.array(found.path).T
    halo = [Stroke(linewidth=3.4, foreground="white"), Normal()]
    axes.plot(x, y, "-o", color=_COLOURS[1], linewidth=1.4, markersize=2.8, path_effects=halo, zorder=6)
    for place, marker, size, label in ((0, "s", 7, "first checkpoint"), (-1, "*", 12, "last checkpoint")):
        axes.plot(x[place], y[place], marker, color=_COLOURS[1], markersize=size, markeredgecolor="white",
                  markeredgewidth=0.9, linestyle="none", label=label, zorder=7)  # fmt: skip
    for which, share, name in ((axes.xaxis, found.explained[0], "1st"), (axes.yaxis, found.explained[1], "2nd")):
        which.set_label_text(f"{name} principal direction ({share:.1%} of variance)")
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, frameon=False, fontsize=7.5, borderaxespad=0.2,
                handletextpad=0.3, columnspacing=1.2)  # fmt: skip


def draw_connection(axes: Axes, found: Connection, *, errors: bool = False) -> None:
    """Loss (or error rate) on the way between two runs, the line between the ends, and the barrier above it."""
    for end in (0.0, 1.0):
        axes.axvline(end, color=_MUTED, linewidth=0.8, linestyle=_DASHES[2], zorder=1)
    barriers = []
    for index, (name, segment) in enumerate(found.segments.items()):
        one, barrier = segment.line, segment.error_barrier if errors else segment.loss_barrier
        values = _finite(_percent(one.errors) if errors else one.losses)
        axes.plot(one.positions, values, label=f"{name} ({one.samples})", zorder=3, **_look(index))
        at = dict(zip(one.positions, values, strict=True))
        axes.plot((0, 1), (at[0.0], at[1.0]), "o", color=_look(index)["color"], markersize=4.5, zorder=4)
        axes.plot((0, 1), (at[0.0], at[1.0]), color=_look(index)["color"], linewidth=0.8, alpha=0.7, zorder=2)
        barriers.append((barrier, at))
    for index, (barrier, at) in enumerate(barriers):
        if barrier is not None:
            _mark(axes, barrier, at, index, "{:.1f} points" if errors else "{:.3g}")
    axes.set_xlabel("t in (1 - t) w + t w'")
    axes.set_ylabel("error rate (%)" if errors else "loss")
    _style(axes, legend=True)


def draw_escape(axes: Axes, found: Escape) -> None:
    """The loss after each step, every repeat and their mean, with the fitted growth, on a logarithmic axis."""
    for index, growth in enumerate((found.control, found.perturbed)):
        _draw_growth(axes, growth, found.window, found.floor, _look(index))
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("loss" if not found.floor else f"loss above {found.floor:g}")
    _style(axes, legend=True)


def lines_figure(found: Mapping[str, Line]) -> Figure:
    """Loss along lines by label, and the error rate beside it where there is one."""
    classes = all(one.errors is not None for one in found.values())
    return _figure([partial(draw_lines, found=found, errors=kind) for kind in _kinds(classes)])


def plane_figure(found: Plane) -> Figure:
    """Contours of the loss, and of the error rate beside it where there is one."""
    kinds = _kinds(found.errors is not None)
    return _figure([partial(draw_plane, found=found, errors=kind) for kind in kinds], height=3.7)


def trajectory_figure(found: TrajectoryPlane) -> Figure:
    """The path of a run over the loss."""
    return _figure([partial(draw_trajectory, found=found)], width=5.4, height=4.2)


def connection_figure(found: Connection) -> Figure:
    """Loss on the way between two runs, and the error rate beside it where there is one."""
    kinds = _kinds(found.train.line.errors is not None)
    return _figure([partial(draw_connection, found=found, errors=kind) for kind in kinds])


def escape_figure(found: Escape) -> Figure:
    """The losses of an escape."""
    return _figure([partial(draw_escape, found=found)], width=5.0, height=3.4)


def _draw_growth(axes: Axes, growth: Growth, window: tuple[int, int], floor: float, look: dict[str, Any]) -> None:
    losses = np.array(growth.losses) - floor
    losses = np.where(losses > 0.0, losses, np.nan)
    steps = np.arange(losses.shape[1])
    if len(losses) > 1:
        axes.plot(steps, losses.T, color=look["color"], linewidth=0.6, alpha=0.35, zorder=2)
    logs = np.ma.masked_invalid(np.log(losses)).mean(axis=0)
    label = f"{growth.label}: {growth.rate.value:+.3g} per step"
    axes.plot(steps, np.exp(logs.filled(np.nan)), label=label, zorder=4, **look)
    inside = np.array([t for t in steps[window[0] : window[1] + 1] if np.isfinite(logs.filled(np.nan)[t])])
    if np.isfinite(growth.rate.value) and len(inside):
        line = growth.rate.value * (inside - inside.mean()) + logs[inside].mean()
        axes.plot(inside, np.exp(line), color=_INK, linewidth=0.8, linestyle=_DASHES[1], zorder=5)


def _mark(axes: Axes, barrier: Barrier, at: Mapping[float, float], index: int, form: str) -> None:
    """An arrow from the line between the ends up to the highest point above it; none for next to nothing."""
    t, (low, high) = barrier.position, axes.get_ylim()
    chord, colour = at[0.0] + t * (at[1.0] - at[0.0]), _look(index)["color"]
    if not at[t] - chord > _VISIBLE * (high - low):
        return
    axes.annotate("", (t, at[t]), (t, chord), arrowprops={"arrowstyle": "<->", "color": colour, "shrinkA": 0,
                  "shrinkB": 0, "linewidth": 1.0}, zorder=4)  # fmt: skip
    text = f"barrier {form.format(at[t] - chord)}"
    axes.annotate(text, (t, (at[t] + chord) / 2), (4 if index == 0 else -4, 0), textcoords="offset points",
                  ha="left" if index == 0 else "right", va="center", color=colour, fontsize=7.5, zorder=6,
                  bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0})  # fmt: skip


def _figure(draws: Sequence[Callable[[Axes], None]], *, width: float = _WIDTH, height: float = _HEIGHT) -> Figure:
    rc_context = require("matplotlib", extra="analysis").rc_context
    with rc_context({"font.size": 8.5, "axes.linewidth": 0.7, "svg.fonttype": "none", "figure.facecolor": "white"}):
        made: Figure = require("matplotlib.figure", extra="analysis").Figure(
            figsize=(width * len(draws), height), layout="constrained"
        )
        for place, draw in enumerate(draws):
            draw(made.add_subplot(1, len(draws), 1 + place))
    return made


def _style(axes: Axes, *, grid: str | None = "y", legend: bool = False) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(grid is None)
    for spine in axes.spines.values():
        spine.set_color(_MUTED)
    if grid is not None:
        axes.grid(axis="y", color=_RULE, linewidth=0.7)
        axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=_MUTED, labelcolor=_INK, length=3, width=0.7)
    if legend:
        axes.legend(loc="best", frameon=True, framealpha=0.85, edgecolor="none", fontsize=7.5)


def _look(index: int) -> dict[str, Any]:
    """Colour and dashes of a curve: together its own."""
    return {
        "color": _COLOURS[index % len(_COLOURS)],
        "linestyle": _DASHES[index // len(_COLOURS) % len(_DASHES)],
        "linewidth": 1.5,
    }


def _kinds(classes: bool) -> tuple[bool, ...]:
    return (False, True) if classes else (False,)


def _percent(errors: Any) -> Any:
    if errors is None:
        raise ConfigurationError(
            "cannot draw error rates of a criterion without classes, because there are none; draw the loss"
        )
    return 100.0 * np.array(errors)


def _finite(values: Any) -> Any:
    """With gaps where a value is not finite."""
    array = np.array(values, dtype=float)
    return np.where(np.isfinite(array), array, np.nan)
