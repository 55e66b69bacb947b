"""What a method costs and what it reaches: the measure against gradient evaluations, or against seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from samnesia.study import numbers
from samnesia.study.figures import Palette, label, spread
from samnesia.study.judged import Judged
from samnesia.study.report import marks
from samnesia.study.report.plates import Panel, Plate
from samnesia.study.wording import Summary, capital

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = Sequence[Mapping[str, Any]]
APART = 0.1
"""Costs that differ by less, in shares of the larger, are drawn as equal."""


@dataclass(frozen=True)
class Cost:
    """A cost of a run: its name in the summary, and in words."""

    name: str
    words: str


GRADIENTS = Cost("gradient_evaluations", "gradient evaluations per run")
SECONDS = Cost("seconds", "seconds per run")


def cost_plate(summary: Summary) -> Plate | None:
    """The measure against cost in every context; None where no cost is known of two methods."""
    blocks = [(one["name"], one["methods"]) for one in summary["contexts"]] or [("", summary["methods"])]
    cost = next((cost for cost in (GRADIENTS, SECONDS) if any(_differs(rows, cost) for _, rows in blocks)), None)
    if cost is None:
        return None
    judged, order = Judged.of(summary), {row["method"]: place for place, row in enumerate(summary["methods"])}
    height = marks.labelled_height(2.9 if len(blocks) == 1 else 2.3, len(order))
    panels = tuple(
        Panel(
            partial(
                draw_cost, rows=_known(rows, cost), judged=judged, cost=cost, name=name, order=order, height=height
            ),
            _described(rows, judged, cost, name),
        )
        for name, rows in blocks
        if _known(rows, cost)
    )
    where = f" {judged.at(judged.main)}" if judged.at(judged.main) else ""
    points = (
        f"Filled: {', open: '.join(judged.points.values())}." if len(blocks) == 1 and len(judged.points) > 1 else ""
    )
    caption = (
        f"Mark and line: mean with 95 % interval over seeds{where if not points else ''}. {points} "
        "Methods of equal cost are moved apart sideways."
    )
    title = f"{capital(judged.name)} against {cost.words.removesuffix(' per run')}"
    return Plate("cost", title, " ".join(caption.split()), panels, height)


def draw_cost(axes: Axes, palette: Palette, *, rows: Rows, judged: Judged, cost: Cost, name: str,
              order: Mapping[str, int], height: float) -> None:  # fmt: skip
    """Each method at its cost: the mean of the measure with its interval."""
    from matplotlib.ticker import MaxNLocator

    costs = [float(row[cost.name]) for row in rows]
    points = _points(judged, name)
    gap = (0.028 if len(points) == 1 else 0.042) * max(costs)
    places = spread(costs, gap=gap)
    for row, place in zip(rows, places, strict=True):
        index = order[row["method"]]
        colour, marker = palette.method(index), palette.marker(index)
        for point, aside in zip(points, (0.0,) if len(points) == 1 else (-gap / 5, gap / 5), strict=True):
            estimate, x = row["score"][point], place + aside
            if estimate["mean"] is None:
                continue
            face = colour if point == judged.main else palette.surface
            if estimate["low"] is not None:
                axes.plot([x] * 2, marks.cut(estimate, judged.bounds), color=colour, linewidth=1.3, zorder=2)
            axes.plot(x, estimate["mean"], marker, markersize=5.2, color=colour, mfc=face, mew=1.3, zorder=3)
    marks.style_axes(axes, palette, grid="y")
    axes.set_xlim(0.0, max(places) + 1.5 * gap)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    axes.set_xlabel(cost.words, color=palette.ink)
    axes.set_ylabel(judged.axis, color=palette.ink)
    marks.title(axes, palette, name)
    ends = [(row["score"][judged.main]["mean"], order[row["method"]], label(row["method"])) for row in rows]
    marks.label_ends(axes, palette, ends, height)


def _points(judged: Judged, name: str) -> list[str]:
    """Both points of a run where there is one panel, which has room for them."""
    return [judged.main] if name else list(judged.points)


def _known(rows: Rows, cost: Cost) -> list[Mapping[str, Any]]:
    main = next(iter(rows[0]["score"]))
    return [row for row in rows if row[cost.name] is not None and row["score"][main]["mean"] is not None]


def _differs(rows: Rows, cost: Cost) -> bool:
    costs = [row[cost.name] for row in _known(rows, cost)]
    return len(costs) > 1 and max(costs) - min(costs) > APART * max(costs)


def _described(rows: Rows, judged: Judged, cost: Cost, name: str) -> str:
    told = [
        f"{label(row['method'])} {judged.level(row['score'][judged.main])} at {numbers.plain(row[cost.name], 0)}"
        for row in _known(rows, cost)
    ]
    where = f" in {name}" if name else ""
    return f"{capital(judged.axis)} against {cost.words}{where}: {'; '.join(told)}."
