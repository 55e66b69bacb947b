r"""Intervals and p-values for statistics of runs whose design cells, not whose seeds, are independent.

The runs of one design cell (the same settings under several seeds) lie together, in whatever is measured: ten seeds
of twelve cells are twelve draws and not 120. A bootstrap that draws single runs takes them for 120, and rejects a true
null many times too often. Here whole cells, or larger units, are drawn with all their runs.

The interval is Student's, on a scale where the statistic is nearly normal, with the bootstrap's standard error. Of what
was tried for 8 to 40 units, percentile, BCa and bootstrap-t intervals are too short for few units, and more so in the
tails, where Holm's procedure works; this one keeps its level there, as does the jackknife's standard error on the same
scale: ``benchmarks/results/verdict_errors.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samnesia.extras import require
from samnesia.measure.ranking.kendall import Array, Comparisons, Labels, Statistic, encode

LEAST_UNITS = 6
"""Units that an interval needs: fewer do not show how far others would lie."""
RESAMPLES = 2000
UNMOVED = "it comes out the same whichever design cells are drawn"
LOST = 0.1
"""Share of resamples that may have no value."""
CHUNK = 4_000_000


@dataclass(frozen=True)
class Scale:
    """A scale on which a statistic is nearly normal: its function, the function's derivative and its inverse."""

    forward: Callable[[float], float]
    slope: Callable[[float], float]
    back: Callable[[float], float]


def _fisher(tau: float) -> float:
    return math.atanh(tau) if abs(tau) < 1.0 else math.copysign(math.inf, tau)


def _steepness(tau: float) -> float:
    return 1.0 / (1.0 - tau * tau)


def _same(value: float) -> float:
    return value


def _one(value: float) -> float:
    return 1.0


FISHER = Scale(_fisher, _steepness, math.tanh)
"""Fisher's z, for correlations."""
PLAIN = Scale(_same, _one, _same)
"""The statistic's own scale, for differences of correlations."""


@dataclass(frozen=True)
class Resampled:
    """A statistic, and what resampling its units says of it.

    Attributes:
        value: the statistic over all units; None where it does not exist.
        error: its standard error on its own scale; None where there is none.
        degrees: degrees of freedom of Student's distribution.
        scale: the scale of the interval.
        reason: why there is no interval, in words; None where there is one.
    """

    value: float | None
    error: float | None
    degrees: int
    scale: Scale
    reason: str | None = None

    def interval(self, confidence: float = 0.95) -> tuple[float, float] | None:
        r"""Ends of the confidence interval, or None.

        .. math:: g^{-1}\left(g(\hat\theta) \pm t_{d,\,(1+c)/2}\; g'(\hat\theta)\, \widehat{se}\right)

        with g the scale (Fisher's z for a tau), d the degrees of freedom.
        """
        if self.value is None or self.error is None:
            return None
        quantile = float(require("scipy.stats", extra="analysis").t.ppf((1.0 + confidence) / 2.0, self.degrees))
        half = quantile * self.scale.slope(self.value) * self.error
        middle = self.scale.forward(self.value)
        return self.scale.back(middle - half), self.scale.back(middle + half)

    def p_at_most(self, null: float) -> float | None:
        """One-sided p-value of "the true value is ``null`` or less", small when the value lies far above."""
        distance = self._distance(null)
        if distance is None:
            return None
        return float(require("scipy.stats", extra="analysis").t.sf(distance, self.degrees))

    def p_at_least(self, null: float) -> float | None:
        """One-sided p-value of "the true value is ``null`` or more", small when the value lies far below."""
        distance = self._distance(null)
        if distance is None:
            return None
        return float(require("scipy.stats", extra="analysis").t.cdf(distance, self.degrees))

    def _distance(self, null: float) -> float | None:
        if self.value is None or self.error is None:
            return None
        forward = self.scale.forward
        return (forward(self.value) - forward(null)) / (self.scale.slope(self.value) * self.error)


