"""Other intervals over the same resampled cells, and other ways to read the same runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from samnesia.measure.ranking.kendall import (
    Comparisons,
    Concordance,
    Contrast,
    KendallPartial,
    Statistic,
    joint,
    tau_of,
)
from samnesia.measure.ranking.resampling import (
    FISHER,
    PLAIN,
    Scale,
    cluster_bootstrap,
    draw_units,
    permutation_null,
    strata_of,
)

from .planted import Paired, Ranked, correlation, difference, pearson, stronger

RESAMPLES = 800
Chances = tuple[float, float]
"""One-sided p-values of "the truth or less" and of "the truth or more"."""


def jackknife(statistic: Statistic, weights: np.ndarray) -> np.ndarray:
    """The statistic with one copy of each unit left out, (B, units); NaN for units that are not there."""
    left = np.full(weights.shape, np.nan)
    for unit in range(weights.shape[1]):
        less = weights.copy()
        less[:, unit] -= 1.0
        there = less[:, unit] >= 0.0
        left[there, unit] = statistic(less[there])
    return left


def jackknife_error(left: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Its standard error, (B,)."""
    number = weights.sum(axis=1)
    counted = np.where(np.isfinite(left), weights, 0.0)
    values = np.where(np.isfinite(left), left, 0.0)
    mean = (counted * values).sum(axis=1) / counted.sum(axis=1)
    return np.sqrt((number - 1) / number * (counted * (values - mean[:, None]) ** 2).sum(axis=1))


def intervals(
    statistic: Statistic, strata: list[int], truth: float, scale: Scale, covariates: int, seed: int, studentized: bool
) -> dict[str, Chances]:
    """p-values of the truth by each way to make an interval."""
    whole = np.ones((1, len(strata)))
    value = float(statistic(whole)[0])
    degrees = len(strata) - len(set(strata)) - covariates

    def forward(values: np.ndarray | float) -> np.ndarray:
        return np.arctanh(np.clip(values, -0.9999, 0.9999)) if scale is FISHER else np.asarray(values)

    weights = draw_units(strata, RESAMPLES, np.random.default_rng(seed))
    drawn = statistic(weights)
    weights, drawn = weights[np.isfinite(drawn)], drawn[np.isfinite(drawn)]
    left = jackknife(statistic, whole)
    distance = float(forward(value) - forward(truth))

    def student(error: float) -> Chances:
        return float(stats.t.sf(distance / error, degrees)), float(stats.t.cdf(distance / error, degrees))

    def share(below: np.ndarray, above: np.ndarray) -> Chances:
        return (1 + below.sum()) / (1 + len(below)), (1 + above.sum()) / (1 + len(above))

    ours = cluster_bootstrap(statistic, strata, scale=scale, covariates=covariates, resamples=RESAMPLES, seed=seed)
    none = (1.0, 1.0)
    found = {
        "bootstrap SE, on Fisher's z, t (used)": none
        if ours.error is None
        else (ours.p_at_most(truth), ours.p_at_least(truth)),
        "bootstrap SE on its own scale, t": tuple(
            float(tail((value - truth) / drawn.std(ddof=1), degrees)) for tail in (stats.t.sf, stats.t.cdf)
        ),
        "bootstrap of Fisher's z, t": student(float(forward(drawn).std(ddof=1))),
        "percentile": share(drawn <= truth, drawn >= truth),
        "BCa": bca(drawn, value, left[0], truth),
        "jackknife on Fisher's z, t": student(max(float(jackknife_error(forward(left), whole)[0]), 1e-9)),
    }
    if scale is PLAIN:
        found.pop("bootstrap SE on its own scale, t")
        found.pop("bootstrap of Fisher's z, t")
    if studentized:
        errors = jackknife_error(forward(jackknife(statistic, weights)), weights)
        good = errors > 1e-6
        pivots = (forward(drawn[good]) - forward(value)) / errors[good]
        own = distance / max(float(jackknife_error(forward(left), whole)[0]), 1e-9)
        found["bootstrap-t on Fisher's z"] = share(pivots >= own, pivots <= own)
    return found


def bca(drawn: np.ndarray, value: float, left: np.ndarray, truth: float) -> Chances:
    """Efron's bias-corrected and accelerated interval, read as p-values of the truth."""
    number = len(drawn)
    edge = 1 / (number + 1)
    deviations = np.nanmean(left) - left[np.isfinite(left)]
    acceleration = (deviations**3).sum() / (6 * max((deviations**2).sum(), 1e-30) ** 1.5)
    bias = stats.norm.ppf(np.clip(((drawn < value).sum() + (drawn == value).sum() / 2) / number, edge, 1 - edge))
    place = stats.norm.ppf(np.clip(((drawn < truth).sum() + (drawn == truth).sum() / 2) / number, edge, 1 - edge))
    shifted = place - bias
    chance = float(stats.norm.cdf(shifted / (1 + acceleration * shifted) - bias))
    return chance, 1 - chance


