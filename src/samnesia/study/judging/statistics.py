"""Means and paired differences with Student's t-intervals.

A study compares methods over seeds, and the runs of one seed share data, initial weights and data order. The seed is
therefore the unit that is drawn anew, and the difference of two methods is judged within seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from samnesia.perturb.errors import ConfigurationError

LEAST = 3
"""Values that an interval needs."""
ROUNDING = 1e-13


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval; ``low`` and ``high`` are None where there is none."""

    mean: float
    low: float | None
    high: float | None

    @property
    def excludes_zero(self) -> bool:
        """True when the interval exists and lies wholly on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0.0 or self.high < 0.0)


def mean_interval(values: Sequence[float], confidence: float = 0.95, *, scale: float | None = None) -> Interval:
    r"""Mean of ``values`` with Student's t-interval.

    .. math:: \bar x \pm t_{n-1,\,(1+c)/2}\; s / \sqrt n, \qquad s^2 = \frac{1}{n-1}\sum_i (x_i - \bar x)^2

    Args:
        values: n independent, finite measurements, in any unit; the interval is in the same unit.
        confidence: the coverage c, strictly between 0 and 1.
        scale: magnitude of the numbers that the values were computed from, whose rounding is no spread; None is the
            largest of the values themselves.

    Returns:
        The interval. Its ends are None for n below 3 (one value says nothing about the spread, and two too little: the
        quantile is 12.7), and for values that are all equal: they do not show how far others would lie.

    Raises:
        ConfigurationError: no values, a value that is not finite, or a confidence outside (0, 1).

    Source: Student (1908), The probable error of a mean, Biometrika 6(1).
    """
    _check(values, confidence)
    count = len(values)
    first = float(values[0])
    # Deviations from the first value: equal values then have a spread of exactly zero, whatever their magnitude.
    shifted = [float(value) - first for value in values]
    shift = math.fsum(shifted) / count
    mean = first + shift
    scale = max(map(abs, values)) if scale is None else scale
    if count < LEAST or max(shifted) - min(shifted) <= ROUNDING * scale:
        return Interval(mean, None, None)
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
    scale = max(abs(side[seed]) for side in (treatment, baseline) for seed in shared)
    return mean_interval([treatment[seed] - baseline[seed] for seed in shared], confidence, scale=scale)


def paired_p_values(
    treatment: Mapping[int, float], baseline: Mapping[int, float], *, sign: int = 1, smallest: float = 0.0
) -> tuple[float, float]:
    r"""One-sided p-values of paired t-tests: of "the effect is 0 or less", and of "it is the smallest one or more".

    .. math:: P(T_{n-1} \ge \bar d\,\sqrt n / s_d), \qquad P(T_{n-1} \le (\bar d - \delta)\,\sqrt n / s_d)

    Args:
        treatment: measurement by seed.
        baseline: measurement by seed, of the method compared against.
        sign: 1 where the effect is treatment minus baseline, -1 where it is the other way round.
        smallest: smallest effect of interest.

    Defined where :func:`paired_interval` has ends. Source: Student (1908), as there.
    """
    from scipy import stats

    shared = sorted(treatment.keys() & baseline.keys())
    effects = [sign * (treatment[seed] - baseline[seed]) for seed in shared]
    count, effect = len(effects), math.fsum(effects) / len(effects)
    error = math.sqrt(math.fsum((one - effect) ** 2 for one in effects) / ((count - 1) * count))
    student = stats.t(count - 1)
    return float(student.sf(effect / error)), float(student.cdf((effect - smallest) / error))


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
