"""The compared factor: the measure by method, and paired differences to the baseline, at the points of a run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from samnesia.study.report import wording
from samnesia.study.report.figures import marks
from samnesia.study.report.figures.plates import Panel, Plate
from samnesia.study.report.figures.style import MANY, Draw, Palette, label
from samnesia.study.report.judged import Judged
from samnesia.study.report.wording import Rows, Summary, capital

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def height_of(rows: int, *, several: bool = False) -> float:
    """Height in inches of a panel with this many rows of two estimates each: closer rows where there are many."""
    return 0.85 + (0.36 if several else 0.46) * min(rows, MANY) + 0.26 * max(rows - MANY, 0)


def scores_draw(summary: Summary) -> Draw:
    """What draws the measure by method: mean with interval at each point of a run, and every seed."""
    return partial(draw_scores, rows=summary["methods"], judged=Judged.of(summary))


def scores_plate(summary: Summary) -> Plate:
    """The measure by method; where there are several contexts, its mean over them."""
    judged = Judged.of(summary)
    over = ", mean over contexts" if summary["contexts"] else ""
    caption = f"{marks_in_words(judged)}{cut_in_words(summary['methods'], judged)}"
    panel = Panel(scores_draw(summary), wording.describe_scores(summary, summary["methods"]))
    return Plate("scores", f"{capital(judged.name)} by {summary['compared']}{over}", caption, (panel,),
                 height_of(len(summary["methods"])))  # fmt: skip


def differences_plate(summary: Summary) -> Plate | None:
    """Differences to the baseline within seeds; None where there is nothing to compare."""
    judged, base = Judged.of(summary), label(summary["baseline"])
    blocks = [("", summary["methods"])]
    if summary["contexts"]:
        blocks = [("mean over contexts", summary["methods"])]
        blocks += [(context["name"], context["methods"]) for context in summary["contexts"]]
    blocks = [(name, rows) for name, rows in blocks if _compared(rows, summary["baseline"])]
    if not blocks:
        return None
    panels = tuple(
        Panel(
            partial(draw_differences, rows=rows, judged=judged, baseline=summary["baseline"], name=name,
                    order=wording.order_of(summary)),
            wording.describe_differences(summary, rows, name),
        )
        for name, rows in blocks
    )  # fmt: skip
    sides = {True: " Right of zero is better.", False: " Left of zero is better.", None: ""}
    told = marks_in_words(judged) if summary["contexts"] else "Intervals of 95 % are paired over seeds."
    rows = max(len(_compared(rows, summary["baseline"])) for _, rows in blocks)
    caption = f"{told}{sides[judged.higher_is_better]} The numbers are the means."
    height = height_of(rows, several=len(panels) > 1)
    return Plate("differences", f"Difference to {base} within seeds", caption, panels, height)


def draw_scores(axes: Axes, palette: Palette, *, rows: Rows, judged: Judged) -> None:
    """The measure by method: mean with interval at each point of a run, and every seed."""
    for index, row in enumerate(rows):
        marks.point_rows(axes, palette, index, row["score"], index, judged.bounds)
    marks.name_rows(axes, [label(row["method"]) for row in rows])
    marks.style_axes(axes, palette, grid="x")
    axes.set_xlabel(judged.axis, color=palette.ink)
    marks.point_legend(axes, palette, judged)


def draw_differences(axes: Axes, palette: Palette, *, rows: Rows, judged: Judged, baseline: str, name: str,
                     order: Mapping[str, int]) -> None:  # fmt: skip
    """Paired difference of each method to the baseline, in steps of the unit, with interval and every seed."""
    shown = _compared(rows, baseline)
    axes.axvline(0.0, color=palette.muted, linewidth=0.9, zorder=1)
    for place, row in enumerate(shown):
        drawn = marks.point_rows(axes, palette, place, row["difference"], order[row["method"]])
        for point, y in drawn.items():
            axes.annotate(
                judged.difference(row["difference"][point]["mean"]), (1.0, y), (5, 0),
                xycoords=("axes fraction", "data"), textcoords="offset points", va="center", annotation_clip=False,
                color=palette.ink if point == judged.main else palette.muted,
            )  # fmt: skip
    marks.name_rows(axes, [label(row["method"]) for row in shown])
    marks.style_axes(axes, palette, grid="x")
    of = f"{judged.step} of {judged.name}" if judged.step and not name else judged.step or judged.name
    axes.set_xlabel(f"difference to {label(baseline)} ({of})", color=palette.ink)
    if name:
        marks.title(axes, palette, name)
    else:
        marks.point_legend(axes, palette, judged)


def marks_in_words(judged: Judged) -> str:
    """How an estimate with its interval and its seeds is drawn."""
    if len(judged.points) < 2:
        return "Line and large dot: mean with 95 % interval over seeds. Small dots: seeds."
    first, second = judged.points.values()
    return (
        f"Line and large dot: mean with 95 % interval over seeds, at the {first} (filled) and at the {second} (open). "
        "Small dots: seeds."
    )


def cut_in_words(rows: Rows, judged: Judged) -> str:
    """A sentence where intervals reach beyond what can be, and are cut."""
    if judged.bounds is None:
        return ""
    low, high = judged.bounds
    estimates = [estimate for row in rows for estimate in row["score"].values() if estimate["low"] is not None]
    cut = any(estimate["low"] < low or estimate["high"] > high for estimate in estimates)
    return f" Intervals are cut at {low:g} and {high:g} %." if cut else ""


def _compared(rows: Rows, baseline: str) -> list[Mapping[str, Any]]:
    return [
        row
        for row in rows
        if row["method"] != baseline and any(one["mean"] is not None for one in row["difference"].values())
    ]
