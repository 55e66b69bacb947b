"""By how much switching from the baseline lowers the error: a point per context, as Foret et al. (2021) show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from samnesia.study.judging import numbers
from samnesia.study.report.figures import marks
from samnesia.study.report.figures.compared import height_of, marks_in_words
from samnesia.study.report.figures.plates import Panel, Plate
from samnesia.study.report.figures.style import Palette, label
from samnesia.study.report.judged import Judged
from samnesia.study.report.wording import QUOTE, Summary, capital, order_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = Sequence[tuple[str, Mapping[str, Any]]]
"""Name of a context, and the method's row in it."""
NAME = "error_reduction"


def switching_plate(summary: Summary) -> Plate | None:
    """A panel for each method with a point per context; None for one context, and for what has no error."""
    judged, base = Judged.of(summary), label(summary["baseline"])
    by_method = {row["method"]: _points(summary, row["method"]) for row in summary["methods"][1:]}
    shown = {method: points for method, points in by_method.items() if points}
    if not summary["contexts"] or not shown:
        return None
    rows = [row for points in shown.values() for _, row in points]
    limits = _limits(rows)
    outside = any(_further_left(estimate["mean"], limits) for row in rows for estimate in row[NAME].values())
    order = order_of(summary)
    panels = tuple(
        Panel(
            partial(draw_switching, points=points, judged=judged, index=order[method], method=method, limits=limits),
            _described(points, judged, method, base),
        )
        for method, points in shown.items()
    )
    height = height_of(max(map(len, shown.values())), several=len(panels) > 1)
    caption = (
        f"By how much the {judged.error} is lower than that of {base}, in percent of it; a row per context, right of "
        f"zero is better. {marks_in_words(judged)} Intervals are Fieller{QUOTE}s, paired within "
        f"seeds.{' An arrow at the edge stands for what lies further left.' if outside else ''}"
    )
    return Plate(NAME, f"{capital(_reduction(judged))} by switching from {base}", caption, panels, height)


def draw_switching(axes: Axes, palette: Palette, *, points: Points, judged: Judged, index: int, method: str,
                   limits: tuple[float, float]) -> None:  # fmt: skip
    """The error reduction of one method in every context, at each point of a run."""
    axes.axvline(0.0, color=palette.muted, linewidth=0.9, zorder=1)
    for place, (_, row) in enumerate(points):
        drawn = marks.point_rows(axes, palette, place, row[NAME], index)
        for point, y in drawn.items():
            if _further_left(row[NAME][point]["mean"], limits):
                axes.plot(limits[0], y, "<", color=palette.method(index), markersize=5, clip_on=False, zorder=4)
            axes.annotate(
                numbers.signed(row[NAME][point]["mean"], 0), (1.0, y), (5, 0), xycoords=("axes fraction", "data"),
                textcoords="offset points", va="center", annotation_clip=False,
                color=palette.ink if point == judged.main else palette.muted,
            )  # fmt: skip
    marks.name_rows(axes, [name for name, _ in points])
    marks.style_axes(axes, palette, grid="x")
    axes.set_xlim(*limits)
    axes.set_xlabel(f"{_reduction(judged)} (%)", color=palette.ink)
    marks.title(axes, palette, label(method))


def _reduction(judged: Judged) -> str:
    return "error reduction" if judged.error == "error" else f"reduction of {judged.error}"


def _points(summary: Summary, method: str) -> list[tuple[str, Mapping[str, Any]]]:
    return [
        (context["name"], row)
        for context in summary["contexts"]
        for row in context["methods"]
        if row["method"] == method and any(one["mean"] is not None for one in row[NAME].values())
    ]


def _further_left(mean: float | None, limits: tuple[float, float]) -> bool:
    return mean is not None and mean < limits[0]


def _limits(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Common ends of all panels, with every mean and interval, but what is worse by more than 150 %."""
    ends = [0.0]
    for row in rows:
        for estimate in row[NAME].values():
            ends += [estimate[name] for name in ("mean", "low", "high") if estimate[name] is not None]
    low, high = max(min(ends), -150.0), max(ends)
    margin = 0.06 * (high - low)
    return low - margin, high + margin


def _described(points: Points, judged: Judged, method: str, base: str) -> str:
    told = [f"{name} {numbers.change(row[NAME][judged.main], 0)}" for name, row in points]
    when = f" {judged.at(judged.main)}" if judged.at(judged.main) else ""
    what = f"{_reduction(judged)} against {base} in percent{when}, by context"
    return f"{capital(label(method))}: {what}: {'; '.join(told)}."
