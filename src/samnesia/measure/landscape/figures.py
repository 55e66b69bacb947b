"""Landscapes drawn: lines, contours, trajectories, the way between two runs, and escapes.

A drawing function takes axes first; those that end in ``_figure`` make a whole one on white ground. Maps grow darker
all the way: heights stay apart under the common colour deficiencies, and in grey.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from samnesia.measure.figures import COLOURS, INK, MUTED, colour, dashes, page, tidy
from samnesia.measure.landscape.connection import Barrier, Connection
from samnesia.measure.landscape.contours import draw_contours
from samnesia.measure.landscape.escaping import Escape, Growth
from samnesia.measure.landscape.lines import Line
from samnesia.measure.landscape.planes import Plane, TrajectoryPlane
from samnesia.perturb.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACROSS = 4.1  # inches of a trajectory's map
_WIDTH, _HEIGHT = 4.2, 3.1
_VISIBLE = 0.04  # of the axis' height: a barrier that is less is not marked
_SPLITS = 3  # place of the colours of splits: not those of the first models
_STEEP = 30.0  # highest over lowest loss, from which on a logarithmic axis shows more


def draw_lines(axes: Axes, found: Mapping[str, Line], *, errors: bool = False) -> None:
    """Loss (or error rate) over the position, a curve for each label; logarithmic where the loss spans decades."""
    axes.axvline(0.0, color=MUTED, linewidth=0.8, linestyle=dashes(2), zorder=1)
    for index, (label, one) in enumerate(found.items()):
        values = _percent(one.errors) if errors else np.array(one.losses)
        axes.plot(one.positions, _finite(values), label=label, zorder=3, **_look(index))
    values = np.concatenate([_finite(one.losses) for one in found.values()])
    if not errors and np.nanmin(values) > 0.0 and np.nanmax(values) > _STEEP * np.nanmin(values):
        axes.set_yscale("log")
    names = {one.label for one in found.values()}
    axes.set_xlabel(f"position along the {names.pop()}" if len(names) == 1 else "position along the direction")
    axes.set_ylabel("error rate (%)" if errors else "loss")
    tidy(axes, legend=len(found) > 1)


def draw_plane(axes: Axes, found: Plane, *, errors: bool = False, levels: Sequence[float] | None = None) -> None:
    """Filled contours of the loss (or error rate) at levels in equal ratios, with their values; the model is at +.

    ``levels`` are those of several planes that compare: :func:`~samnesia.measure.landscape.contours.shared_levels`.
    """
    grid = _percent(found.errors) if errors else np.array(found.losses)
    draw_contours(axes, found.x, found.y, _finite(grid), name="error rate (%)" if errors else "loss", levels=levels)
    axes.plot(0.0, 0.0, "+", color=INK, markersize=9, markeredgewidth=1.6, zorder=5)
    axes.set_xlabel(found.labels[0])
    axes.set_ylabel(found.labels[1])
    axes.set_aspect("equal")
    tidy(axes, grid=False)


def draw_trajectory(axes: Axes, found: TrajectoryPlane, *, errors: bool = False) -> None:
    """The plane with the path of the checkpoints on it, from the square to the star."""
    from matplotlib.patheffects import Normal, Stroke

    draw_plane(axes, found.plane, errors=errors)
    x, y = np.array(found.path).T
    halo = [Stroke(linewidth=3.4, foreground="white"), Normal()]
    axes.plot(x, y, "-o", color=colour(2), linewidth=1.4, markersize=2.8, path_effects=halo, zorder=6)
    for place, marker, size, label in ((0, "s", 7, "first checkpoint"), (-1, "*", 12, "last checkpoint")):
        axes.plot(x[place], y[place], marker, color=colour(2), markersize=size, markeredgecolor="white",
                  markeredgewidth=0.9, linestyle="none", label=label, zorder=7)  # fmt: skip
    for which, share, name in ((axes.xaxis, found.explained[0], "1st"), (axes.yaxis, found.explained[1], "2nd")):
        which.set_label_text(f"{name} principal direction ({share:.1%} of variance)")
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, frameon=False, fontsize=7.5, borderaxespad=0.2,
                handletextpad=0.3, columnspacing=1.2)  # fmt: skip


def draw_connection(axes: Axes, found: Connection, *, errors: bool = False) -> None:
    """Loss (or error rate) on the way between two runs, the line between the ends, and the barrier above it."""
    for end in (0.0, 1.0):
        axes.axvline(end, color=MUTED, linewidth=0.8, linestyle=dashes(2), zorder=1)
    barriers = []
    for index, (name, segment) in enumerate(found.segments.items(), start=_SPLITS):
        one, barrier = segment.line, segment.error_barrier if errors else segment.loss_barrier
        values = _finite(_percent(one.errors) if errors else one.losses)
        axes.plot(one.positions, values, label=f"{name} ({one.samples})", zorder=3, **_look(index))
        at = dict(zip(one.positions, values, strict=True))
        axes.plot((0, 1), (at[0.0], at[1.0]), "o", color=_look(index)["color"], markersize=4.5, zorder=4)
        axes.plot((0, 1), (at[0.0], at[1.0]), color=_look(index)["color"], linewidth=0.8, alpha=0.7, zorder=2)
        barriers.append((barrier, at))
    for index, (barrier, at) in enumerate(barriers, start=_SPLITS):
        if barrier is not None:
            _mark(axes, barrier, at, index, "{:.1f} points" if errors else "{:.3g}")
    axes.set_xlabel("t in (1 - t) w + t w'")
    axes.set_ylabel("error rate (%)" if errors else "loss")
    tidy(axes, legend=True)


def draw_escape(axes: Axes, found: Escape) -> None:
    """The loss after each step, every repeat and their mean, with the fitted growth, on a logarithmic axis."""
    for index, growth in enumerate((found.control, found.perturbed)):
        _draw_growth(axes, growth, found.window, found.floor, _look(index))
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("loss" if not found.floor else f"loss above {found.floor:g}")
    tidy(axes, legend=True)


def lines_figure(found: Mapping[str, Line]) -> Figure:
    """Loss along lines by label, and the error rate beside it where there is one."""
    classes = all(one.errors is not None for one in found.values())
    return page(
        [partial(draw_lines, found=found, errors=kind) for kind in _kinds(classes)], width=_WIDTH, height=_HEIGHT
    )


def plane_figure(found: Plane) -> Figure:
    """Contours of the loss, and of the error rate beside it where there is one."""
    kinds = _kinds(found.errors is not None)
    return page([partial(draw_plane, found=found, errors=kind) for kind in kinds], width=_WIDTH, height=3.7)


def trajectory_figure(found: TrajectoryPlane) -> Figure:
    """The path of a run over the loss."""
    x, y = found.plane.x, found.plane.y
    height = _ACROSS * (y[-1] - y[0]) / (x[-1] - x[0]) + 0.8  # of the map, which is true to scale, and of its words
    return page([partial(draw_trajectory, found=found)], width=5.4, height=min(max(height, 2.2), 5.4))


def connection_figure(found: Connection) -> Figure:
    """Loss on the way between two runs, and the error rate beside it where there is one."""
    kinds = _kinds(found.train.line.errors is not None)
    return page([partial(draw_connection, found=found, errors=kind) for kind in kinds], width=_WIDTH, height=_HEIGHT)


def escape_figure(found: Escape) -> Figure:
    """The losses of an escape."""
    return page([partial(draw_escape, found=found)], width=5.0, height=3.4)


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
        axes.plot(inside, np.exp(line), color=INK, linewidth=0.8, linestyle=dashes(1), zorder=5)


def _mark(axes: Axes, barrier: Barrier, at: Mapping[float, float], index: int, form: str) -> None:
    """An arrow from the line between the ends up to the highest point above it; none for next to nothing."""
    t, (low, high) = barrier.position, axes.get_ylim()
    chord, colour = at[0.0] + t * (at[1.0] - at[0.0]), _look(index)["color"]
    if not at[t] - chord > _VISIBLE * (high - low):
        return
    axes.annotate("", (t, at[t]), (t, chord), arrowprops={"arrowstyle": "<->", "color": colour, "shrinkA": 0,
                  "shrinkB": 0, "linewidth": 1.0}, zorder=4)  # fmt: skip
    text = f"barrier {form.format(at[t] - chord)}"
    axes.annotate(text, (t, (at[t] + chord) / 2), (4 if index == _SPLITS else -4, 0), textcoords="offset points",
                  ha="left" if index == _SPLITS else "right", va="center", color=colour, fontsize=7.5, zorder=6,
                  bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0})  # fmt: skip


def _look(index: int) -> dict[str, Any]:
    """Colour and dashes of a curve: together its own."""
    return {
        "color": colour(index),
        "linestyle": dashes(index // len(COLOURS)),
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
