"""What a study's runs say about a hypothesis: an effect, its interval, and p-values for and against the claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from samnesia.measure.ranking.kendall import Array, Comparisons, Contrast, Statistic, joint, repeats, tau_of
from samnesia.measure.ranking.reliability import Reliability, split_half
from samnesia.measure.ranking.resampling import (
    FISHER,
    PLAIN,
    UNMOVED,
    Resampled,
    Scale,
    cluster_bootstrap,
    permutation_null,
    strata_of,
)
from samnesia.study.judging.runs import Runs, finished, sides
from samnesia.study.judging.statistics import LEAST, paired_interval, paired_p_values

if TYPE_CHECKING:
    from pandas import DataFrame

    from samnesia.study.design import Design
    from samnesia.study.hypotheses import Correlation, Difference, Scope, StrongerCorrelation

TINY = 1e-9


@dataclass(frozen=True)
class Estimate:
    """An effect and what is known of it."""

    effect: float | None
    """As measured, in the measure's unit or as a tau: negative where the treatment is lower."""
    low: float | None
    """Lower end of the interval, for this hypothesis alone; None where there is no interval."""
    high: float | None
    """Upper end."""
    p_support: float | None
    """One-sided p-value of "the effect is 0 or less", counted in the claim's direction; None without one."""
    p_contradict: float | None
    """One-sided p-value of "the effect is the smallest one of interest or more", likewise."""
    n: int
    """How many independent draws it stands on: seeds of a difference, design cells (or larger units) of a tau."""
    runs: int
    """How many runs went in."""
    drawn: str
    """Both in words, and what was lost: ``n = 8 of 10 pairs; 2 lost``, ``24 design cells, 238 runs; 2 lost``."""
    confidence: float
    """Coverage of the interval."""
    how: str
    """Method, in words."""
    notes: tuple[str, ...] = ()
    """What was left out and what else a reader has to know, in a few words each."""
    reason: str | None = None
    """Why there is no interval; None where there is one."""
    parts: tuple[Estimate, ...] = ()
    """Of a claim of several parts, each of them; the effect and its interval are then those of the first."""


def difference(hypothesis: Difference, design: Design, table: DataFrame) -> Estimate:
    r"""Mean paired difference over seeds with Student's t.

    .. math:: d_s = \frac1K \sum_{k=1}^K (\mathrm{treatment}_{ks} - \mathrm{control}_{ks}), \qquad
        t = \frac{\bar d - \delta}{s_d / \sqrt n}

    with n seeds s and K contexts k, the combinations of levels that neither side names. The seed is what is drawn anew:
    contexts of one seed share its data and its initial weights, and are averaged first.
    """
    runs = finished(design, table, hypothesis.scope, [hypothesis.measure], hypothesis.seeds)
    both = sides(design, runs, hypothesis)
    confidence, count, asked = 1.0 - design.alpha, len(both.treatment), len(hypothesis.seeds_of(design))
    of_contexts = f" of {both.of_contexts}" if both.contexts < both.of_contexts else ""
    pairs = f"{count}{f' of {asked}' if count < asked else ''} pair{'' if asked == 1 else 's'}"
    drawn = f"n = {pairs}{runs.without(asked - count)}"
    drawn += f"; over {both.contexts}{of_contexts} contexts" if of_contexts else ""
    over = f", each of means over {both.contexts} contexts" if both.contexts > 1 else ""
    how = f"paired t over {pairs}{over}"
    stands = (count, 2 * both.contexts * count, drawn)
    interval = paired_interval(both.treatment, both.control, confidence)
    if interval is None:
        return _nothing("no seed has both sides", how, both.notes, confidence)
    if interval.low is None or interval.high is None:
        few = f"{count} pair{' is' if count == 1 else 's are'} too few (it takes {LEAST})"
        why = few if count < LEAST else "the difference is the same in all pairs"
        return Estimate(interval.mean, None, None, None, None, *stands, confidence, how, both.notes, why)
    support, contradict = paired_p_values(
        both.treatment, both.control, sign=hypothesis.sign, smallest=hypothesis.smallest
    )
    return Estimate(
        interval.mean, interval.low, interval.high, support, contradict, *stands, confidence, how, both.notes
    )


