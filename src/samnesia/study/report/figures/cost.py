"""What a method costs and what it reaches: the measure against gradient evaluations, or else against seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from samnesia.study.judging import numbers
from samnesia.study.judging.numbers import Estimate
from samnesia.study.report.figures import marks
from samnesia.study.report.figures.plates import Panel, Plate
from samnesia.study.report.figures.style import MANY, Palette, label, spread
from samnesia.study.report.judged import Judged
from samnesia.study.report.wording import Rows, Summary, capital, order_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

APART = 0.1
"""Costs that differ by less, in shares of the larger, are drawn as equal."""
GAP, MOVED = 0.028, 0.06
"""Between marks of equal cost, and how far a mark may be moved at most, in shares of the largest cost."""


@dataclass(frozen=True)
class Cost:
    """A cost of a run: its name in the summary, in words, and the digits after the point that it is written with."""

    name: str
    words: str
    digits: int = 0


GRADIENTS = Cost("gradient_evaluations", "gradient evaluations per run")
SECONDS = Cost("seconds", "seconds per run", digits=1)


@dataclass(frozen=True)
class Scene:
    """What one panel shows.

    Attributes:
        title: a context, or a point of the runs.
        point: the point of the runs at which the measure is taken.
        cost: what the methods are placed by.
        rows: the methods of which cost and measure are known.
        limits: ends of the measure's axis; None is what the panel needs.
    """

    title: str
    point: str
    cost: Cost
    rows: Rows
    limits: tuple[float, float] | None = None

    def named(self, judged: Judged, baseline: str) -> set[str]:
        """The methods with name and colour: all, or of many the baseline and those that none beats at their cost."""
        if len(self.rows) <= MANY:
            return {row["method"] for row in self.rows}
        front: set[str] = set()
        for up in (True, False) if judged.higher_is_better is None else (judged.higher_is_better,):
            best: float | None = None
            for row in sorted(self.rows, key=lambda row: (self._cost(row), -self._level(row, up))):
                if best is None or self._level(row, up) > best:
                    best = self._level(row, up)
                    front.add(row["method"])
        return front | {row["method"] for row in self.rows if row["method"] == baseline}

    def places(self) -> list[float]:
        """Where the rows stand on the axis of costs: equal ones are moved apart, by little."""
        costs = [self._cost(row) for row in self.rows]
        gap, most = GAP * max(costs), MOVED * max(costs)
        while (moved := _farthest(places := spread(costs, gap=gap), costs)) > most * 1.001:
            gap *= most / moved
        return places

    def _cost(self, row: Mapping[str, Any]) -> float:
        return float(row[self.cost.name])

    def _level(self, row: Mapping[str, Any], up: bool) -> float:
        mean: float = row["score"][self.point]["mean"]
        return mean if up else -mean


def _farthest(places: Sequence[float], costs: Sequence[float]) -> float:
    return max(abs(place - cost) for place, cost in zip(places, costs, strict=True))


def cost_plate(summary: Summary) -> Plate | None:
    """The measure against cost, in every context, or at every point of the runs where there is one context.

    Cost is gradient evaluations, or seconds of what does not count them. Returns None where it is the same for all.
    """
    judged, order = Judged.of(summary), order_of(summary)
    blocks = [one["methods"] for one in summary["contexts"]] or [summary["methods"]]
    counted = any(row[GRADIENTS.name] is not None for rows in blocks for row in rows)
    cost = GRADIENTS if counted else SECONDS
    if not any(_differs(rows, cost) for rows in blocks):
        return None
    scenes = [scene for scene in _scenes(summary, judged, cost) if scene.rows]
    baseline = summary["baseline"]
    names = max((len(scene.named(judged, baseline)) for scene in scenes), default=0)
    height = marks.labelled_height(2.3 if len(scenes) > 2 else 2.9, names)
    panels = tuple(
        Panel(
            partial(draw_cost, scene=scene, judged=judged, baseline=baseline, order=order, height=height),
            _described(scene, judged, cost),
        )
        for scene in scenes
    )
    when = f" {judged.at(judged.main)}" if summary["contexts"] and judged.at(judged.main) else ""
    caption = (
        f"Mark and line: mean with 95 % interval over seeds{when}. Marks of equal cost are moved apart sideways; "
        "names stand in the order of the means."
    )
    if len(order) > MANY:
        caption += f" Named are {label(baseline)} and the methods that no other one beats at equal or lower cost."
    title = f"{capital(judged.name)} against {cost.words.removesuffix(' per run')}"
    return Plate("cost", title, caption, panels, height)


def draw_cost(axes: Axes, palette: Palette, *, scene: Scene, judged: Judged, baseline: str, order: Mapping[str, int],
              height: float) -> None:  # fmt: skip
    """Each method at its cost: the mean of the measure with its interval."""
    from matplotlib.ticker import MaxNLocator

    places, named = scene.places(), scene.named(judged, baseline)
    for row, x in zip(scene.rows, places, strict=True):
        estimate, index = row["score"][scene.point], order[row["method"]]
        picked = row["method"] in named
        colour, size, above = (palette.method(index), 5.2, 2) if picked else (palette.muted, 3.2, 0)
        face = colour if scene.point == judged.main else palette.surface
        if estimate["low"] is not None:
            ends = marks.cut(estimate, judged.bounds)
            axes.plot([x] * 2, ends, color=colour, linewidth=size / 4, alpha=1.0 if picked else 0.4, zorder=2 + above)
        axes.plot(x, estimate["mean"], palette.marker(index), markersize=size, color=colour, mfc=face, mew=size / 4,
                  alpha=1.0 if picked else 0.6, zorder=3 + above)  # fmt: skip
    marks.style_axes(axes, palette, grid="y")
    axes.set_xlim(0.0, max(places) + 1.5 * GAP * max(places))
    axes.set_ylim(scene.limits)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    axes.set_xlabel(scene.cost.words, color=palette.ink)
    axes.set_ylabel(judged.axis, color=palette.ink)
    marks.title(axes, palette, scene.title)
    labels = [
        (row["score"][scene.point]["mean"], order[row["method"]], label(row["method"]))
        for row in scene.rows
        if row["method"] in named
    ]
    marks.label_ends(axes, palette, labels, height)


def _scenes(summary: Summary, judged: Judged, cost: Cost) -> list[Scene]:
    if summary["contexts"]:
        return [
            Scene(one["name"], judged.main, cost, _known(one["methods"], cost, judged.main))
            for one in summary["contexts"]
        ]
    found = {point: _known(summary["methods"], cost, point) for point in judged.points}
    limits = _limits([row["score"][point] for point, rows in found.items() for row in rows], judged)
    return [Scene(judged.points[point], point, cost, rows, limits) for point, rows in found.items()]


def _limits(estimates: Sequence[Estimate], judged: Judged) -> tuple[float, float]:
    """Ends of one axis for all these."""
    ends = [estimate["mean"] for estimate in estimates]
    for estimate in estimates:
        ends += marks.cut(estimate, judged.bounds) if estimate["low"] is not None else ()
    margin = 0.05 * (max(ends) - min(ends)) or 1.0
    return min(ends) - margin, max(ends) + margin


def _known(rows: Rows, cost: Cost, point: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if row[cost.name] is not None and row["score"][point]["mean"] is not None]


def _differs(rows: Rows, cost: Cost) -> bool:
    costs = [row[cost.name] for row in rows if row[cost.name] is not None]
    return len(costs) > 1 and max(costs) - min(costs) > APART * max(costs)


def _described(scene: Scene, judged: Judged, cost: Cost) -> str:
    levels = {label(row["method"]): judged.level(row["score"][scene.point]) for row in scene.rows}
    costs = [numbers.plain(row[cost.name], cost.digits) for row in scene.rows]
    told = [f"{name} {level} at {spent}" for (name, level), spent in zip(levels.items(), costs, strict=True)]
    where = f", {scene.title}" if scene.title else ""
    return f"{capital(judged.axis)} against {cost.words}{where}: {'; '.join(told)}."
