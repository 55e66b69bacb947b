r"""Kendall's tau over runs: plain, within groups, and with a covariate held fixed.

All are built on pairs of runs. With :math:`s^x_{ij} = \mathrm{sign}(x_i - x_j)` and a set P of pairs,

.. math:: \tau = \frac{\sum_P s^x_{ij} s^y_{ij}}{\sqrt{\sum_P (s^x_{ij})^2 \, \sum_P (s^y_{ij})^2}},

which is tau-b when P holds every pair, and depends on the order of the values alone. Which pairs are in P says what is
compared: pairs that agree in a factor for granulated tau, pairs of one seed where runs are paired by seed (what a seed
does to all its runs then cancels, and no run is ever compared with another seed of its own design cell).

A run that is not a finite number has no rank: the functions give NaN then, never the tau of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samnesia.extras import require
from samnesia.perturb.errors import ConfigurationError

Array = NDArray[np.float64]
Labels = Sequence[Any] | NDArray[Any]
"""One label per run, such as a factor's level or a tuple of levels; equal labels are one group."""
REPEATED = 0.05
Statistic = Callable[[Array], Array]
"""Weights of the units, (B, units), how often each is drawn, -> the statistic's value in each of B resamples."""


def kendall_tau(x: ArrayLike, y: ArrayLike) -> float:
    """Kendall's tau-b of two measures over all pairs of runs, in -1 to 1; NaN where one has no order at all.

    Source: Kendall (1945), The treatment of ties in ranking problems, Biometrika 33(3); computed by SciPy.
    """
    first, second = _columns(x, y)
    if len(first) < 2 or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return float("nan")
    return float(require("scipy.stats", extra="analysis").kendalltau(first, second).statistic)


def granulated_tau(x: ArrayLike, y: ArrayLike, groups: Labels) -> float:
    """Tau-b over those pairs of runs that share their group.

    The pairs of all groups are put together, so that a group counts by the pairs it has. Where groups are of one size
    and nothing is tied, this is the mean of the groups' taus (:func:`mean_group_tau`). Where they differ, this form is
    still defined for groups of two, and its bootstrap has the better level: see ``benchmarks/verdict_errors.py``.

    Source: granulated correlation of Jiang, Neyshabur, Mobahi, Krishnan, Bengio (2020), Fantastic generalization
    measures and where to find them, section 4.2.
    """
    first, second = _columns(x, y)
    return _value(Concordance.of(Comparisons.of(np.zeros(len(first), int), groups), first, second))


def mean_group_tau(x: ArrayLike, y: ArrayLike, groups: Labels) -> float:
    """Mean of the groups' tau-b, each group counting once; groups in which x or y has no order are left out.

    NaN when no group has an order. Source: as :func:`granulated_tau`.
    """
    first, second = _columns(x, y)
    codes = encode(groups)
    taus = [kendall_tau(first[codes == code], second[codes == code]) for code in range(codes.max(initial=-1) + 1)]
    there = [tau for tau in taus if np.isfinite(tau)]
    return float(np.mean(there)) if there else float("nan")


def psi(
    x: ArrayLike, y: ArrayLike, factors: Mapping[str, Labels], blocks: Labels | None = None
) -> tuple[float, dict[str, float]]:
    r"""Jiang et al.'s granulated coefficient, and its parts.

    .. math:: \Psi = \frac1n \sum_i \psi_i, \qquad \psi_i = \text{mean } \tau \text{ over groups that agree in all
        factors but the } i\text{-th}

    Args:
        x: one value per run, (N,).
        y: one value per run, (N,).
        factors: the labels of each factor, by its name.
        blocks: labels that are always kept apart, such as the seed; None is none.

    Returns:
        Psi, the mean over factors that have a tau (NaN when none has), and psi by factor.

    Source: Jiang et al. (2020), equations 5 and 6, with tau-b in place of their tau, so that ties do not shrink it.
    """
    always = [] if blocks is None else [blocks]
    parts = {
        name: mean_group_tau(x, y, joint(*(one for other, one in factors.items() if other != name), *always)
                             if len(factors) + len(always) > 1 else np.zeros(len(np.asarray(x)), int))
        for name in factors
    }  # fmt: skip
    there = [value for value in parts.values() if np.isfinite(value)]
    return (float(np.mean(there)) if there else float("nan")), parts


