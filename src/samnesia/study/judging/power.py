"""What a design can show before it runs: how likely a verdict is if the truth is this or that."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from samnesia.extras import require
from samnesia.measure.ranking.kendall import Array, Comparisons, Contrast, Statistic, encode, joint, tau_of
from samnesia.measure.ranking.resampling import FISHER, PLAIN, Scale, cluster_bootstrap, strata_of
from samnesia.study.hypotheses import in_scope
from samnesia.study.judging.numbers import counted, measured
from samnesia.study.judging.statistics import LEAST

if TYPE_CHECKING:
    from samnesia.study.design import Design
    from samnesia.study.hypotheses import Correlation, Difference, StrongerCorrelation

ENOUGH = 0.8
"""Power that is called enough."""
TRIALS = 200
RESAMPLES = 200
CELL_SHARE = 0.8
"""Share of the spread of single runs, in one seed, that is the design cells' own, in simulated runs."""
SHARED = 0.5
"""Share of the cells' spread that is common to the cells of one unit, where a unit holds several."""
RIVAL = 0.3
"""Tau of the rival with y, in simulated runs."""
TAUS = (0.2, 0.35, 0.5, 0.65)
GAINS = (0.1, 0.2, 0.3, 0.4)


def describe_power(design: Design) -> list[str]:
    """Lines that say, before a study runs, what its hypotheses can be told from.

    Every test is held to alpha/(2m), m being the number of hypotheses: what Holm's procedure asks of the first, and so
    the least power that the procedure has.
    """
    if not design.primary:
        return ["No hypothesis gets a verdict; everything is exploratory."]
    count = len(design.primary)
    shared = f" shared by {count}, the worst case of Holm's procedure" if count > 1 else ""
    lines = [
        f"Power: {counted(count, 'hypothesis')}, {counted(len(design.seeds), 'seed')}; each test at "
        f"{level(design):.2g} (half of alpha {design.alpha:g}{shared})."
    ]
    for hypothesis in design.primary:
        lines += [hypothesis.claim, *(f"  {line}" for line in hypothesis.power(design))]
    return lines


def level(design: Design) -> float:
    """The level that Holm's procedure holds the first of the design's hypotheses to, in each family."""
    return design.alpha / (2 * max(1, len(design.primary)))


def supported(effect: float, sd: float, seeds: int, at: float, smallest: float = 0.0) -> float:
    r"""Probability that a :class:`~samnesia.study.hypotheses.Difference` is supported.

    .. math:: P\left(\bar d \ge \max(\delta,\; t_{n-1,1-a}\, s_d / \sqrt n)\right)

    which for a smallest effect of zero is the upper tail of the noncentral t; otherwise the mean over the distribution
    of s_d, on 2,000 quantiles.

    Args:
        effect: the true effect, in the claim's direction.
        sd: standard deviation of the paired difference over seeds, in the same unit.
        seeds: number of seeds n, 2 or more.
        at: level a of the one-sided test.
        smallest: smallest effect of interest.
    """
    stats = require("scipy.stats", extra="train")
    critical = stats.t.isf(at, seeds - 1)
    if smallest == 0.0:
        return float(stats.nct.sf(critical, seeds - 1, effect * math.sqrt(seeds) / sd))
    error = sd / math.sqrt(seeds)
    errors = error * np.sqrt(stats.chi2.ppf((np.arange(2000) + 0.5) / 2000, seeds - 1) / (seeds - 1))
    return float(stats.norm.sf((np.maximum(smallest, critical * errors) - effect) / error).mean())


def contradicted(effect: float, sd: float, seeds: int, at: float, smallest: float = 0.0) -> float:
    """Probability that it is contradicted: the lower tail of the noncentral t; arguments as :func:`supported`."""
    stats = require("scipy.stats", extra="train")
    shift = (effect - smallest) * math.sqrt(seeds) / sd
    return float(stats.nct.cdf(-stats.t.isf(at, seeds - 1), seeds - 1, shift))


def detectable(sd: float, seeds: int, at: float, smallest: float = 0.0) -> float:
    """The true effect that is supported with a probability of 0.8, in the unit of ``sd``; as :func:`supported`."""
    optimize = require("scipy.optimize", extra="train")
    highest = sd
    while supported(highest, sd, seeds, at, smallest) < ENOUGH:
        highest *= 2.0
    return float(optimize.brentq(lambda effect: supported(effect, sd, seeds, at, smallest) - ENOUGH, 0.0, highest))


