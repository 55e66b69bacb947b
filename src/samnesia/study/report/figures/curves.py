"""Curves over epochs: one panel per context and curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from samnesia.study.design import Design
from samnesia.study.judging import numbers
from samnesia.study.report.contexts import Context, Grid
from samnesia.study.report.figures import marks
from samnesia.study.report.figures.plates import Panel, Plate
from samnesia.study.report.figures.style import MANY, Draw, Palette, label
from samnesia.study.report.judged import Judged, split_label
from samnesia.study.report.wording import capital
from samnesia.study.work import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FLIPPED = "flipped_fitted"
PICKED = 10
"""Methods that are named beside the baseline where there are many."""
Curve = Sequence[tuple[int, float | None]]
"""Epochs counted from 1, and the value there."""


@dataclass(frozen=True)
class Kind:
    """What a curve shows: its name in the outcomes, in words, with its unit, and how its numbers are written."""

    key: str
    title: str
    ylabel: str
    caption: str = ""
    falls: bool = False
    """Whether it begins high: then the steep start is above what follows, and not below."""
    decimals: int = 1
    higher_is_better: bool | None = None
    """Its direction."""


@dataclass(frozen=True)
class Course:
    """A panel over epochs.

    Attributes:
        curves: by method, one curve for every seed.
        kind: what they show.
        name: of the context.
    """

    curves: Mapping[str, Sequence[Curve]]
    kind: Kind
    name: str = ""

    def ends_of_axis(self) -> tuple[float | None, float | None]:
        """Where the axis is to begin or to end for the steep start to be left out; None is left to the figure."""
        edge = self.extreme(skip_start=True)
        return (None, edge) if self.kind.falls else (edge, None)

    def extreme(self, *, skip_start: bool) -> float:
        """The value furthest on the side of the start, without the first tenth of the epochs when ``skip_start``.

        The steep start would press what differs later into one end of a panel, so its axis begins where that has
        passed.
        """
        values = [
            value
            for seeds in self.curves.values()
            for curve in seeds
            for _, value in curve[len(curve) // 10 if skip_start else 0 :]
            if value is not None
        ]
        return max(values) if self.kind.falls else min(values)

    def named(self, arms: Sequence[str]) -> set[str]:
        """The methods with name and colour: all, or of many the baseline, which is first, and those that end best."""
        if len(arms) <= MANY:
            return set(arms)
        ends = {arm: end for arm in arms if (end := self._end(arm)) is not None}
        best = sorted(ends, key=lambda arm: ends[arm], reverse=self.kind.higher_is_better is not False)
        return {arms[0], *best[:PICKED]}

    def _end(self, arm: str) -> float | None:
        values = [curve[-1][1] for curve in self.curves.get(arm, ())]
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known and len(known) == len(values) else None

    @property
    def cut(self) -> bool:
        """Whether the axis leaves out a part of the start."""
        return self.extreme(skip_start=True) != self.extreme(skip_start=False)


def curve_plates(grid: Grid, outcomes: Mapping[str, Outcome], judged: Judged) -> list[Plate]:
    """A plate for every kind of curve that some run has.

    Of several contexts, what all of them have is shown of the first measure alone: else there would be too many panels.
    """
    plates, contexts = [], grid.contexts
    for kind in _kinds(grid.design, judged):
        courses = [
            Course(curves_by_method(grid, outcomes, context, kind.key), kind, context.name) for context in contexts
        ]
        courses = [course for course in courses if any(course.curves.values())]
        everywhere = len(courses) == len(contexts) > 1
        if courses and (kind.key == judged.key or not everywhere):
            plates.append(_plate(kind, courses, grid.arms))
    return plates


def curve_draw(grid: Grid, outcomes: Mapping[str, Outcome], judged: Judged, height: float) -> Draw | None:
    """What draws the curves of the measure of a study with one context; None where there are none."""
    (context,) = grid.contexts
    kind = _kinds(grid.design, judged)[0]
    course = Course(curves_by_method(grid, outcomes, context, kind.key), kind)
    return partial(draw_curves, course=course, arms=grid.arms, height=height) if any(course.curves.values()) else None


def curves_by_method(
    grid: Grid, outcomes: Mapping[str, Outcome], context: Context, key: str
) -> dict[str, list[list[tuple[int, float | None]]]]:
    """One curve of every finished run of a context, by method; runs that do not have it are left out."""
    found: dict[str, list[list[tuple[int, float | None]]]] = {}
    for arm in context.arms:
        every = [outcomes[row["directory"]].curves for row in grid.finished(grid.cell(context, arm)).values()]
        curves = [_with_epochs(curves, key) for curves in every if key in curves]
        found[arm] = [curve for curve in curves if any(value is not None for _, value in curve)]
    return found


def draw_curves(axes: Axes, palette: Palette, *, course: Course, arms: Sequence[str], height: float) -> None:
    """One curve over epochs per method: the mean over seeds, and the band from the lowest to the highest seed.

    Of many methods there are no bands.
    """
    import numpy as np
    from matplotlib.ticker import MaxNLocator

    ends: list[tuple[float, int, str]] = []
    longest, named = 1, course.named(arms)
    for index, arm in enumerate(arms):
        if not course.curves.get(arm):
            continue
        length = min(len(seed) for seed in course.curves[arm])
        values = np.array([[value for _, value in seed[:length]] for seed in course.curves[arm]], dtype=float)
        epochs = [epoch for epoch, _ in course.curves[arm][0][:length]]
        longest = max(longest, epochs[-1])
        if arm not in named:
            axes.plot(epochs, values.mean(axis=0), color=palette.muted, linewidth=0.7, alpha=0.5, zorder=2)
            continue
        colour = palette.method(index)
        if len(arms) <= MANY:
            axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.16, linewidth=0)
        axes.plot(epochs, values.mean(axis=0), color=colour, linewidth=1.5, linestyle=palette.dashes(index), zorder=3)
        if np.isfinite(values[:, -1]).all():
            ends.append((float(values[:, -1].mean()), index, label(arm)))
    marks.style_axes(axes, palette, grid="y")
    axes.set_xlim(1, max(longest, 2))
    _leave_out_start(axes, course)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6 if course.name else "auto", integer=True))
    axes.set_xlabel("epoch", color=palette.ink)
    axes.set_ylabel(course.kind.ylabel, color=palette.ink)
    marks.title(axes, palette, course.name)
    marks.label_ends(axes, palette, ends, height)


def _plate(kind: Kind, courses: Sequence[Course], arms: Sequence[str]) -> Plate:
    several = len(courses) > 1
    names = max(len(course.named(arms)) for course in courses)
    height = marks.labelled_height(2.3, names) if several else 2.9
    panels = tuple(
        Panel(partial(draw_curves, course=course, arms=arms, height=height), _described(course)) for course in courses
    )
    caption = f"{kind.caption} Line: mean over seeds. "
    if len(arms) <= MANY:
        caption += "Band: lowest to highest seed."
    else:
        caption += f"Named are {label(arms[0])} and the {PICKED} methods that end best; the others are grey."
    if any(course.cut for course in courses):
        caption += " The axis leaves out the steep start."
    return Plate(kind.key, kind.title, caption.strip(), panels, height)


def _kinds(design: Design, judged: Judged) -> list[Kind]:
    first = Kind(judged.key, f"{capital(judged.name)} over training", judged.axis,
                 falls=judged.higher_is_better is False, decimals=judged.decimals,
                 higher_is_better=judged.higher_is_better)  # fmt: skip
    kinds = {judged.key: first}
    for measure in design.measures[1:]:
        point, _, key = measure.value.partition(".")
        if key and point in ("last", "best") and key not in kinds:
            name, unit = split_label(measure)[0], f" ({measure.unit})" if measure.unit else ""
            kinds[key] = Kind(key, f"{capital(name)} over training", f"{name}{unit}",
                              falls=measure.higher_is_better is False,
                              higher_is_better=measure.higher_is_better)  # fmt: skip
    kinds[FLIPPED] = Kind(
        FLIPPED, "Flipped labels fitted", "flipped labels fitted (%)",
        "Share of the wrongly labelled training samples predicted as labelled.", higher_is_better=False,
    )  # fmt: skip
    return [kind for kind in kinds.values() if kind.key]


def _with_epochs(curves: Mapping[str, Sequence[float | None]], key: str) -> list[tuple[int, float | None]]:
    values = curves[key]
    epochs = curves.get("epoch") or range(len(values))
    return [(int(epoch) + 1, value) for epoch, value in zip(epochs, values, strict=True) if epoch is not None]


def _leave_out_start(axes: Axes, course: Course) -> None:
    bottom, top = course.ends_of_axis()
    if bottom is not None:
        axes.set_ylim(bottom=bottom - 0.04 * (axes.get_ylim()[1] - bottom))
    if top is not None:
        axes.set_ylim(top=top + 0.04 * (top - axes.get_ylim()[0]))


def _described(course: Course) -> str:
    parts = []
    for method, seeds in course.curves.items():
        if seeds:
            start, end = ([seed[place][1] for seed in seeds] for place in (0, -1))
            digits = course.kind.decimals
            parts.append(f"{label(method)} from {_mean(start, digits)} to {_mean(end, digits)}")
    where = f" in {course.name}" if course.name else ""
    return f"Curves over epochs of {course.kind.ylabel}{where}, mean over seeds: {'; '.join(parts)}."


def _mean(values: Sequence[float | None], digits: int) -> str:
    present = [value for value in values if value is not None]
    return numbers.plain(sum(present) / len(present) if present else None, digits)
