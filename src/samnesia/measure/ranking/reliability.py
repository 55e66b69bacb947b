r"""How well a measure's own seeds agree on which design cells have more of it.

A measure that seeds do not agree on cannot rank with anything: its tau with a measure that matters is pulled to zero,
and that a rival ranks better may say no more than that the rival is less noisy. The seeds are split into random halves,
the same halves in every cell (what a seed does to all cells alike then does not count as disagreement), and the halves'
cell means are correlated across cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from samnesia.measure.ranking.kendall import Array, Labels, encode
from samnesia.measure.ranking.resampling import FISHER, RESAMPLES, cluster_bootstrap
from samnesia.perturb.errors import ConfigurationError

SPLITS = 200


@dataclass(frozen=True)
class Reliability:
    """Split-half reliability of a measure over seeds.

    Attributes:
        halves: correlation of the two halves' cell means, mean over splits, -1 to 1; None where there is none.
        value: reliability of a cell's mean over all its seeds: the correlation with the mean over as many new seeds.
        low: lower end of its confidence interval, from resampling cells; None where there is none.
        high: upper end.
        single: reliability of a single run: the correlation of two runs of one cell, across cells.
        cells: design cells with both halves.
        seeds: seeds that were split.
        reason: why something is missing, in words; None where nothing is.
    """

    halves: float | None
    value: float | None
    low: float | None
    high: float | None
    single: float | None
    cells: int
    seeds: int
    reason: str | None = None


def stepped(correlation: float, times: float) -> float:
    r"""Reliability of a mean over ``times`` as many seeds, by the formula of Spearman and Brown.

    .. math:: r' = \frac{m\, r}{1 + (m - 1)\, r}

    A correlation of zero or less has no measurement behind it that more seeds would bring out, and stays what it is.

    Source: Spearman (1910), Correlation calculated from faulty data, and Brown (1910), Some experimental results in
    the correlation of mental abilities, British Journal of Psychology 3(3).
    """
    return times * correlation / (1.0 + (times - 1.0) * correlation) if correlation > 0.0 else correlation


def split_half(
    values: ArrayLike,
    cells: Labels,
    seeds: Labels,
    *,
    confidence: float = 0.95,
    splits: int = SPLITS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Reliability:
    """Split-half reliability of a measure over seeds.

    Random halves of the seeds (of an odd number, one sits out), Pearson's correlation of the halves' means across
    cells, the mean of it over many splits, and Spearman and Brown's step from half the seeds to all. The interval
    resamples whole cells and lies on Fisher's scale, as that of a tau does.

    Args:
        values: the measure, one per run, (N,), finite.
        cells: label of each run's design cell, (N,).
        seeds: each run's seed, (N,); one run per cell and seed.
        confidence: coverage of the interval.
        splits: how many random splits.
        resamples: how many resamples of cells.
        seed: of the generator.

    Returns:
        The reliability. With one seed there is none: nothing tells the measure from chance then, which does not make
        it unreliable. Cells without a run in both halves of every split are left out.

    Raises:
        ConfigurationError: when columns differ in length, a value is not finite, or a cell has a seed twice.
    """
    table = _table(np.asarray(values, dtype=float), cells, seeds)
    count = table.shape[1]
    generator = np.random.default_rng(seed)
    if count < 2:
        return Reliability(None, None, None, None, None, len(table), count, "one seed does not show how seeds agree")
    order = generator.permuted(np.tile(np.arange(count), (splits, 1)), axis=1)
    half = count // 2
    one, other = (_means(table, order[:, part]) for part in (slice(0, half), slice(half, 2 * half)))
    whole = np.isfinite(one).all(axis=1) & np.isfinite(other).all(axis=1)
    halves = _Halves(one[whole], other[whole])
    cells_left = int(whole.sum())
    if cells_left < 3:
        return Reliability(
            None, None, None, None, None, cells_left, count, "fewer than 3 design cells have runs in both halves"
        )
    found = cluster_bootstrap(
        halves, np.zeros(cells_left, int), scale=FISHER, covariates=0, resamples=resamples, seed=seed
    )
    if found.value is None:
        return Reliability(
            None, None, None, None, None, cells_left, count, "the measure is the same in all design cells"
        )
    times = count / half
    interval = found.interval(confidence)
    low, high = (None, None) if interval is None else (stepped(end, times) for end in interval)
    return Reliability(
        found.value, stepped(found.value, times), low, high, stepped(found.value, 1 / half), cells_left, count,
        found.reason,
    )  # fmt: skip


@dataclass(frozen=True)
class _Halves:
    """Mean over splits of Pearson's correlation across cells, by how often each cell is drawn."""

    one: Array
    other: Array

    def __call__(self, weights: Array) -> Array:
        shares = weights / weights.sum(axis=1, keepdims=True)
        # Around the mean over cells, so that a large common level does not drown the spread in rounding.
        one, other = self.one - self.one.mean(axis=0), self.other - self.other.mean(axis=0)
        mean, another = shares @ one, shares @ other
        both = shares @ (one * other) - mean * another
        spread, spread_of_other = shares @ one**2 - mean**2, shares @ other**2 - another**2
        with np.errstate(invalid="ignore", divide="ignore"):
            correlations = both / np.sqrt(spread * spread_of_other)
        floor = 1e-12 * np.maximum(one.var(axis=0) * other.var(axis=0), np.finfo(float).tiny)
        correlations = np.where(spread * spread_of_other > floor, correlations, np.nan)
        counted = np.isfinite(correlations)
        total = np.where(counted, correlations, 0.0).sum(axis=1)
        number = counted.sum(axis=1)
        mean_of_splits: Array = np.where(number > 0, total / np.maximum(number, 1), np.nan)
        return np.clip(mean_of_splits, -1.0, 1.0)


def _means(table: Array, chosen: np.ndarray) -> Array:
    """Mean of each cell over the seeds of each split, (cells, splits); NaN where it has none of them."""
    picked = table[:, chosen]
    there = np.isfinite(picked)
    number = there.sum(axis=2)
    total = np.where(there, picked, 0.0).sum(axis=2)
    means: Array = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    return means


def _table(values: Array, cells: Labels, seeds: Labels) -> Array:
    rows, columns = encode(cells), encode(seeds)
    if not len(values) == len(rows) == len(columns) or not np.isfinite(values).all():
        raise ConfigurationError(
            "cannot split runs into halves, because every run requires a finite value, a cell and a seed; leave out "
            "those that lack one, and say so"
        )
    table = np.full((int(rows.max(initial=-1)) + 1, int(columns.max(initial=-1)) + 1), np.nan)
    if len(set(zip(rows.tolist(), columns.tolist(), strict=True))) != len(rows):
        raise ConfigurationError(
            "cannot split runs into halves with two runs of one cell and seed, because a half holds whole seeds; keep "
            "one of them"
        )
    table[rows, columns] = values
    return table
