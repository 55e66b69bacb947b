"""The exploratory effects of a study, a row each: found, with their intervals, and judged by nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from samnesia.study.hypotheses import Difference, Hypothesis, StrongerCorrelation
from samnesia.study.judging import numbers
from samnesia.study.judging.estimates import Estimate
from samnesia.study.report.figures import marks
from samnesia.study.report.figures.plates import Panel, Plate
from samnesia.study.report.wording import QUOTE
from samnesia.train.plain import to_plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from samnesia.study.design import Design
    from samnesia.study.engine.run import Results
    from samnesia.study.report.figures.style import Palette

NAME_WIDTH = 40
"""Letters of an effect's name on one line."""
ROW_INCHES, AXIS_INCHES, GAP = 0.155, 0.85, 0.5
"""Height of a line, of axis and title, and in lines between rows."""


@dataclass(frozen=True)
class Effect:
    """One of them."""

    hypothesis: Hypothesis
    """Its claim is its name."""
    estimate: Estimate
    """What was found."""
    axis: str
    """What it is a number of, with its unit."""

    @property
    def place(self) -> str:
        """The levels that it is at: ``digits, steps``; empty where it is at all."""
        return ", ".join(self.hypothesis.where.values())

    @property
    def told(self) -> str:
        """``name: +0.31 (+0.08 to +0.50)``; why there is no interval."""
        found, digits = self.estimate, 2
        if found.effect is None:
            return f"{self.hypothesis.claim}: none, because {found.reason}"
        text = f"{self.hypothesis.claim}: {numbers.signed(found.effect, digits)}"
        if found.low is None or found.high is None:
            return f"{text} (no interval: {found.reason})"
        return f"{text} ({numbers.signed(found.low, digits)} to {numbers.signed(found.high, digits)})"

    def to_json(self) -> dict[str, Any]:
        """Name, effect, interval and what they stand on, as plain values."""
        found = self.estimate
        names = ("effect", "low", "high", "n", "runs", "drawn", "confidence", "how", "notes", "reason")
        return {"claim": self.hypothesis.claim, **{name: to_plain(getattr(found, name)) for name in names}}


def effects_of(results: Results) -> list[Effect]:
    """The exploratory effects of a study, in its order."""
    design = results.design
    return [Effect(one, one.estimate(design, results.table), _axis(one, design)) for one in design.exploratory]


def explored_plates(effects: Sequence[Effect]) -> list[Plate]:
    """A figure for each kind of number: taus, their differences, and differences of measures in each unit.

    Effects at other levels (``where``) stand in panels of their own.
    """
    kinds: dict[str, dict[str, list[Effect]]] = {}
    for effect in effects:
        kinds.setdefault(effect.axis, {}).setdefault(effect.place, []).append(effect)
    plates = []
    for number, (axis, places) in enumerate(kinds.items()):
        some = [one for of in places.values() for one in of]
        panels = tuple(
            Panel(partial(_draw, effects=of, title=place), "; ".join(one.told for one in of) + ".")
            for place, of in places.items()
        )
        caption = (
            "What was looked at besides the hypotheses: no verdict stands on it, and no interval is widened for their "
            f"number. Line: {100 * some[0].estimate.confidence:g} % interval, where there is one, for the row alone. "
            f"{_drawn(some)}"
        )
        name = "explored" if number == 0 else f"explored-{number + 1}"
        height = max(map(_height, places.values()))
        plates.append(Plate(name, f"Exploratory: {axis}", caption, panels, height))
    return plates


def _height(effects: Sequence[Effect]) -> float:
    return AXIS_INCHES + ROW_INCHES * sum(len(_name(one)) + GAP for one in effects)


def _drawn(effects: Sequence[Effect]) -> str:
    numbers_of = sorted({(one.estimate.n, one.estimate.runs) for one in effects if one.estimate.n})
    if not numbers_of:
        return ""
    (least, fewest), (most, runs) = numbers_of[0], numbers_of[-1]
    what = "seeds" if isinstance(effects[0].hypothesis, Difference) else "cells or combinations of factors"
    return f"Rows stand on {least if least == most else f'{least} to {most}'} {what}, {fewest} to {runs} runs."


def _draw(axes: Axes, palette: Palette, *, effects: Sequence[Effect], title: str) -> None:
    place = 0.0
    middles, names = [], []
    for effect in effects:
        lines = _name(effect)
        middle = place + len(lines) / 2.0
        place += len(lines) + GAP
        middles.append(middle)
        names.append("\n".join(lines))
        found = effect.estimate
        if found.effect is None:
            continue
        if found.low is not None and found.high is not None:
            axes.plot([found.low, found.high], [middle, middle], color=palette.ink, linewidth=1.5,
                      solid_capstyle="butt", zorder=3)  # fmt: skip
        filled = palette.ink if found.low is not None else palette.surface
        axes.plot(found.effect, middle, "o", markersize=4.6, color=palette.ink, mfc=filled, mew=1.1, zorder=4)
    axes.axvline(0.0, color=palette.muted, linewidth=0.9, zorder=1)
    marks.style_axes(axes, palette, grid="x")
    axes.set_yticks(middles, names)
    axes.set_ylim(place, 0.0)
    axes.set_xlabel(effects[0].axis, color=palette.ink)
    if title:
        axes.set_title(title, color=palette.ink)


def _name(effect: Effect) -> list[str]:
    """The claim in lines, without what the panel's title says."""
    return textwrap.wrap(effect.hypothesis.claim.removesuffix(f" ({effect.place})"), NAME_WIDTH, break_long_words=False)


def _axis(one: Hypothesis, design: Design) -> str:
    if isinstance(one, Difference):
        unit = one.unit(design)
        return f"difference ({unit})" if unit else f"difference in {design.measure(one.measure).label}"
    return "difference of two taus" if isinstance(one, StrongerCorrelation) else f"Kendall{QUOTE}s tau"