def partial_tau(x: ArrayLike, y: ArrayLike, given: ArrayLike, groups: Labels | None = None) -> float:
    r"""Tau of x and y with a covariate held fixed, on the scale of a Gaussian copula.

    .. math:: \tau_{xy \cdot z} = \frac2\pi \arcsin
        \frac{\rho_{xy} - \rho_{xz}\rho_{yz}}{\sqrt{(1-\rho_{xz}^2)(1-\rho_{yz}^2)}},
        \qquad \rho = \sin\left(\tfrac\pi2 \tau\right)

    Taus become correlations by Greiner's relation, the partial correlation is taken, and becomes a tau again. It
    depends on the order alone, like tau itself, and is zero when x and y have nothing in common but z, for measures
    that are monotone functions of jointly normal ones. Kendall's own formula (:func:`kendall_partial_tau`) is not: in
    that case it is 0.11 at correlations of 0.7 with z, which many runs turn into a "significant" relation.

    A covariate that repeats its values (:func:`repeats`: a radius of five levels, say) is held fixed by comparing only
    runs that are equal in it; the formula would overcorrect, by 0.1 to 0.3. A covariate that is measured with noise
    holds less fixed than it should, and one that drives both measures up and then down is not seen by either way.

    Args:
        x: one value per run, (N,).
        y: one value per run, (N,).
        given: the covariate z, one value per run, (N,).
        groups: only pairs that share their group count; None is all pairs.

    Returns:
        The tau, -1 to 1; NaN when z orders the runs exactly as x or y does: nothing is left then.

    Source: Liu, Han, Yuan, Lafferty, Wasserman (2012), High-dimensional semiparametric Gaussian copula graphical
    models, Annals of Statistics 40(4), for the relation; the partial correlation is Pearson's.
    """
    first, second, third = _columns(x, y, given)
    one = np.zeros(len(first), int)
    shelves = one if groups is None else groups
    if repeats(Comparisons.of(one, shelves), third):
        return granulated_tau(first, second, joint(shelves, third))
    return _value(_partial(Partial, first, second, third, groups))


def repeats(comparisons: Comparisons, given: Array) -> bool:
    """Whether a covariate is equal in 5 % of these pairs of runs or more, and so is held fixed by comparing those."""
    signs = comparisons.signs(given)
    return len(signs) > 0 and float((signs == 0).mean()) >= REPEATED


def kendall_partial_tau(x: ArrayLike, y: ArrayLike, given: ArrayLike, groups: Labels | None = None) -> float:
    r"""Kendall's partial tau; for comparison with others' figures, see :func:`partial_tau`.

    .. math:: \tau_{xy \cdot z} = \frac{\tau_{xy} - \tau_{xz}\tau_{yz}}{\sqrt{(1-\tau_{xz}^2)(1-\tau_{yz}^2)}}

    Source: Kendall (1942), Partial rank correlation, Biometrika 32(3/4).
    """
    return _value(_partial(KendallPartial, x, y, given, groups))


@dataclass(frozen=True)
class Comparisons:
    """Pairs of runs that share their group, and the units that the runs of each pair belong to."""

    first: NDArray[np.intp]
    """Index of the one run of each pair, (P,)."""
    second: NDArray[np.intp]
    """Index of the other, (P,)."""
    place: NDArray[np.intp]
    """Where each pair counts in a (units, units) matrix, flat, in its upper triangle with the diagonal, (P,)."""
    units: int
    """How many units there are: what a bootstrap draws anew, such as design cells."""

    @staticmethod
    def of(units: Labels, groups: Labels) -> Comparisons:
        """All pairs of runs that share their group.

        Args:
            units: label of each run's unit, (N,).
            groups: label of each run's group, (N,).

        Raises:
            ConfigurationError: when there is not one of each per run.
        """
        codes, shelves = encode(units), encode(groups)
        _same_length(codes, shelves)
        pairs: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
        for shelf in range(shelves.max(initial=-1) + 1):
            members = np.flatnonzero(shelves == shelf)
            one, other = np.triu_indices(len(members), 1)
            pairs.append((members[one], members[other]))
        first = np.concatenate([one for one, _ in pairs]) if pairs else np.zeros(0, np.intp)
        second = np.concatenate([other for _, other in pairs]) if pairs else np.zeros(0, np.intp)
        count = int(codes.max(initial=0)) + 1
        low, high = np.minimum(codes[first], codes[second]), np.maximum(codes[first], codes[second])
        return Comparisons(first, second, low * count + high, count)

    def signs(self, values: Array) -> Array:
        """Sign of the difference in each pair, (P,); 0 is a tie, NaN where one of the two is no finite number."""
        ranked = np.where(np.isfinite(values), values, np.nan)
        signs: Array = np.sign(ranked[self.first] - ranked[self.second])
        return signs

    def sums(self, of_pairs: Array) -> Array:
        """Sum over the pairs of each two units, (units, units), upper triangle with the diagonal."""
        flat: Array = np.bincount(self.place, weights=of_pairs, minlength=self.units * self.units).astype(float)
        return flat.reshape(self.units, self.units)