def together(parts: Sequence[Estimate]) -> Estimate:
    r"""A claim whose parts have to hold all: the intersection-union test.

    That some part has no effect is rejected with :math:`p = \max_i p_i`, without any correction, because each part has
    to be shown by itself. That all parts reach their smallest effects is rejected with
    :math:`p = \min(1, k \min_i p_i)` for k parts, because one of them suffices (Bonferroni).

    Source: Berger (1982), Multiparameter hypothesis testing and acceptance sampling, Technometrics 24(4).
    """
    first, support = parts[0], [one.p_support for one in parts]
    against = [one.p_contradict for one in parts if one.p_contradict is not None]
    notes = dict.fromkeys(note for one in parts for note in one.notes)
    return replace(
        first,
        p_support=None if None in support else max(one for one in support if one is not None),
        p_contradict=min(1.0, len(parts) * min(against)) if against else None,
        how=f"{first.how}; {len(parts)} parts that have to hold all",
        notes=tuple(notes),
        parts=tuple(parts),
    )


def correlation(hypothesis: Correlation, design: Design, table: DataFrame) -> Estimate:
    """Kendall's tau over pairs of runs of one seed, with the cluster bootstrap of design cells.

    Only runs of one seed are held against each other, because runs are paired by seed: what a seed does to all its runs
    cancels. Over pairs of any seeds, few seeds that happen to be high in both measures pass for a relation.
    """
    ranked = _Ranked.of(hypothesis, design, table, [hypothesis.x, hypothesis.y])
    found = ranked.resampled(ranked.tau(hypothesis.x, hypothesis.y), FISHER)
    what = f"{'partial ' if ranked.covariates else ''}Kendall's tau-b of runs of one seed{ranked.apart}"
    plain = ranked.estimate(found, what, hypothesis.sign, hypothesis.smallest, design.alpha)
    if found.value is None or abs(found.value) < 1.0 - TINY or ranked.covariates or found.reason != UNMOVED:
        return plain
    # Every pair agrees: no resample differs, and there is no interval; but chance can be asked without one.
    permuted = permutation_null(
        ranked.runs.values[hypothesis.x], ranked.runs.values[hypothesis.y], ranked.units, ranked.groups
    )
    chances = (permuted.p_at_most, permuted.p_at_least)
    one, other = chances if hypothesis.sign > 0 else chances[::-1]
    how = f"{plain.how}; p-values by permuting them"
    return replace(plain, p_support=one, p_contradict=other, how=how, reason="all pairs of runs agree")


def stronger(hypothesis: StrongerCorrelation, design: Design, table: DataFrame) -> Estimate:
    """Difference of two taus with one measure, by the paired cluster bootstrap: see :func:`correlation`."""
    ranked = _Ranked.of(hypothesis, design, table, [hypothesis.x, hypothesis.rival, hypothesis.y])
    one, other = (ranked.tau(x, hypothesis.y) for x in (hypothesis.x, hypothesis.rival))
    found = ranked.resampled(Contrast(one, other, hypothesis.signs), PLAIN)
    taus = f"{'partial ' if ranked.covariates else ''}Kendall's tau-b"
    what = f"difference of two {taus} of runs of one seed{ranked.apart}"
    return ranked.estimate(found, what, hypothesis.sign, hypothesis.smallest, design.alpha)


def reliability(design: Design, table: DataFrame, measure: str, scope: Scope | None = None) -> Reliability:
    """Split-half reliability of a measure over seeds, across the design cells in ``scope`` (None is all)."""
    runs = finished(design, table, scope or {}, [measure]).distinct([])
    cells = runs.units([factor.name for factor in design.factors])
    return split_half(runs.values[measure], cells, runs.seeds, confidence=1.0 - design.alpha)