@dataclass(frozen=True)
class Setting:
    """Studies in which intervals are compared."""

    what: str
    plant: Ranked
    truth: float
    within: bool = False
    studentized: bool = True
    """Whether the bootstrap-t is tried: it takes as many resamples again as there are units."""

    def chances(self, generator: np.random.Generator, number: int) -> dict[str, Chances]:
        values = self.plant.values(generator)
        hypothesis = self.plant.design.primary[0]
        arrays = [column.reshape(-1) for column in values]
        method, problem, seed = (index.reshape(-1) for index in np.indices(values.shape[1:]))
        units = method if self.within or self.plant.problems == 1 else method * self.plant.problems + problem
        shelves = problem if self.within else np.zeros_like(problem)
        comparisons = Comparisons.of(units, joint(shelves, seed))
        strata = strata_of(units, shelves).tolist()
        if hypothesis.__class__.__name__ == "StrongerCorrelation":
            one, other = (tau_of(comparisons, arrays[row], arrays[1]) for row in (0, 2))
            return intervals(Contrast(one, other), strata, self.truth, PLAIN, 0, number, self.studentized)
        given = arrays[2] if hypothesis.given else None
        statistic = tau_of(comparisons, arrays[0], arrays[1], given)
        covariates = int(given is not None)
        found = intervals(statistic, strata, self.truth, FISHER, covariates, number, self.studentized)
        if self.truth == 0.0 and given is None:
            permuted = permutation_null(arrays[0], arrays[1], units, joint(shelves, seed), resamples=500, seed=number)
            found["permutation of cells"] = (permuted.p_at_most or 1.0, permuted.p_at_least or 1.0)
        return found


def settings() -> list[Setting]:
    """Where intervals are compared."""
    found = []
    for cells, seeds, tau in ((8, 5, 0.0), (12, 3, 0.0), (12, 3, 0.5), (24, 5, 0.0), (24, 5, 0.7), (40, 10, 0.4)):
        plant = Ranked(correlation(), cells, seeds, xy=pearson(tau))
        found.append(Setting(f"tau {tau:g}, {cells} cells x {seeds} seeds", plant, tau, studentized=cells <= 12))
    claim = correlation(within=("problem",))
    plant = Ranked(claim, 12, 3, problems=3, method_share=0.5)
    found.append(Setting("tau 0 within 3 problems, 12 methods x 3 seeds", plant, 0.0, within=True))
    plant = Ranked(correlation(given="z"), 24, 5, xy=0.49, xz=0.7, yz=0.7)
    found.append(Setting("partial tau 0, 24 cells x 5 seeds", plant, 0.0, studentized=False))
    for cells, seeds in ((12, 3), (24, 5)):
        plant = Ranked(stronger(), cells, seeds, xy=0.5, yz=0.5, xz=0.5)
        what = f"equal taus of 0.33, {cells} cells x {seeds} seeds"
        found.append(Setting(what, plant, 0.0, studentized=cells <= 12))
    return found


@dataclass(frozen=True)
class Naive:
    """A way to read runs that takes for independent what is not, or for zero what is not."""

    what: str
    how: str
    plant: Ranked | Paired
    chance: Callable[[np.random.Generator], float]
    """Two-sided p-value of a null that is true, in one study."""


