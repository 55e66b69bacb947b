"""The intervals agree with SciPy's, cover what they promise and move with the data."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.judging.statistics import Interval, mean_interval, paired_interval

percentages = st.lists(st.floats(0.0, 100.0), min_size=3, max_size=12).filter(
    lambda values: max(values) - min(values) > 1e-3
)


@pytest.mark.parametrize("count", [3, 4, 5, 20])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_mean_interval_equals_scipy(count, confidence):
    values = np.random.default_rng(count).normal(80.0, 3.0, count)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
    interval = mean_interval(values.tolist(), confidence)
    assert interval.mean == pytest.approx(values.mean(), rel=1e-13)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-12)


@pytest.mark.parametrize("count", [3, 5, 10])
def test_paired_interval_equals_scipy(count):
    generator = np.random.default_rng(count)
    baseline = generator.normal(80.0, 5.0, count)
    treatment = baseline + generator.normal(2.0, 1.0, count)
    expected = stats.ttest_rel(treatment, baseline).confidence_interval(0.95)
    interval = paired_interval(dict(enumerate(treatment.tolist())), dict(enumerate(baseline.tolist())))
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_pairing_joins_by_seed_and_leaves_out_what_one_side_lacks():
    interval = paired_interval({3: 5.0, 1: 2.0, 9: 70.0}, {1: 1.0, 3: 2.0, 4: -50.0})
    assert interval == Interval(2.0, None, None)
    assert paired_interval({1: 1.0}, {2: 1.0}) is None


@pytest.mark.parametrize("spread", ["normal", "pairs"])
def test_intervals_cover_at_the_promised_rate(spread):
    generator = np.random.default_rng(7)
    trials, count, truth = 2000, 5, 1.5
    hits = 0
    for _ in range(trials):
        shared = generator.normal(0.0, 10.0, count)
        noise = generator.normal(truth, 1.0, count)
        if spread == "normal":
            interval = mean_interval(noise.tolist())
        else:
            interval = paired_interval(dict(enumerate((shared + noise).tolist())), dict(enumerate(shared.tolist())))
        hits += interval.low <= truth <= interval.high
    # Three standard errors of a rate of 0.95 in 2,000 trials are 0.0146.
    assert hits / trials == pytest.approx(0.95, abs=0.0146)


@pytest.mark.parametrize("values", [[81.25], [81.0, 81.5]])
def test_fewer_than_three_values_give_a_mean_without_an_interval(values):
    assert mean_interval(values) == Interval(81.25, None, None)
    assert not mean_interval(values).excludes_zero


@pytest.mark.parametrize("value", [0.0, 0.1, 96.1, 1e-300, 1e300])
def test_equal_values_give_no_interval(value):
    assert mean_interval([value] * 7) == Interval(value, None, None)


def test_differences_that_are_equal_but_for_rounding_give_no_interval():
    baseline = {seed: 0.1 * seed + 67.3 for seed in range(7)}
    for shift in (0.1, 1 / 3, 1e-12):
        treatment = {seed: value + shift for seed, value in baseline.items()}
        interval = paired_interval(treatment, baseline)
        assert interval.mean == pytest.approx(shift, abs=1e-13)
        assert interval.low is None and interval.high is None


def test_excludes_zero_tells_the_side_apart():
    assert Interval(1.0, 0.5, 1.5).excludes_zero
    assert Interval(-1.0, -1.5, -0.5).excludes_zero
    assert not Interval(0.2, -0.5, 1.5).excludes_zero


@given(percentages, st.floats(-1e3, 1e3))
def test_shifting_the_values_shifts_the_interval(values, shift):
    before, after = mean_interval(values), mean_interval([value + shift for value in values])
    assert after.mean == pytest.approx(before.mean + shift, abs=1e-8)
    assert after.high - after.low == pytest.approx(before.high - before.low, abs=1e-8)


@given(percentages, st.floats(-50.0, 50.0))
def test_scaling_the_values_scales_the_interval(values, scale):
    assume(abs(scale) > 1e-6)
    before, after = mean_interval(values), mean_interval([value * scale for value in values])
    assert after.mean == pytest.approx(before.mean * scale, abs=1e-7)
    assert after.high - after.low == pytest.approx(abs(scale) * (before.high - before.low), abs=1e-6)


@given(percentages, st.randoms(use_true_random=False))
def test_order_does_not_matter_and_ends_enclose_the_mean(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    one, other = mean_interval(values), mean_interval(shuffled)
    assert one.low <= one.mean <= one.high
    assert (one.mean, one.low, one.high) == pytest.approx((other.mean, other.low, other.high), abs=1e-8)


@given(percentages, st.lists(st.floats(0.0, 100.0), min_size=12, max_size=12))
def test_swapping_the_sides_turns_the_difference_around(values, others):
    assume(len(values) <= len(others))
    differences = [value - other for value, other in zip(values, others, strict=False)]
    assume(max(differences) - min(differences) > 1e-3)
    left, right = dict(enumerate(values)), dict(enumerate(others))
    forth, back = paired_interval(left, right), paired_interval(right, left)
    assert (forth.mean, forth.low, forth.high) == pytest.approx((-back.mean, -back.high, -back.low), abs=1e-8)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_what_has_no_mean_is_refused_with_a_remedy(values):
    with pytest.raises(ConfigurationError, match="cannot form a mean .* because .*; "):
        mean_interval(values)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.5, 95.0, math.nan])
def test_a_confidence_that_is_no_coverage_is_refused(confidence):
    with pytest.raises(ConfigurationError, match="strictly between 0 and 1"):
        mean_interval([1.0, 2.0], confidence)
