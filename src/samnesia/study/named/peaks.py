"""Best radii from a table of runs, and whether one radius holds over widths.

The definitions were committed before the study of widths had a result; docs/widths.md says them in prose.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STEP = 2.0
"""A grid step: each radius of a grid is this many times the one before."""
LEAST_GAIN = 2.0
"""Points by which the best radius must be better than none, or there is no best radius to speak of."""
LEVEL = 0.95


@dataclass(frozen=True)
class Peak:
    """The best radius of one net in one ball."""

    rho: float | None
    """The centre of the upper half of the gain over the logarithm of the radius; None where it is not determined."""
    low: float | None
    """Lower end of its interval over seeds."""
    high: float | None
    """Upper end."""
    gain: float
    """Points of the best radius of the grid over plain training."""
    best: float
    """That radius of the grid."""
    doubt: str = ""
    """Why it is not determined: "edge" or "no gain"; empty where it is."""


@dataclass(frozen=True)
class Transfer:
    """Whether one radius serves several nets."""

    common: float | None
    """The geometric middle of the smallest and the largest best radius; None where one is not determined."""
    spread: float | None
    """Largest over smallest best radius."""
    low: float | None
    """Lower end of the spread's interval over seeds."""
    high: float | None
    """Upper end."""
    holds: bool
    """Whether all best radii are determined and lie within one grid step of each other."""


Scores = NDArray[np.float64]
"""Accuracy in percent, [seeds, radii]."""


def centre(radii: Sequence[float], means: NDArray[np.float64], plain: float) -> tuple[float | None, str]:
    """The best radius, and why there is none.

    Of the mean accuracy m_k at radius ρ_k, what lies above half of the largest gain counts,
    ``v_k = max(0, m_k - (plain + max m) / 2)``, and the best radius is ``exp(Σ v_k log ρ_k / Σ v_k)``:
    unlike the radius of the highest mean it moves with the whole peak, and chance does not move it by a step.

    Not determined are a gain below `LEAST_GAIN`, and a peak whose highest point is the first or last radius.
    """
    top = int(np.argmax(means))
    if means[top] - plain < LEAST_GAIN:
        return None, "no gain"
    if top in (0, len(radii) - 1):
        return None, "edge"
    weights = np.clip(means - (plain + means[top]) / 2, 0.0, None)
    return float(np.exp(weights @ np.log(radii) / weights.sum())), ""


def peak(radii: Sequence[float], scores: Scores, plain: NDArray[np.float64]) -> Peak:
    """The best radius of one net, with an interval over seeds.

    Args:
        radii: the grid, ascending.
        scores: accuracy, [seeds, radii].
        plain: accuracy of plain training, [seeds].
    """
    means = scores.mean(0)
    rho, doubt = centre(radii, means, float(plain.mean()))
    drawn = [centre(radii, scores[draw].mean(0), float(plain[draw].mean()))[0] for draw in _draws(len(plain))]
    low, high = _interval(drawn)
    top = int(np.argmax(means))
    return Peak(rho, low, high, float(means[top] - plain.mean()), float(radii[top]), doubt)


def transfer(
    radii: Sequence[float], scores: Mapping[str, Scores], plain: Mapping[str, NDArray[np.float64]]
) -> Transfer:
    """Whether one radius serves the nets; seeds are drawn together for all of them, as they share their data.

    Args:
        radii: the grid, ascending.
        scores: by net, accuracy [seeds, radii].
        plain: by net, accuracy of plain training, [seeds].
    """
    count = len(next(iter(plain.values())))
    found = _best(radii, scores, plain, list(range(count)))
    drawn = [_best(radii, scores, plain, draw) for draw in _draws(count)]
    low, high = _interval([None if best is None else max(best) / min(best) for best in drawn])
    if found is None:
        return Transfer(None, None, low, high, holds=False)
    spread = max(found) / min(found)
    return Transfer(math.sqrt(max(found) * min(found)), spread, low, high, holds=spread <= STEP)


def exponent(widths: Sequence[int], best: Sequence[float]) -> float:
    """The b of ``ρ = a width^b``, by least squares on logarithms."""
    return float(np.polyfit(np.log(widths), np.log(best), 1)[0])


def _best(
    radii: Sequence[float],
    scores: Mapping[str, Scores],
    plain: Mapping[str, NDArray[np.float64]],
    seeds: Sequence[int],
) -> list[float] | None:
    found = [centre(radii, scores[net][seeds].mean(0), float(plain[net][seeds].mean()))[0] for net in scores]
    return None if None in found else [rho for rho in found if rho is not None]


def _draws(count: int) -> list[list[int]]:
    """Every way to draw `count` seeds with replacement, each order apart: the whole bootstrap distribution."""
    return [list(draw) for draw in itertools.product(range(count), repeat=count)]


def _interval(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Percentiles of the values; None where one of them does not exist."""
    there = [value for value in values if value is not None]
    if len(there) < len(values):
        return None, None
    low, high = np.quantile(there, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