def of_difference(hypothesis: Difference, design: Design) -> list[str]:
    """Power lines of a difference; of several parts that have to hold all, a line on each apart."""
    if hypothesis.also:
        each = [(design.measure(part.measure).label, of_difference(part, design)) for part in hypothesis.parts]
        told = [f"{label}: {line}" for label, lines in each for line in lines]
        return [f"{len(each)} parts that have to hold all, so that the power is at most the least of:", *told]
    seeds, at, smallest = len(hypothesis.seeds_of(design)), level(design), hypothesis.smallest
    if seeds < LEAST:
        short = f"{counted(seeds, 'seed')} {'is' if seeds == 1 else 'are'} too few"
        return [f"undecided whatever the truth: {short}, it takes {LEAST}"]
    unit = hypothesis.unit(design)

    def effect(value: float) -> str:
        return measured(value, unit, "{:.3g}")

    if hypothesis.expected_sd is None:
        few = detectable(1.0, seeds, at)
        chances = ", ".join(f"{size:g} SD {supported(size, 1.0, seeds, at):.2f}" for size in (0.5, 1.0, 1.5, 2.0))
        lines = [
            f"SD of the paired difference unknown: an effect of {few:.2f} SD is told from zero with power {ENOUGH:g}",
            f"power to tell an effect from zero: {chances}",
        ]
        if smallest:
            parts = ", ".join(
                f"SD {effect(sd)} {supported(2 * smallest, sd, seeds, at, smallest):.2f}"
                for sd in (smallest / 2, smallest, 2 * smallest)
            )
            lines.append(f"power if the true effect is {effect(2 * smallest)}, twice the smallest of interest: {parts}")
        return lines
    sd = hypothesis.expected_sd
    enough = detectable(sd, seeds, at, smallest)
    lines = [
        f"expected SD of the paired difference {effect(sd)}: power {ENOUGH:g} from a true effect of {effect(enough)}"
    ]
    if smallest:
        chance = supported(smallest, sd, seeds, at, smallest)
        lines.append(
            f"a true effect of just the smallest of interest, {effect(smallest)}, is supported with probability "
            f"{chance:.2f} (half at best: the estimate must reach it), and no effect at all contradicted with "
            f"{contradicted(0.0, sd, seeds, at, smallest):.2f}"
        )
    return lines


@dataclass(frozen=True)
class Truth:
    """Runs of a design as they are simulated: normal cell effects and seed noise around a known correlation.

    Attributes:
        comparisons: the pairs that are ranked.
        strata: stratum of each unit.
        cells: design cell of each run, (N,).
        units: unit of each run, (N,).
    """

    comparisons: Comparisons
    strata: list[int]
    cells: NDArray[np.intp]
    units: NDArray[np.intp]

    @staticmethod
    def of(design: Design, hypothesis: Correlation | StrongerCorrelation) -> Truth:
        """The runs that the hypothesis will speak of if every run finishes and no two cells share one."""
        cells = [levels for levels in design.cells() if in_scope(levels, hypothesis.scope)]
        drawn = hypothesis.units or [one.name for one in design.factors if one.name not in hypothesis.within]
        runs = [(levels, seed) for levels in cells for seed in hypothesis.seeds_of(design)]
        units = encode([tuple(levels[name] for name in drawn) for levels, _ in runs])
        shelves = [tuple(levels[name] for name in hypothesis.within) for levels, _ in runs]
        comparisons = Comparisons.of(units, joint(shelves, [seed for _, seed in runs]))
        strata = strata_of(units, shelves).tolist()
        return Truth(comparisons, strata, encode([tuple(levels.values()) for levels, _ in runs]), units)

    def draw(self, correlations: Array, generator: np.random.Generator) -> Array:
        """One study: a row per measure, (measures, N), jointly normal with these correlations within a seed."""
        root = np.linalg.cholesky(correlations)

        def effects(labels: NDArray[np.intp]) -> Array:
            drawn: Array = (root @ generator.standard_normal((len(root), int(labels.max()) + 1)))[:, labels]
            return drawn

        cells = math.sqrt(SHARED) * effects(self.units) + math.sqrt(1.0 - SHARED) * effects(self.cells)
        noise = effects(np.arange(len(self.cells)))
        drawn: Array = math.sqrt(CELL_SHARE) * cells + math.sqrt(1.0 - CELL_SHARE) * noise
        return drawn

    def never(self) -> str | None:
        """Why there would be no interval whatever comes out; None where there would be one."""
        drawn = self.draw(np.eye(2), np.random.default_rng(0))
        return cluster_bootstrap(tau_of(self.comparisons, drawn[0], drawn[1]), self.strata, resamples=RESAMPLES).reason


