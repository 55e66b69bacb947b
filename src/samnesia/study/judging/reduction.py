"""By how much of the baseline's error a method lowers it, with an interval over paired seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping

from samnesia.study.judging.statistics import LEAST, ROUNDING, Interval


def error_reduction(treatment: Mapping[int, float], baseline: Mapping[int, float],
                    confidence: float = 0.95) -> Interval | None:  # fmt: skip
    r"""Relative reduction of the mean error in percent, with Fieller's interval over the seeds that both have.

    .. math:: 100\,(1 - R), \qquad R = \bar m / \bar b

    The interval holds every R for which a paired t-test does not reject that :math:`m_i - R\, b_i` has mean zero: the
    solutions of

    .. math:: (\bar b^2 - q\, s_{bb}) R^2 - 2\, (\bar m \bar b - q\, s_{mb}) R + \bar m^2 - q\, s_{mm} \le 0,
       \qquad q = t_{n-1,\,(1+c)/2}^2 / n

    So it leaves zero out exactly where the paired t-interval of the difference does.

    Args:
        treatment: error of the method by seed, 0 or more.
        baseline: error of the baseline by seed.
        confidence: the coverage c.

    Returns:
        The reduction (positive: fewer errors); without ends for fewer than three seeds, for errors that are the same in
        all of them, and where the baseline's mean error is not told apart from zero. None where no seed has both, or
        the baseline makes no error.

    Source: Fieller (1954), Some problems in interval estimation, Journal of the Royal Statistical Society B 16(2).
    """
    import numpy as np

    seeds = sorted(treatment.keys() & baseline.keys())
    m, b = (np.array([side[seed] for seed in seeds]) for side in (treatment, baseline))
    if not seeds or b.mean() <= 0.0:
        return None
    estimate = 100.0 * (1.0 - m.mean() / b.mean())
    ends = _fieller(np.stack([m, b]), confidence)
    if ends is None:
        return Interval(float(estimate), None, None)
    return Interval(float(estimate), 100.0 * (1.0 - ends[1]), 100.0 * (1.0 - ends[0]))


def _fieller(pairs: object, confidence: float) -> tuple[float, float] | None:
    """Both ends of the ratio of the first row's mean to the second's; None where there are not two."""
    import numpy as np
    from scipy import stats

    values = np.asarray(pairs)
    count = values.shape[1]
    spread = np.ptp(values, axis=1).max()
    if count < LEAST or spread <= ROUNDING * np.abs(values).max():
        return None
    (mm, mb), (_, bb) = np.cov(values)
    m, b = values.mean(axis=1)
    q = float(stats.t.ppf((1.0 + confidence) / 2.0, count - 1)) ** 2 / count
    square, half, rest = b**2 - q * bb, m * b - q * mb, m**2 - q * mm
    if square <= 0.0:
        return None
    root = math.sqrt(max(half**2 - square * rest, 0.0))
    return (half - root) / square, (half + root) / square
