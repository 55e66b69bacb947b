"""Scatters with tau: of every hypothesis about one, and of the covariates, which are looked at without a hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from samnesia.measure.ranking.resampling import LEAST_UNITS
from samnesia.study.hypotheses import Correlation, Difference, StrongerCorrelation, told_seeds
from samnesia.study.judging import numbers
from samnesia.study.judging.estimates import Estimate
from samnesia.study.report.contexts import Grid
from samnesia.study.report.figures.plates import Plate
from samnesia.study.report.figures.scatter import HEIGHT, Relation, scatter_panel
from samnesia.study.report.wording import QUOTE

if TYPE_CHECKING:
    from samnesia.study.engine.run import Results
    from samnesia.study.judging.verdicts import Verdict

DOTS = "Small dots: runs; large: means of a design cell over its seeds."


def relation_plates(results: Results, grid: Grid, verdicts: Sequence[Verdict]) -> list[Plate]:
    """A plate of the relations that hypotheses are about, and one of those that are explored."""
    claimed = _distinct([one for verdict in verdicts for one in _claimed(results, verdict)])
    explored = [one for one in _explored(results) if one not in claimed]
    plates = [
        _plate(
            grid, "relations", "Measures that hypotheses relate", claimed,
            f"{DOTS} Kendall{QUOTE}s tau compares runs of one seed, with a "
            f"{100 * (1 - results.design.alpha):g} % interval from resampling whole design cells.",
        ),
        _plate(
            grid, "exploratory", "Exploratory: covariates and the first measure", explored,
            f"{DOTS} No hypothesis was made about these, and no interval is widened for looking at all of them.",
        ),
    ]  # fmt: skip
    return [plate for plate in plates if plate is not None]


def told(estimate: Estimate, what: str = "tau") -> str:
    """``tau +0.43 (+0.21 to +0.60)``; without an interval where there is none."""
    if estimate.effect is None:
        return f"no {what}"
    text = f"{what} {numbers.signed(estimate.effect, 2)}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} ({numbers.signed(estimate.low, 2)} to {numbers.signed(estimate.high, 2)})"


def _plate(grid: Grid, name: str, title: str, relations: Sequence[Relation], caption: str) -> Plate | None:
    panels = [scatter_panel(grid, relation) for relation in relations]
    found = tuple(panel for panel in panels if panel is not None)
    return Plate(name, title, caption, found, HEIGHT) if found else None


def _distinct(relations: Sequence[Relation]) -> list[Relation]:
    return [one for place, one in enumerate(relations) if one not in relations[:place]]


def _claimed(results: Results, verdict: Verdict) -> list[Relation]:
    design, one = results.design, verdict.hypothesis
    match one:
        case Difference():
            return []
        case Correlation():
            kind = f"partial tau given {design.measure(one.given).label}" if one.given else "tau"
            kind += f" within {' and '.join(one.within)}" if one.within else ""
            kind += "".join(f", {level}" for level in one.where.values()) + told_seeds(one)
            x, y = (design.measure(name) for name in (one.x, one.y))
            return [Relation(x, y, told(verdict.estimate, kind), one.scope, one.seeds)]
        case StrongerCorrelation():
            return [
                Relation(design.measure(x), design.measure(one.y), told(_tau(results, x, one)), one.scope, one.seeds)
                for x in (one.x, one.rival)
            ]


def _tau(results: Results, x: str, one: StrongerCorrelation) -> Estimate:
    """One of the two taus that a hypothesis holds against each other."""
    part = Correlation(
        claim=one.claim, x=x, y=one.y, where=one.where, over=one.over, within=one.within, units=one.units,
        given=one.given, seeds=one.seeds,
    )  # fmt: skip
    return part.estimate(results.design, results.table)


def _explored(results: Results) -> list[Relation]:
    design = results.design
    first = design.measures[0]
    if len(list(design.cells())) < LEAST_UNITS:
        return []
    found = []
    for name in design.covariates:
        if name != first.name:
            tau = Correlation(claim="explored", x=name, y=first.name).estimate(design, results.table)
            found.append(Relation(design.measure(name), first, told(tau)))
    return found