@dataclass(frozen=True)
class Concordance:
    """Tau-b of two measures as a function of how often each unit is drawn.

    Two copies of one unit are the same runs, and a pair of them says nothing on how units differ: pairs between copies
    are left out, and pairs within a unit count once per copy.
    """

    agree: Array
    """Sum of s^x s^y over the pairs of two units, upper triangle with the diagonal, (units, units)."""
    untied_x: Array
    """Pairs in which x differs, likewise."""
    untied_y: Array
    """Pairs in which y differs, likewise."""

    @staticmethod
    def of(comparisons: Comparisons, x: Array, y: Array) -> Concordance:
        """Count the pairs once, so that a resample is three products of matrices."""
        signs_x, signs_y = comparisons.signs(x), comparisons.signs(y)
        return Concordance(
            comparisons.sums(signs_x * signs_y), comparisons.sums(signs_x**2), comparisons.sums(signs_y**2)
        )

    def __call__(self, weights: Array) -> Array:
        """Tau-b for each row of the weights, (B, units) -> (B,); NaN where x or y has no order."""
        agree, one, other = (_weighted(counts, weights) for counts in (self.agree, self.untied_x, self.untied_y))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.clip(agree / np.sqrt(one * other), -1.0, 1.0)


@dataclass(frozen=True)
class Partial:
    """:func:`partial_tau` as a function of how often each unit is drawn."""

    xy: Statistic
    xz: Statistic
    yz: Statistic

    def __call__(self, weights: Array) -> Array:
        """Its value for each row of the weights, (B, units) -> (B,)."""
        xy, xz, yz = (np.sin(np.pi / 2 * tau(weights)) for tau in (self.xy, self.xz, self.yz))
        return 2 / np.pi * np.arcsin(_without(xy, xz, yz))


@dataclass(frozen=True)
class KendallPartial:
    """:func:`kendall_partial_tau` as a function of how often each unit is drawn."""

    xy: Statistic
    xz: Statistic
    yz: Statistic

    def __call__(self, weights: Array) -> Array:
        """Its value for each row of the weights, (B, units) -> (B,)."""
        return _without(self.xy(weights), self.xz(weights), self.yz(weights))


@dataclass(frozen=True)
class Contrast:
    """Difference of two statistics over the same units."""

    one: Statistic
    other: Statistic
    signs: tuple[int, ...] = (1, 1)
    """Sign with which each counts."""

    def __call__(self, weights: Array) -> Array:
        """Its value for each row of the weights, (B, units) -> (B,)."""
        return self.signs[0] * self.one(weights) - self.signs[1] * self.other(weights)


def tau_of(comparisons: Comparisons, x: Array, y: Array, given: Array | None = None) -> Statistic:
    """Tau of two measures over these pairs, or partial tau given a third, ready to be resampled."""
    xy = Concordance.of(comparisons, x, y)
    if given is None:
        return xy
    return Partial(xy, Concordance.of(comparisons, x, given), Concordance.of(comparisons, y, given))


def encode(labels: Labels) -> NDArray[np.intp]:
    """Whole numbers from 0 for labels of any hashable kind, in the order in which they appear, (N,)."""
    known: dict[Any, int] = {}
    items = labels.tolist() if isinstance(labels, np.ndarray) else labels
    return np.fromiter((known.setdefault(label, len(known)) for label in items), np.intp, len(labels))


def joint(*labels: Labels) -> list[tuple[Any, ...]]:
    """One label per run from several: runs share it when they share all."""
    return list(zip(*(one.tolist() if isinstance(one, np.ndarray) else one for one in labels), strict=True))


def _weighted(counts: Array, weights: Array) -> Array:
    within = np.diagonal(counts)
    between = counts - np.diag(within)
    total: Array = ((weights @ between) * weights).sum(axis=1) + weights @ within
    return total


def _without(xy: Array, xz: Array, yz: Array) -> Array:
    """The formula of a partial correlation; NaN where nothing is left, cut to -1 to 1 where the three disagree."""
    left = (1.0 - xz**2) * (1.0 - yz**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(left > 1e-12, np.clip((xy - xz * yz) / np.sqrt(left), -1.0, 1.0), np.nan)


def _partial(
    kind: Callable[[Statistic, Statistic, Statistic], Statistic],
    x: ArrayLike,
    y: ArrayLike,
    given: ArrayLike,
    groups: Labels | None,
) -> Statistic:
    first, second, third = _columns(x, y, given)
    one = np.zeros(len(first), int)
    comparisons = Comparisons.of(one, one if groups is None else groups)
    pairs = ((first, second), (first, third), (second, third))
    xy, xz, yz = (Concordance.of(comparisons, *pair) for pair in pairs)
    return kind(xy, xz, yz)


def _value(statistic: Statistic) -> float:
    return float(statistic(np.ones((1, 1)))[0])


def _columns(*columns: ArrayLike) -> tuple[Array, ...]:
    arrays = tuple(np.asarray(column, dtype=float).reshape(-1) for column in columns)
    _same_length(*arrays)
    return arrays


def _same_length(*columns: NDArray[Any]) -> None:
    lengths = [len(column) for column in columns]
    if len(set(lengths)) != 1:
        raise ConfigurationError(
            f"cannot rank runs with {', '.join(map(str, lengths))} values, because every run has one of each; "
            "hand over columns of one length"
        )
