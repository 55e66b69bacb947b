"""Figures of forgetting: by group of samples, and along training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from samnesia.measure.figures import INK, colour, dashes, marker, name_below, page, tidy, whole_steps, zero
from samnesia.measure.forgetting.along import Record, forgetting_course
from samnesia.measure.forgetting.estimators import WHOLE
from samnesia.measure.forgetting.result import BATCH, EXPOSED, HELD_OUT, RUNNING, TRAINING, Forgetting
from samnesia.perturb.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FORMS = {"own": 0, "common": 1}
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

_UNITS = {"superfluous_share": "of 1", "accuracy_drop": "of 1"}


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
                color=colour(index),
                error_kw={"ecolor": INK, "elinewidth": 1.0},
                label=label if place == 0 else None,
            )
    axes.set_xticks(range(len(groups)), ["all samples" if group == WHOLE else group for group in groups])
    _finish(axes, name, f"{_SPLITS.get(split, split)}, {_STATISTICS[statistics]}", legend and len(results) > 1)


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
        lines, shade = list(lines), colour(index)
        for probe in probes:
            try:
                course = forgetting_course(lines, name, probe=probe, split=split, group=group, statistics=statistics)
            except ConfigurationError:
                continue
            drawn += 1
            known = [0.0 if math.isnan(error) else error for error in course.errors]
            low = [value - error for value, error in zip(course.values, known, strict=True)]
            high = [value + error for value, error in zip(course.values, known, strict=True)]
            style = {"color": shade, "linestyle": dashes(_FORMS[probe]), "marker": marker(index)}
            axes.plot(course.epochs, course.values, markersize=3, linewidth=1.2, label=f"{label}, {probe}", **style)
            axes.fill_between(course.epochs, low, high, color=shade, alpha=0.15, linewidth=0)
    if not drawn:
        raise ConfigurationError(
            f"cannot draw {name!r} along training ({split}, {group}, {statistics}), because no run has recorded it; "
            "look at what the records hold"
        )
    where = _SPLITS.get(split, split) + ("" if group == WHOLE else f", {group}")
    axes.set_xlabel("epoch")
    whole_steps(axes)
    _finish(axes, name, f"{where}, {_STATISTICS[statistics]}", legend)


def forgetting_figure(
    results: Mapping[str, Forgetting],
    names: Sequence[str] = ("superfluous", "useful"),
    *,
    split: str = TRAINING,
    statistics: str = RUNNING,
) -> Figure:
    """A figure of :func:`draw_forgetting`, a panel per estimate."""
    draw = partial(draw_forgetting, results=results, split=split, statistics=statistics, legend=False)
    draws = [partial(draw, name=name) for name in names]
    return _with_legend(page(draws, width=4.2, height=3.2))


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
    draw = partial(draw_forgetting_along, records=kept, split=split, group=group, statistics=statistics, legend=False)
    draws = [partial(draw, name=name) for name in names]
    return _with_legend(page(draws, width=4.2, height=3.2))


def _with_legend(figure: Figure) -> Figure:
    """One for all panels, below them."""
    found = max((axes.get_legend_handles_labels() for axes in figure.axes), key=lambda one: len(one[1]))
    name_below(figure, *found)
    return figure


def _finish(axes: Axes, name: str, where: str, legend: bool) -> None:
    zero(axes)
    axes.set_ylabel(f"{_worded(name)} ({_UNITS.get(name, 'nats')})")
    axes.set_title(where, loc="left")
    tidy(axes, legend=legend)


def _worded(name: str) -> str:
    """An estimate in words; of another label, by that label's name."""
    kind, _, other = name.partition("_")
    if name not in _NAMES and kind in ("superfluous", "useful"):
        return f"I(Ŷ; {other}) lost" if kind == "useful" else f"I(X;Ŷ | {other}) lost"
    return _NAMES.get(name, name)
