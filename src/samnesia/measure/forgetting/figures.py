"""Figures of forgetting: by group of samples, and along training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from samnesia.extras import require
from samnesia.measure.forgetting.along import Record, forgetting_course
from samnesia.measure.forgetting.estimators import WHOLE
from samnesia.measure.forgetting.result import BATCH, EXPOSED, HELD_OUT, RUNNING, TRAINING, Forgetting
from samnesia.perturb.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Hues of Okabe and Ito (2008), which stay apart under the common colour deficiencies; black first.
_COLOURS = ("#1b1b1f", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_MARKERS = ("o", "s", "^", "D", "v")
_DASHES: dict[str, Any] = {"own": "-", "common": (0, (4, 1.5))}
_INK, _MUTED, _RULE = "#1b1b1f", "#5c5f66", "#dcdde1"
_SPLITS = {EXPOSED: "the perturbation's batch", TRAINING: "other training data", HELD_OUT: "held-out data"}
_STATISTICS = {RUNNING: "running statistics", BATCH: "statistics of each batch"}
_NAMES = {
    "output": "I(X;Ŷ) lost",
    "superfluous": "superfluous I(X;Ŷ|Y) lost",
    "useful": "useful I(Ŷ;Y) lost",
    "superfluous_share": "superfluous share of what is lost",
    "divergence": "KL of predictions",
    "accuracy_drop": "accuracy lost",
    "loss_rise": "rise of the cross-entropy",
    "input_exposed": "rise on the batch, less rise elsewhere",
    "hidden": "I(X;Z|Y) of the layer lost",
}


def draw_forgetting(
    axes: Axes,
    results: Mapping[str, Forgetting],
    name: str = "superfluous",
    *,
    split: str = TRAINING,
    statistics: str = RUNNING,
    legend: bool = True,
) -> None:
    """Draw what models forget, by group: a bar per model, with its standard error.

    Args:
        axes: where to.
        results: by the name of the model or method.
        name: of the estimate.
        split: where it is measured.
        statistics: by what layers normalize.
        legend: whether to say there which colour is whose.

    Raises:
        ConfigurationError: for no results, or an estimate that one of them does not have.
    """
    if not results:
        raise ConfigurationError("cannot draw forgetting without results, because there is nothing to see; give some")
    every = (result.cells.get(statistics, {}).get(split, {}) for result in results.values())
    groups = list(dict.fromkeys(group for found in every for group in found)) or [WHOLE]
    width = 0.8 / len(results)
    for index, (label, result) in enumerate(results.items()):
        left = 0.5 * width - 0.4 + index * width
        for place, group in enumerate(groups):
            if group not in result.cells.get(statistics, {}).get(split, {}) and group != WHOLE:
                continue
            estimate = result.of(name, split, group, statistics)
            error = None if math.isnan(estimate.error) else estimate.error
            axes.bar(
                place + left,
                estimate.value,
                width * 0.92,
                yerr=error,
                color=_COLOURS[index % len(_COLOURS)],
                error_kw={"ecolor": _MUTED, "elinewidth": 1.0},
                label=label if place == 0 else None,
            )
    axes.set_xticks(range(len(groups)), ["all samples" if group == WHOLE else group for group in groups])
    _style(axes, _worded(name), f"{_SPLITS.get(split, split)}, {_STATISTICS[statistics]}")
    if legend and len(results) > 1:
        axes.legend(frameon=False, fontsize=8)


def draw_forgetting_along(
    axes: Axes,
    records: Mapping[str, Iterable[Record]],
    name: str = "superfluous",
    *,
    probes: Sequence[str] = ("own", "common"),
    split: str = TRAINING,
    group: str = WHOLE,
    statistics: str = RUNNING,
    legend: bool = True,
) -> None:
    """Draw what models forget along training: a colour per run, a solid line for the own, dashes for the common probe.

    A run without a perturbation of its own (plain SGD) has the common line alone.

    Args:
        axes: where to.
        records: the lines of ``records.jsonl`` by the name of the run or method.
        name: of the estimate.
        probes: ``own``, ``common``, or both.
        split: where it is measured.
        group: of samples.
        statistics: by what layers normalize.
        legend: whether to say there which line is whose.

    Raises:
        ConfigurationError: for runs of which none has it.
    """
    drawn = 0
    for index, (label, lines) in enumerate(records.items()):
        lines, colour = list(lines), _COLOURS[index % len(_COLOURS)]
        for probe in probes:
            try:
                course = forgetting_course(lines, name, probe=probe, split=split, group=group, statistics=statistics)
            except ConfigurationError:
                continue
            drawn += 1
            known = [0.0 if math.isnan(error) else error for error in course.errors]
            low = [value - error for value, error in zip(course.values, known, strict=True)]
            high = [value + error for value, error in zip(course.values, known, strict=True)]
            style = {"color": colour, "linestyle": _DASHES[probe], "marker": _MARKERS[index % len(_MARKERS)]}
            axes.plot(course.epochs, course.values, markersize=3, linewidth=1.2, label=f"{label}, {probe}", **style)
            axes.fill_between(course.epochs, low, high, color=colour, alpha=0.15, linewidth=0)
    if not drawn:
        raise ConfigurationError(
            f"cannot draw {name!r} along training ({split}, {group}, {statistics}), because no run has recorded it; "
            "look at what the records hold"
        )
    where = _SPLITS.get(split, split) + ("" if group == WHOLE else f", {group}")
    _style(axes, _worded(name), f"{where}, {_STATISTICS[statistics]}")
    axes.set_xlabel("epoch", color=_INK)
    if legend:
        axes.legend(frameon=False, fontsize=8)


def forgetting_figure(
    results: Mapping[str, Forgetting],
    names: Sequence[str] = ("superfluous", "useful"),
    *,
    split: str = TRAINING,
    statistics: str = RUNNING,
) -> Figure:
    """A figure of :func:`draw_forgetting`, a panel per estimate."""
    figure, panels = _panels(len(names))
    for axes, name in zip(panels, names, strict=True):
        draw_forgetting(axes, results, name, split=split, statistics=statistics, legend=False)
    return _with_legend(figure, panels)


def forgetting_along_figure(
    records: Mapping[str, Iterable[Record]],
    names: Sequence[str] = ("superfluous", "useful"),
    *,
    split: str = TRAINING,
    group: str = WHOLE,
    statistics: str = RUNNING,
) -> Figure:
    """A figure of :func:`draw_forgetting_along`, a panel per estimate."""
    kept = {label: list(lines) for label, lines in records.items()}
    figure, panels = _panels(len(names))
    for axes, name in zip(panels, names, strict=True):
        draw_forgetting_along(axes, kept, name, split=split, group=group, statistics=statistics, legend=False)
    return _with_legend(figure, panels)


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    figure = require("matplotlib.figure", extra="analysis").Figure(figsize=(4.2 * count, 3.2), layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)
    return figure, list(axes[0])


def _with_legend(figure: Figure, panels: Sequence[Axes]) -> Figure:
    """One for all panels, below them."""
    handles, labels = max((axes.get_legend_handles_labels() for axes in panels), key=lambda found: len(found[1]))
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False, fontsize=8)
    return figure


def _worded(name: str) -> str:
    """An estimate in words; of another label, by that label's name."""
    kind, _, other = name.partition("_")
    if name not in _NAMES and kind in ("superfluous", "useful"):
        return f"I(Ŷ; {other}) lost" if kind == "useful" else f"I(X;Ŷ | {other}) lost"
    return _NAMES.get(name, name)


def _style(axes: Axes, value: str, title: str) -> None:
    axes.axhline(0.0, color=_MUTED, linewidth=0.8, zorder=0)
    axes.set_ylabel(value, color=_INK)
    axes.set_title(title, fontsize=8.5, color=_MUTED, loc="left")
    axes.grid(axis="y", color=_RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_MUTED, labelsize=8)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_RULE)
