"""Whole units are drawn, p-values and intervals belong together, and degenerate runs have a reason and no number."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from samnesia.measure.ranking.kendall import Comparisons, Contrast, granulated_tau, joint, kendall_tau, tau_of
from samnesia.measure.ranking.resampling import (
    FISHER,
    PLAIN,
    cluster_bootstrap,
    draw_units,
    merged,
    permutation_null,
    strata_of,
)


def planted(cells, seeds, correlation=0.0, seed=0, seed_spread=1.0):
    """x, y, cell and seed of each run: cell effects, seed effects and noise."""
    generator = np.random.default_rng(seed)
    root = np.linalg.cholesky([[1.0, correlation], [correlation, 1.0]])
    runs = 2 * (root @ generator.normal(size=(2, cells)))[:, :, None] + generator.normal(size=(2, cells, seeds))
    runs = runs + seed_spread * generator.normal(size=(2, 1, seeds))
    cell, number = np.indices((cells, seeds))
    return *runs.reshape(2, -1), cell.reshape(-1), number.reshape(-1)


def resampled(cells=12, seeds=3, correlation=0.5, seed=0, **options):
    x, y, cell, number = planted(cells, seeds, correlation, seed)
    return cluster_bootstrap(tau_of(Comparisons.of(cell, number), x, y), [0] * cells, **options)


def test_the_standard_error_is_that_over_resamples_of_whole_cells():
    x, y, cell, number = planted(8, 3, 0.5)
    found = cluster_bootstrap(tau_of(Comparisons.of(cell, number), x, y), [0] * 8, resamples=200, seed=5)
    drawn = []
    for weights in draw_units([0] * 8, 200, np.random.default_rng(5)).astype(int):
        assert weights.sum() == 8
        copies = np.repeat(np.arange(8), weights)
        agree = untied = 0
        for one, other in itertools.combinations(copies, 2):
            if one != other:
                for s in range(3):
                    i, j = one * 3 + s, other * 3 + s
                    agree += np.sign(x[i] - x[j]) * np.sign(y[i] - y[j])
                    untied += 1
        drawn.append(agree / untied)
    assert found.value == pytest.approx(granulated_tau(x, y, number))
    assert found.error == pytest.approx(np.std(drawn, ddof=1))
    assert found.degrees == 7


def test_the_interval_is_students_on_fishers_scale():
    found = resampled()
    half = stats.t.ppf(0.975, 11) * found.error / (1 - found.value**2)
    expected = np.tanh(np.arctanh(found.value) + np.array([-half, half]))
    assert found.interval() == pytest.approx(tuple(expected))
    assert found.interval(0.99)[0] < found.interval(0.9)[0] < found.value < found.interval(0.9)[1] < 1.0


@pytest.mark.parametrize("seed", range(8))
def test_p_values_and_interval_are_one_test(seed):
    found = resampled(seed=seed, correlation=0.6)
    low, high = found.interval(0.95)
    assert found.p_at_most(low) == pytest.approx(0.025)
    assert found.p_at_least(high) == pytest.approx(0.025)
    assert (found.p_at_most(0.0) <= 0.025) == (low >= 0.0)
    for null in (-0.5, 0.0, 0.3, found.value):
        assert found.p_at_most(null) + found.p_at_least(null) == pytest.approx(1.0)
    assert found.p_at_most(found.value) == pytest.approx(0.5)


def test_the_same_seed_gives_the_same_figures():
    assert resampled(seed=1) == resampled(seed=1)
    x, y, cell, number = planted(12, 3, 0.5)
    statistic = tau_of(Comparisons.of(cell, number), x, y)
    one, other = (cluster_bootstrap(statistic, [0] * 12, seed=seed).error for seed in (1, 2))
    assert one != other
    assert one == pytest.approx(other, rel=0.1)


def test_a_difference_of_taus_is_paired():
    """Of two measures that are nearly one, the difference is known far better than either tau."""
    x, y, cell, number = planted(20, 3, 0.6)
    twin = x + 0.01 * np.random.default_rng(0).normal(size=len(x))
    comparisons = Comparisons.of(cell, number)
    one, other = (tau_of(comparisons, measure, y) for measure in (x, twin))
    both = cluster_bootstrap(Contrast(one, other), [0] * 20, scale=PLAIN)
    assert both.error < 0.05 * cluster_bootstrap(one, [0] * 20).error
    low, high = both.interval()
    assert low == pytest.approx(both.value - stats.t.ppf(0.975, 19) * both.error)
    assert high - both.value == pytest.approx(both.value - low)


def test_a_seed_that_moves_all_runs_changes_nothing():
    x, y, cell, number = planted(12, 4, 0.3)
    shift = np.array([0.0, 10.0, -20.0, 300.0])[number]
    comparisons = Comparisons.of(cell, number)
    found = [cluster_bootstrap(tau_of(comparisons, x + one, y + other), [0] * 12)
             for one, other in ((0.0, 0.0), (shift, shift), (shift, -shift))]  # fmt: skip
    assert found[0] == found[1] == found[2]


def test_a_covariate_costs_a_degree_of_freedom():
    assert resampled(covariates=1).degrees == resampled().degrees - 1


def constant(x, y):
    return np.ones_like(x), y


def perfect(x, y):
    return y, y


def missing(x, y):
    return np.where(np.arange(len(x)) == 3, math.nan, x), y


def one_cell_differs(x, y):
    return (np.arange(len(x)) < 3).astype(float), y


@pytest.mark.parametrize(
    "cells, change, value, reason",
    [
        (5, lambda x, y: (x, y), True, "5 design cells are too few"),
        (12, constant, False, "no pair of runs that may be compared differs"),
        (12, missing, False, "no pair of runs that may be compared differs"),
        (12, perfect, True, "the same whichever design cells are drawn"),
        (12, one_cell_differs, True, "too few design cells differ"),
    ],
)
def test_degenerate_runs_have_a_reason_and_no_interval(cells, change, value, reason):
    x, y, cell, number = planted(cells, 3, 0.5)
    found = cluster_bootstrap(tau_of(Comparisons.of(cell, number), *change(x, y)), [0] * cells)
    assert (found.value is not None) == value
    assert reason in found.reason
    assert found.error is found.interval() is found.p_at_most(0.0) is found.p_at_least(0.0) is None


def test_no_run_at_all_has_a_reason_too():
    empty = np.zeros(0)
    statistic = tau_of(Comparisons.of(empty, empty), empty, empty)
    assert cluster_bootstrap(statistic, []).reason == "there is no run"
    assert permutation_null(empty, empty, empty, empty).reason is not None


def test_a_measure_against_itself_is_no_difference():
    x, y, cell, number = planted(12, 3)
    one = tau_of(Comparisons.of(cell, number), x, y)
    found = cluster_bootstrap(Contrast(one, one), [0] * 12, scale=PLAIN)
    assert found.value == 0.0 and found.interval() is None


def test_units_of_a_stratum_are_drawn_among_themselves():
    strata = ["a", "a", "b", "a", "b", "c"]
    weights = draw_units(strata, 500, np.random.default_rng(0))
    assert np.all(weights[:, [0, 1, 3]].sum(axis=1) == 3)
    assert np.all(weights[:, [2, 4]].sum(axis=1) == 2)
    assert np.all(weights[:, 5] == 1)
    assert weights.mean(axis=0) == pytest.approx(np.ones(6), abs=0.15)


def test_strata_are_units_that_are_compared_directly_or_over_others():
    units = ["a", "a", "b", "b", "c", "d"]
    groups = [1, 2, 2, 3, 3, 4]
    strata = strata_of(units, groups)
    assert strata[0] == strata[1] == strata[2] != strata[3]
    assert merged(["a", "b", "c"], ["one", "one", "two"]).tolist() == [0, 0, 1]


def test_units_in_strata_of_one_are_never_compared_and_do_not_count():
    x, y, cell, _ = planted(12, 1)
    found = cluster_bootstrap(tau_of(Comparisons.of(cell, cell // 2), x, y), (cell // 2).tolist())
    assert found.degrees == 6 and found.error is not None
    lonely = cluster_bootstrap(
        tau_of(Comparisons.of(cell, np.maximum(cell, 4)), x, y), np.maximum(cell - 4, 0).tolist()
    )
    assert "5 design cells are too few" in lonely.reason


def test_permutations_equal_enumeration():
    """Six units, 720 orders: the share of those with a tau as large."""
    x, y, cell, number = planted(6, 2, 0.8, seed=3)
    observed = granulated_tau(x, y, number)
    by_unit = x.reshape(6, 2)
    taus = np.array([granulated_tau(by_unit[list(p)].reshape(-1), y, number) for p in itertools.permutations(range(6))])
    found = permutation_null(x, y, cell, number, resamples=4000)
    assert found.value == pytest.approx(observed)
    # Three standard errors of a share in 4,000 permutations are at most 0.024.
    assert found.p_at_most == pytest.approx((taus >= observed - 1e-12).mean(), abs=0.024)
    assert found.p_at_least == pytest.approx((taus <= observed + 1e-12).mean(), abs=0.024)


def test_permuted_units_take_their_seeds_along():
    """However much seeds move both measures, within a seed nothing changes: not the tau, and not its null."""
    x, y, cell, number = planted(8, 3)
    shift = np.array([0.0, 50.0, -80.0])[number]
    assert permutation_null(x, y, cell, number) == permutation_null(x + shift, y + shift, cell, number)


def test_permuting_single_runs_would_reject_where_permuting_cells_does_not():
    """Ten seeds of six cells whose x and y have nothing in common: 60 runs look like a relation, six cells do not."""
    rejected = {"cells": 0, "runs": 0}
    for trial in range(100):
        x, y, cell, number = planted(6, 10, seed=trial, seed_spread=0.0)
        rejected["cells"] += permutation_null(x, y, cell, number, resamples=99).p_at_most <= 0.05
        rejected["runs"] += kendall_tau(x, y) > 0 and stats.kendalltau(x, y).pvalue / 2 <= 0.05
    assert rejected["cells"] <= 12  # 5 expected; 12 has a chance of 0.2 %
    assert rejected["runs"] >= 20


def test_only_units_with_runs_in_the_same_groups_change_places():
    x, y, cell, number = planted(6, 2)
    problem = cell // 3
    kept = permutation_null(y, y, cell, joint(problem, number))
    assert kept.p_at_most == pytest.approx(1 / 36, abs=0.011)  # two problems of three cells: 36 orders, one as good
    assert "no two design cells have runs of the same" in permutation_null(x, y, cell, joint(cell // 2, cell)).reason
    fixed = permutation_null(x[:4], y[:4], [0, 0, 1, 2], [0, 1, 0, 1])
    assert fixed.p_at_most is None and "no two design cells have runs of the same" in fixed.reason


def test_a_perfect_order_of_eight_cells_is_beyond_chance():
    x, _, cell, number = planted(8, 3)
    found = permutation_null(x, x, cell, number)
    assert found.value == 1.0
    assert found.p_at_most <= 0.001
    assert found.p_at_least == 1.0


def test_fishers_scale_is_odd_and_ends_at_one():
    assert FISHER.forward(1.0) == math.inf and FISHER.forward(-1.0) == -math.inf
    assert FISHER.back(FISHER.forward(0.3)) == pytest.approx(0.3)
