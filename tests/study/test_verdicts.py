"""The rule: Holm in two families, and three verdicts that exclude each other."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from samnesia.study.verdicts import holm, rule

chances = st.floats(0.0, 1.0)
families = st.lists(chances, min_size=1, max_size=8)


def step_down(p_values, alpha):
    """Holm's procedure as it is told: the smallest at alpha/m, the next at alpha/(m-1), until one fails."""
    rejected = set()
    remaining = dict(enumerate(p_values))
    while remaining:
        smallest = min(remaining, key=remaining.__getitem__)
        if remaining[smallest] * len(remaining) > alpha:
            break
        rejected.add(smallest)
        del remaining[smallest]
    return rejected


@given(families, st.floats(0.001, 0.5))
def test_adjusted_values_reject_what_the_step_down_procedure_rejects(p_values, alpha):
    adjusted = holm(p_values)
    assert {i for i, value in enumerate(adjusted) if value <= alpha} == step_down(p_values, alpha)


@given(families)
def test_holm_lies_between_the_p_value_and_bonferroni_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    for before, after in zip(p_values, adjusted, strict=True):
        assert before <= after <= min(1.0, len(p_values) * before)
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0.0)


@given(families, st.data())
def test_a_larger_p_value_never_makes_an_adjusted_one_smaller(p_values, data):
    index = data.draw(st.integers(0, len(p_values) - 1))
    raised = list(p_values)
    raised[index] = data.draw(st.floats(p_values[index], 1.0))
    assert all(after >= before for before, after in zip(holm(p_values), holm(raised), strict=True))


def test_holm_on_a_worked_example():
    """Holm (1979) on four p-values: 0.01 x 4, 0.02 x 3, then the third 0.03 x 2 and 0.04 x 1, never falling."""
    assert holm([0.02, 0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.06, 0.04, 0.06])
    assert holm([]) == []


def test_the_family_wise_error_of_holm_under_true_nulls():
    generator = np.random.default_rng(0)
    wrong = np.mean([min(holm(row)) <= 0.05 for row in generator.random((4000, 5)).tolist()])
    # 1 - 0.99 ** 5 = 0.049 for independent tests; three standard errors are 0.010.
    assert wrong == pytest.approx(0.049, abs=0.011)


@given(st.floats(-3.0, 3.0), st.floats(0.0, 1.0), st.floats(0.05, 2.0), st.integers(2, 30))
def test_supported_and_contradicted_exclude_each_other(effect, smallest, error, degrees):
    """Whatever the effect: by the condition on the estimate, and by the p-values of a t-test as well."""
    p_support = float(stats.t.sf(effect / error, degrees))
    p_contradict = float(stats.t.cdf((effect - smallest) / error, degrees))
    supported = p_support <= 0.025 and effect >= smallest
    contradicted = p_contradict <= 0.025
    assert not (supported and contradicted)
    expected = "supported" if supported else "contradicted" if contradicted else "undecided"
    assert rule(effect, smallest, p_support, p_contradict, 0.05) == expected


@pytest.mark.parametrize(
    "effect, p_support, p_contradict, expected",
    [
        (1.0, 0.025, 0.9, "supported"),
        (1.0, 0.026, 0.9, "undecided"),
        (0.4, 0.001, 0.3, "undecided"),  # there is an effect, and it may be smaller than what would matter
        (0.5, 0.001, 0.5, "supported"),  # reaching is enough
        (0.1, 0.001, 0.010, "contradicted"),  # there is an effect, and it is smaller than what would matter
        (-1.0, 0.999, 0.001, "contradicted"),
        (-1.0, 0.9, 0.1, "undecided"),
        (None, 1.0, 1.0, "undecided"),
    ],
)
def test_the_rule_case_by_case(effect, p_support, p_contradict, expected):
    assert rule(effect, 0.5, p_support, p_contradict, 0.05) == expected


def test_a_p_value_that_is_no_number_supports_nothing():
    assert rule(1.0, 0.5, math.nan, math.nan, 0.05) == "undecided"
