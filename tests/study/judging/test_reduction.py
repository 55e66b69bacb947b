"""Fieller's interval of the relative error reduction: against its definition, and its coverage."""

import numpy as np
import pytest
from scipy import stats

from samnesia.study.judging.reduction import error_reduction
from samnesia.study.judging.statistics import paired_interval


def by_seed(values):
    return dict(enumerate(values))


@pytest.fixture
def errors():
    generator = np.random.default_rng(3)
    shared = generator.normal(0.0, 1.5, 8)
    return 9.0 + shared + generator.normal(0.0, 0.4, 8), 12.0 + shared + generator.normal(0.0, 0.4, 8)


def test_its_ends_are_where_the_paired_t_test_of_the_ratio_turns(errors):
    treatment, baseline = errors
    found = error_reduction(by_seed(treatment), by_seed(baseline))
    assert found.mean == pytest.approx(100 * (1 - treatment.mean() / baseline.mean()))
    for end in (found.low, found.high):
        ratio = 1 - end / 100
        assert stats.ttest_1samp(treatment - ratio * baseline, 0.0).pvalue == pytest.approx(0.05)
    assert found.low < found.mean < found.high


@pytest.mark.parametrize("gain", np.linspace(-1.0, 1.0, 9))
def test_it_leaves_zero_out_exactly_where_the_paired_difference_does(gain):
    generator = np.random.default_rng(1)
    baseline = generator.normal(10.0, 1.0, 6)
    treatment = baseline - gain + generator.normal(0.0, 0.6, 6)
    reduction = error_reduction(by_seed(treatment), by_seed(baseline))
    assert reduction.excludes_zero == paired_interval(by_seed(treatment), by_seed(baseline)).excludes_zero


def test_it_covers_the_true_reduction_as_often_as_it_says():
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(600):
        shared = generator.normal(0.0, 1.0, 6)
        baseline, treatment = (
            10.0 + shared + generator.normal(0.0, 0.5, 6),
            8.0 + shared + generator.normal(0.0, 0.5, 6),
        )
        found = error_reduction(by_seed(treatment), by_seed(baseline))
        covered += found.low <= 20.0 <= found.high
    assert covered / 600 == pytest.approx(0.95, abs=0.027)  # three standard errors


def test_only_seeds_of_both_count_and_few_or_equal_ones_give_no_interval():
    assert error_reduction({0: 1.0}, {1: 2.0}) is None
    assert error_reduction({0: 1.0}, {0: 0.0}) is None
    few = error_reduction({0: 1.0, 1: 3.0, 7: 9.0}, {0: 2.0, 1: 6.0})
    assert (few.mean, few.low, few.high) == (50.0, None, None)
    equal = error_reduction(by_seed([1.0] * 4), by_seed([2.0] * 4))
    assert (equal.mean, equal.low) == (50.0, None)


def test_a_baseline_that_is_not_told_apart_from_zero_gives_no_interval():
    found = error_reduction(by_seed([0.1, 0.0, 0.2, 0.1]), by_seed([0.0, 0.0, 3.0, 0.1]))
    assert found.low is None and found.high is None