def cluster_bootstrap(
    statistic: Statistic,
    strata: Labels,
    *,
    scale: Scale = FISHER,
    covariates: int = 0,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Resampled:
    """Resample whole units, those of each stratum among themselves.

    The difference of two taus (:class:`~samnesia.measure.ranking.kendall.Contrast`) is taken in each resample, over
    the same units: the paired bootstrap.

    Args:
        statistic: its value by how often each unit is drawn.
        strata: label of each unit's stratum, (units,): units that are never compared lie in different ones.
        scale: where the statistic is nearly normal.
        covariates: how many measures are held fixed; each costs a degree of freedom.
        resamples: how many.
        seed: of the generator; the same seed gives the same figures.

    Returns:
        The statistic with its standard error over resamples; without it, and with the reason, for fewer than 6 units,
        a statistic that is at the end of its range or does not exist, and one that resampling does not move.

    Source: the cluster bootstrap is Davison, Hinkley (1997), Bootstrap methods and their application, section 3.8.
    """
    codes = encode(strata)
    units = len(codes)
    sizes = np.bincount(codes)
    degrees = units - len(sizes) - covariates

    def without(value: float | None, reason: str) -> Resampled:
        return Resampled(value, None, degrees, scale, reason)

    if units == 0:
        return without(None, "there is no run")
    value = float(statistic(np.ones((1, units)))[0])
    if not np.isfinite(value):
        return without(None, "no pair of runs that may be compared differs in each of the measures")
    compared = int(sizes[sizes > 1].sum())
    if compared < LEAST_UNITS or degrees < 2:
        return without(value, f"{compared} design cells are too few to tell how far others would lie")
    drawn = statistic(_draws(tuple(codes.tolist()), resamples, seed))
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < (1.0 - LOST) * resamples:
        return without(value, "too few design cells differ in a measure")
    error = float(drawn.std(ddof=1))
    if error <= 1e-12 or not np.isfinite(scale.forward(value)):
        return without(value, UNMOVED)
    return Resampled(value, error, degrees, scale)


def draw_units(strata: Labels, resamples: int, generator: np.random.Generator) -> Array:
    """How often each unit is drawn, (resamples, units): as many per stratum as it has, with replacement."""
    codes = encode(strata)
    weights = np.zeros((resamples, len(codes)))
    for code in range(codes.max(initial=-1) + 1):
        members = np.flatnonzero(codes == code)
        weights[:, members] = generator.multinomial(len(members), np.full(len(members), 1 / len(members)), resamples)
    return weights


@lru_cache(maxsize=8)
def _draws(strata: tuple[int, ...], resamples: int, seed: int) -> Array:
    """The hypotheses of a study share their draws, as do studies of one design that are simulated."""
    weights = draw_units(strata, resamples, np.random.default_rng(seed))
    weights.setflags(write=False)
    return weights


def strata_of(units: Labels, groups: Labels) -> NDArray[np.intp]:
    """Stratum of each unit, (units,): two units are in one when their runs share a group, directly or over others.

    Args:
        units: label of each run's unit, (N,).
        groups: label of the group that each run is compared in, (N,).
    """
    return _components(encode(units), encode(groups))


def merged(units: Labels, same: Labels) -> NDArray[np.intp]:
    """Label of each run's unit, (N,), where units that share a run in truth are one.

    Args:
        units: label of each run's unit, (N,).
        same: label of the run itself, (N,), such as its directory: cells of equal settings are run once.
    """
    codes = encode(units)
    merged_codes: NDArray[np.intp] = _components(codes, encode(same))[codes]
    return merged_codes


@dataclass(frozen=True)
class Permuted:
    """Where a tau lies among those of permuted units.

    Attributes:
        value: the tau; None where it does not exist.
        p_at_most: one-sided p-value of "x and y are independent", against a positive tau.
        p_at_least: the same, against a negative tau.
        reason: why there are no p-values, in words.
    """

    value: float | None
    p_at_most: float | None
    p_at_least: float | None
    reason: str | None = None


def permutation_null(
    x: ArrayLike, y: ArrayLike, units: Labels, groups: Labels, *, resamples: int = RESAMPLES, seed: int = 0
) -> Permuted:
    r"""Hand the x of whole units to other units at random, and compare the tau with what comes out.

    A unit's runs stay together and keep their groups (and so their seeds), as units are exchangeable and runs are not.
    Only units with runs in the same groups change places.

    .. math:: p = \frac{1 + \#\{\tau^* \ge \tau\}}{1 + B}

    Valid at any size when x and y are independent; says nothing about a tau other than zero, and does not hold with a
    covariate held fixed, as the relation with the covariate is permuted away too.

    Args:
        x: one value per run, (N,).
        y: one value per run, (N,).
        units: label of each run's unit, (N,).
        groups: label of the group that each run is compared in, (N,).
        resamples: number of permutations B.
        seed: of the generator.

    Source: Phipson, Smyth (2010), Permutation p-values should never be zero, SAGMB 9(1), for the 1.
    """
    first, second = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    comparisons = Comparisons.of(units, groups)
    signs = comparisons.signs(second)
    untied = float((signs**2).sum())
    exchange = _exchangeable(encode(units), encode(groups))
    generator = np.random.default_rng(seed)

    def taus(order: NDArray[np.intp]) -> Array:
        shuffled = first[order]
        moved = np.sign(shuffled[:, comparisons.first] - shuffled[:, comparisons.second])
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Array = (moved @ signs) / np.sqrt((moved**2).sum(axis=1) * untied)
        return found

    value = float(taus(np.arange(len(first))[None])[0]) if len(first) else float("nan")
    if not np.isfinite(value):
        return Permuted(None, None, None, "no pair of runs that may be compared differs in each of the measures")
    if max((len(rows) for rows in exchange), default=0) < 2:
        return Permuted(value, None, None, "no two design cells have runs of the same groups and seeds")
    at_once = max(1, CHUNK // max(1, len(signs)))
    found = []
    for start in range(0, resamples, at_once):
        order = np.tile(np.arange(len(first)), (min(at_once, resamples - start), 1))
        for rows in exchange:
            places = generator.permuted(np.tile(np.arange(len(rows)), (len(order), 1)), axis=1)
            order[:, rows.reshape(-1)] = rows[places].reshape(len(order), -1)
        found.append(taus(order))
    null = np.concatenate(found)
    slack = 1e-12  # the same tau, added up in another order
    above = int(np.count_nonzero(~(null < value - slack)))
    below = int(np.count_nonzero(~(null > value + slack)))
    return Permuted(value, (1 + above) / (1 + resamples), (1 + below) / (1 + resamples))


def _exchangeable(units: NDArray[np.intp], groups: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Rows of the units that may change places, (units, runs of each), by pattern of groups."""
    patterns: dict[tuple[int, ...], list[NDArray[np.intp]]] = {}
    for unit in range(units.max(initial=-1) + 1):
        rows = np.flatnonzero(units == unit)
        rows = rows[np.argsort(groups[rows], kind="stable")]
        patterns.setdefault(tuple(groups[rows].tolist()), []).append(rows)
    return [np.stack(rows) for rows in patterns.values()]


def _components(one: NDArray[np.intp], other: NDArray[np.intp]) -> NDArray[np.intp]:
    """Connected component of each label of the one kind, where a run connects its two labels."""
    sparse = require("scipy.sparse", extra="analysis")
    graphs = require("scipy.sparse.csgraph", extra="analysis")
    count, others = int(one.max(initial=-1)) + 1, int(other.max(initial=-1)) + 1
    edges = sparse.coo_array((np.ones(len(one)), (one, count + other)), shape=(count + others, count + others))
    labels: NDArray[np.intp] = graphs.connected_components(edges, directed=False)[1][:count]
    return labels