def simulate(
    truth: Truth,
    correlations: Array,
    statistic: Callable[[Array], Statistic],
    *,
    scale: Scale,
    covariates: int,
    at: float,
    smallest: float,
) -> tuple[float, float]:
    """Share of simulated studies whose claim is supported, and contradicted."""
    generator = np.random.default_rng(0)
    supports = contradicts = 0
    for _ in range(TRIALS):
        drawn = statistic(truth.draw(correlations, generator))
        found = cluster_bootstrap(drawn, truth.strata, scale=scale, covariates=covariates, resamples=RESAMPLES)
        one, other = found.p_at_most(0.0), found.p_at_least(smallest)
        supports += one is not None and found.value is not None and one <= at and found.value >= smallest
        contradicts += other is not None and other <= at
    return supports / TRIALS, contradicts / TRIALS


def of_correlation(hypothesis: Correlation, design: Design) -> list[str]:
    """Power lines of a tau, by simulation."""
    truth = Truth.of(design, hypothesis)

    def chances(tau: float) -> tuple[float, float]:
        return simulate(
            truth,
            _correlated([[1.0, _pearson(tau)], [_pearson(tau), 1.0]]),
            lambda drawn: tau_of(truth.comparisons, drawn[0], drawn[1]),
            scale=FISHER, covariates=int(hypothesis.given is not None), at=level(design), smallest=hypothesis.smallest,
        )  # fmt: skip

    return _lines(truth, chances, TAUS, hypothesis.smallest, "a tau", "")


def of_stronger(hypothesis: StrongerCorrelation, design: Design) -> list[str]:
    """Power lines of a difference of two taus, by simulation."""
    truth = Truth.of(design, hypothesis)

    def chances(gain: float) -> tuple[float, float]:
        x, rival = _pearson(RIVAL + gain), _pearson(RIVAL)
        # x and the rival have nothing in common but y.
        correlations = _correlated([[1.0, x * rival, x], [x * rival, 1.0, rival], [x, rival, 1.0]])
        return simulate(
            truth,
            correlations,
            lambda drawn: Contrast(
                tau_of(truth.comparisons, drawn[0], drawn[2]), tau_of(truth.comparisons, drawn[1], drawn[2])
            ),
            scale=PLAIN, covariates=int(hypothesis.given is not None), at=level(design), smallest=hypothesis.smallest,
        )  # fmt: skip

    about = f", with a tau of {RIVAL:g} of the rival"
    return _lines(truth, chances, GAINS, hypothesis.smallest, "a difference of taus", about)


def _lines(
    truth: Truth,
    chances: Callable[[float], tuple[float, float]],
    effects: tuple[float, ...],
    smallest: float,
    what: str,
    about: str,
) -> list[str]:
    count = len(truth.strata)
    if never := truth.never():
        return [f"undecided whatever the truth: {never}"]
    powers = ", ".join(f"{chances(effect)[0]:.2f} if it is {effect:g}" for effect in effects)
    lines = [f"power to support {what}: {powers}"]
    if smallest:
        lines.append(f"no effect at all is contradicted with probability {chances(0.0)[1]:.2f}")
    lines.append(
        f"({TRIALS} simulated studies of {count} independent cells or units{about}; normal cell effects are "
        f"{CELL_SHARE * 100:g} % of the spread of single runs)"
    )
    return lines


def _pearson(tau: float) -> float:
    """The correlation of two normal variables with this tau: Greiner's relation."""
    return math.sin(math.pi / 2 * tau)


def _correlated(rows: list[list[float]]) -> Array:
    return np.array(rows, dtype=float)