def _runs(plant: Ranked, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    values = plant.values(generator)
    return (*(column.reshape(-1) for column in values), *(index.reshape(-1) for index in np.indices(values.shape[1:])))


def _two_sided(statistic: Statistic, strata: np.ndarray) -> float:
    found = cluster_bootstrap(statistic, strata.tolist(), resamples=500)
    return 1.0 if found.error is None else 2 * min(found.p_at_most(0.0), found.p_at_least(0.0))


def single_runs(plant: Ranked) -> Callable[[np.random.Generator], float]:
    """Percentile bootstrap that draws single runs."""

    def chance(generator: np.random.Generator) -> float:
        x, y, *_ = _runs(plant, generator)
        one = np.zeros(len(x), int)
        drawn = tau_of(Comparisons.of(np.arange(len(x)), one), x, y)(draw_units(one, 500, generator))
        return 2 * min((1 + (drawn <= 0).sum()) / 501, (1 + (drawn >= 0).sum()) / 501)

    return chance


def every_pair(plant: Ranked) -> Callable[[np.random.Generator], float]:
    """SciPy's p-value of tau over all runs."""

    def chance(generator: np.random.Generator) -> float:
        x, y, *_ = _runs(plant, generator)
        return float(stats.kendalltau(x, y).pvalue)

    return chance


def seeds_mixed(plant: Ranked) -> Callable[[np.random.Generator], float]:
    """Cluster bootstrap of cells, over pairs of any seeds."""

    def chance(generator: np.random.Generator) -> float:
        x, y, _, method, *_ = _runs(plant, generator)
        comparisons = Comparisons.of(method, np.zeros_like(method))
        return _two_sided(tau_of(comparisons, x, y), np.zeros(comparisons.units, int))

    return chance


def problems_mixed(plant: Ranked) -> Callable[[np.random.Generator], float]:
    """Cluster bootstrap of cells, over pairs of any problems."""

    def chance(generator: np.random.Generator) -> float:
        x, y, _, method, problem, seed = _runs(plant, generator)
        comparisons = Comparisons.of(method * plant.problems + problem, seed)
        return _two_sided(tau_of(comparisons, x, y), np.zeros(comparisons.units, int))

    return chance


def cells_within(plant: Ranked) -> Callable[[np.random.Generator], float]:
    """Cluster bootstrap within problems, of cells as if a method on one problem told nothing of it on others."""

    def chance(generator: np.random.Generator) -> float:
        x, y, _, method, problem, seed = _runs(plant, generator)
        units = method * plant.problems + problem
        comparisons = Comparisons.of(units, joint(problem, seed))
        return _two_sided(tau_of(comparisons, x, y), strata_of(units, problem))

    return chance


def kendalls_partial(plant: Ranked) -> Callable[[np.random.Generator], float]:
    """Kendall's formula of the partial tau, where x and y have nothing in common but z."""

    def chance(generator: np.random.Generator) -> float:
        x, y, z, method, _, seed = _runs(plant, generator)
        comparisons = Comparisons.of(method, seed)
        taus = (Concordance.of(comparisons, *pair) for pair in ((x, y), (x, z), (y, z)))
        return _two_sided(KendallPartial(*taus), np.zeros(comparisons.units, int))

    return chance


def runs_as_draws(plant: Paired) -> Callable[[np.random.Generator], float]:
    """Paired t over (seed, problem), as if the problems of one seed were independent."""

    def chance(generator: np.random.Generator) -> float:
        values = plant.table(generator)["last.x"].to_numpy().reshape(2, -1)
        return float(stats.ttest_rel(values[1], values[0]).pvalue)

    return chance


def unpaired(plant: Paired) -> Callable[[np.random.Generator], float]:
    """Welch's t over the seeds' means, not paired."""

    def chance(generator: np.random.Generator) -> float:
        values = plant.table(generator)["last.x"].to_numpy().reshape(2, plant.problems, plant.seeds).mean(axis=1)
        return float(stats.ttest_ind(values[1], values[0], equal_var=False).pvalue)

    return chance


def naive() -> list[Naive]:
    """All of them, each on a null that is true."""
    quiet, moved = (Ranked(correlation(), 24, 5, seed_spread=spread) for spread in (0.0, 1.0))
    long = Ranked(correlation(), 12, 10, seed_spread=0.0)
    apart = Ranked(correlation(), 24, 5, seed_correlation=0.0)
    crossed = Ranked(correlation(), 12, 3, problems=6, method_share=0.5)
    driven = Ranked(correlation(given="z"), 40, 5, xy=0.64, xz=0.8, yz=0.8)
    pair = Paired(difference(), 10, problems=4)
    rows: list[tuple[str, str, Ranked | Paired, Callable[[np.random.Generator], float]]] = [
        ("tau, 12 cells x 10 seeds, seeds without effect", "bootstrap of single runs", long, single_runs(long)),
        ("tau, 24 cells x 5 seeds, seeds without effect", "bootstrap of single runs", quiet, single_runs(quiet)),
        ("tau, 24 cells x 5 seeds, independent seed effects", "bootstrap of single runs", apart, single_runs(apart)),
        ("tau, 24 cells x 5 seeds, seeds without effect", "SciPy's p-value over runs", quiet, every_pair(quiet)),
        ("tau, 24 cells x 5 seeds, seeds without effect", "bootstrap of cells, seeds mixed", quiet, seeds_mixed(quiet)),
        (
            "tau, 24 cells x 5 seeds, independent seed effects",
            "bootstrap of cells, seeds mixed",
            apart,
            seeds_mixed(apart),
        ),
        ("tau, 24 cells x 5 seeds, common seed effects", "bootstrap of cells, seeds mixed", moved, seeds_mixed(moved)),
        (
            "tau, 6 problems x 12 methods x 3 seeds",
            "bootstrap of cells, problems mixed",
            crossed,
            problems_mixed(crossed),
        ),
        ("tau within problem, the same studies", "bootstrap of cells", crossed, cells_within(crossed)),
        ("partial tau, 40 cells x 5 seeds, z drives both (0.8)", "Kendall's formula", driven, kendalls_partial(driven)),
        ("difference, 10 seeds, 4 problems", "t over (seed, problem)", pair, runs_as_draws(pair)),
        ("difference, 10 seeds, 4 problems", "unpaired t", pair, unpaired(pair)),
    ]
    return [Naive(*row) for row in rows]
