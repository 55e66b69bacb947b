"""Means and paired differences with Student's t-intervals.

A study compares methods over seeds, and the runs of one seed share data, initial weights and data order. The seed is
therefore the unit that is drawn anew, and the difference of two methods is judged within seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from samnesia.perturb.errors import ConfigurationError


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval; ``low`` and ``high`` are None where one value alone gives no interval."""

    mean: float
    low: float | None
    high: float | None

    @property
    def excludes_zero(self) -> bool:
        """True when the interval exists and lies wholly on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0.0 or self.high < 0.0)


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    r"""Mean of ``values`` with Student's t-interval.

    .. math:: \bar x \pm t_{n-1,\,(1+c)/2}\; s / \sqrt n, \qquad s^2 = \frac{1}{n-1}\sum_i (x_i - \bar x)^2

    Args:
        values: n independent, finite measurements, in any unit; the interval is in the same unit.
        confidence: the coverage c, strictly between 0 and 1.

    Returns:
        The interval. With n = 1 its ends are None: one value says nothing about the spread. Values that are all equal
        give an interval of width zero at exactly that value.

    Raises:
        ConfigurationError: no values, a value that is not finite, or a confidence outside (0, 1).

    Source: Student (1908), The probable error of a mean, Biometrika 6(1).
    """
    _check(values, confidence)
    count = len(values)
    first = float(values[0])
    if count == 1:
        return Interval(first, None, None)
    # Deviations from the first value: equal values then have a spread of exactly zero, whatever their magnitude.
    shifted = [float(value) - first for value in values]
    shift = math.fsum(shifted) / count
    mean = first + shift
    variance = math.fsum((value - shift) ** 2 for value in shifted) / (count - 1)
    half = _student_quantile(count - 1, confidence) * math.sqrt(variance / count)
    return Interval(mean, mean - half, mean + half)


def paired_interval(
    treatment: Mapping[int, float], baseline: Mapping[int, float], confidence: float = 0.95
) -> Interval | None:
    r"""Mean difference of two methods over the seeds that both have, with the paired t-interval.

    .. math:: \bar d \pm t_{n-1,\,(1+c)/2}\; s_d / \sqrt n, \qquad d_i = \mathrm{treatment}_i - \mathrm{baseline}_i

    Args:
        treatment: measurement by seed.
        baseline: measurement by seed, of the method compared against.
        confidence: the coverage c, strictly between 0 and 1.

    Returns:
        The interval of the difference (positive: the treatment is larger), or None when no seed has both.

    Raises:
        ConfigurationError: a value that is not finite, or a confidence outside (0, 1).
    """
    shared = sorted(treatment.keys() & baseline.keys())
    if not shared:
        return None
    return mean_interval([treatment[seed] - baseline[seed] for seed in shared], confidence)


def _student_quantile(degrees: int, confidence: float) -> float:
    from scipy import stats

    return float(stats.t.ppf((1.0 + confidence) / 2.0, degrees))


def _check(values: Sequence[float], confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise ConfigurationError(
            f"cannot form an interval with confidence {confidence}, because a coverage requires a number strictly "
            "between 0 and 1; use 0.95."
        )
    if not values:
        raise ConfigurationError(
            "cannot form a mean of no values, because a mean requires at least one finished run; run a seed first."
        )
    wrong = [value for value in values if not math.isfinite(value)]
    if wrong:
        raise ConfigurationError(
            f"cannot form a mean with the value {wrong[0]}, because an interval requires finite measurements; "
            "leave the run that diverged out, and say so."
        )