@dataclass(frozen=True)
class _Ranked:
    """Runs with the units that are drawn anew and the groups whose runs are compared."""

    runs: Runs
    units: Sequence[int]
    groups: Sequence[object]
    strata: Sequence[int]
    comparisons: Comparisons
    given: Array | None
    """The covariate that is held fixed by the formula of a partial tau; None where there is none."""
    unit_words: str
    apart: str

    @staticmethod
    def of(
        hypothesis: Correlation | StrongerCorrelation, design: Design, table: DataFrame, measures: Sequence[str]
    ) -> _Ranked:
        within, factors = hypothesis.within, [factor.name for factor in design.factors]
        drawn = list(hypothesis.units) or [name for name in factors if name not in within]
        held = [hypothesis.given] if hypothesis.given else []
        wanted = list(dict.fromkeys([*measures, *held]))
        runs = finished(design, table, hypothesis.scope, wanted, hypothesis.seeds).distinct(within)
        units, shelves = runs.units(drawn), runs.labels(within)
        groups = joint(shelves, runs.seeds)
        comparisons = Comparisons.of(units, groups)
        apart = f" that agree in {' and '.join(within)}" if within else ""
        given = None
        if hypothesis.given:
            given = runs.values[hypothesis.given]
            label = design.measure(hypothesis.given).label
            if repeats(comparisons, given):
                shelves, groups = joint(shelves, given), joint(groups, given)
                comparisons, given = Comparisons.of(units, groups), None
                apart += f"{' and' if within else ' that agree'} in {label}, which takes few values"
            else:
                apart += f", given {label}"
        words = "design cells" if {*drawn} == {*factors} else f"combinations of {' and '.join(drawn)}"
        crossed = [name for name in drawn if len(set(runs.levels[name])) > 1]
        if len(crossed) > 1:
            shared = f"{words} that share a {' or a '.join(crossed)} are taken to be independent"
            runs = replace(runs, notes=(*runs.notes, shared))
        strata = strata_of(units, shelves).tolist()
        return _Ranked(runs, units.tolist(), groups, strata, comparisons, given, words, apart)

    @property
    def covariates(self) -> int:
        return int(self.given is not None)

    def tau(self, x: str, y: str) -> Statistic:
        return tau_of(self.comparisons, self.runs.values[x], self.runs.values[y], self.given)

    def resampled(self, statistic: Statistic, scale: Scale) -> Resampled:
        return cluster_bootstrap(statistic, self.strata, scale=scale, covariates=self.covariates)

    def estimate(self, found: Resampled, what: str, sign: int, smallest: float, alpha: float) -> Estimate:
        count = len(self.strata)
        drawn = f"{count} {self.unit_words}"
        how = f"{what}; bootstrap of {drawn}, with all their runs, on {found.degrees} degrees of freedom"
        if found.value is None:
            return _nothing(found.reason or "", how, self.runs.notes, 1.0 - alpha)
        interval = found.interval(1.0 - alpha)
        low, high = interval if interval else (None, None)
        if sign > 0:
            one, other = found.p_at_most(0.0), found.p_at_least(smallest)
        else:
            one, other = found.p_at_least(0.0), found.p_at_most(-smallest)
        runs = len(self.runs)
        stands = (count, runs, f"{drawn}, {runs} runs{self.runs.without(self.runs.lost + self.runs.open)}")
        return Estimate(
            found.value, low, high, one, other, *stands, 1.0 - alpha, how, self.runs.notes, found.reason
        )  # fmt: skip


def _nothing(reason: str, how: str, notes: tuple[str, ...], confidence: float) -> Estimate:
    return Estimate(None, None, None, None, None, 0, 0, "no run", confidence, how, notes, reason)
