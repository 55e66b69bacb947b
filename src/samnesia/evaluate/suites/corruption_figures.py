"""Figures of errors on corrupted images: runs that differ by their seed have one colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from samnesia.data.corruptions import FAMILIES
from samnesia.measure.figures import RULE, colour, name_below, panels, run_samples, tidy
from samnesia.study.report.figures.parallel import Axis, draw_parallel
from samnesia.study.report.figures.style import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from samnesia.evaluate.corruptions import CorruptionErrors

Groups = Mapping[str, "Sequence[CorruptionErrors]"]
"""Errors of each run, by the name of its group; not empty."""
_ROW = 0.21  # inches
_ACROSS = 5


def by_family(groups: Groups) -> Figure:
    """A row for each family, clean samples first: a dot for each run, a bar at the mean of its group."""
    names = _families(groups)
    figure, (axes,) = panels(1, width=4.6, height=0.9 + _ROW * (len(names) + 1))
    for index, found in enumerate(groups.values()):
        rows = [[one.clean for one in found], *([one.means[name] for one in found] for name in names)]
        for place, errors in enumerate(rows):
            at = place + 0.12 * (index - (len(groups) - 1) / 2)
            axes.plot(errors, [at] * len(errors), "o", color=colour(index), markersize=2.6, alpha=0.7, mew=0)
            axes.plot(sum(errors) / len(errors), at, "|", color=colour(index), markersize=8, mew=1.6)
    axes.set_yticks(range(len(names) + 1), ["Clean", *(FAMILIES[name].words for name in names)])
    axes.set_ylim(len(names) + 0.6, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel("error, mean over severities (%)")
    axes.set_title("Error under each corruption")
    tidy(axes)
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    name_below(figure, run_samples(list(groups)))
    return figure


def over_severity(groups: Groups) -> Figure:
    """Error over severity, from 0 for clean samples: a panel for the mean and for each family, a line for each run."""
    names = _families(groups)
    figure, axes = panels(1 + len(names), columns=_ACROSS, width=1.65, height=1.55)
    for place, (one, name) in enumerate(zip(axes, [None, *names], strict=True)):
        _draw_over_severity(one, groups, name)
        one.set_title("Mean" if name is None else FAMILIES[name].words)
        if place >= len(axes) - _ACROSS:
            one.set_xlabel("severity, 0 is clean")
    figure.supylabel("error (%)", fontsize=8.5)
    name_below(figure, run_samples(list(groups)))
    return figure


def parallel(groups: Groups) -> Figure:
    """Parallel axes, one for each family with a scale of its own: a line for each run, the first group in grey."""
    names = _families(groups)
    lines = {
        group: [[one.clean, *(one.means[name] for name in names)] for one in found] for group, found in groups.items()
    }
    columns = [[line[place] for every in lines.values() for line in every] for place in range(len(names) + 1)]
    titles = ["Clean", *(FAMILIES[name].words for name in names)]
    axes = [Axis(title, min(column), max(column), "%") for title, column in zip(titles, columns, strict=True)]
    base, *others = lines
    figure, found = panels(len(others), width=4.4, height=0.7 + 1.6 * _ROW * len(axes))
    for index, (one, group) in enumerate(zip(found, others, strict=True), start=1):
        draw_parallel(one, LIGHT, rows=axes, ground=lines[base], lines=lines[group], index=index, arm=group)
    figure.supxlabel(f"error (%), lower is left; grey: {base}", fontsize=8.5)
    return figure


def _draw_over_severity(axes: Axes, groups: Groups, name: str | None) -> None:
    for index, found in enumerate(groups.values()):
        for one in found:
            errors = one.by_severity if name is None else one.errors[name]
            axes.plot([0, *one.severities], [one.clean, *errors], color=colour(index), linewidth=0.9, alpha=0.8)
    axes.set_ylim(0, 100)
    axes.set_xticks(range(6))
    tidy(axes)


def _families(groups: Groups) -> list[str]:
    """Those that every run was evaluated with."""
    every = [one.errors for found in groups.values() for one in found]
    return [name for name in every[0] if all(name in errors for errors in every)]
