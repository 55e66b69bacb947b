"""Taus equal SciPy's and slow ones, depend on the order alone, and count copies of a unit as what they are."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from samnesia.measure.ranking.kendall import (
    Comparisons,
    Concordance,
    Contrast,
    Partial,
    encode,
    granulated_tau,
    joint,
    kendall_partial_tau,
    kendall_tau,
    mean_group_tau,
    partial_tau,
    psi,
    tau_of,
)
from samnesia.perturb.errors import ConfigurationError

# Few distinct values, so that there are ties.
run = st.tuples(st.integers(-4, 4), st.integers(-4, 4), st.integers(-4, 4), st.integers(0, 2), st.integers(0, 3))
runs = st.lists(run, min_size=2, max_size=16).map(lambda rows: np.array(rows, dtype=float).T)


def slow_tau(x, y, pairs):
    """Tau-b by its definition, over these pairs."""
    agree = one = other = 0
    for i, j in pairs:
        agree += np.sign(x[i] - x[j]) * np.sign(y[i] - y[j])
        one += x[i] != x[j]
        other += y[i] != y[j]
    return agree / math.sqrt(one * other) if one and other else math.nan


def pairs_within(groups):
    return [(i, j) for i, j in itertools.combinations(range(len(groups)), 2) if groups[i] == groups[j]]


def same(value, expected):
    return value == pytest.approx(expected, abs=1e-12, nan_ok=True)


@given(runs)
def test_tau_equals_scipy_and_the_definition(columns):
    x, y, _, groups, _ = columns
    everything = list(itertools.combinations(range(len(x)), 2))
    assert same(kendall_tau(x, y), slow_tau(x, y, everything))
    assert same(granulated_tau(x, y, np.zeros(len(x))), kendall_tau(x, y))
    assert same(granulated_tau(x, y, groups), slow_tau(x, y, pairs_within(groups)))


@given(runs)
def test_the_mean_over_groups_leaves_out_groups_without_order(columns):
    x, y, _, groups, _ = columns
    taus = [stats.kendalltau(x[groups == g], y[groups == g]).statistic for g in set(groups) if (groups == g).sum() > 1]
    there = [tau for tau in taus if not math.isnan(tau)]
    assert same(mean_group_tau(x, y, groups), np.mean(there) if there else math.nan)


def test_both_forms_agree_where_groups_are_of_one_size_and_nothing_is_tied():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 30))
    groups = np.arange(30) % 5
    assert granulated_tau(x, y, groups) == pytest.approx(mean_group_tau(x, y, groups))


@given(runs, st.sampled_from([lambda v: 3 * v + 1, lambda v: v**3, np.exp, lambda v: np.arctan(v)]))
def test_only_the_order_matters(columns, monotone):
    x, y, z, groups, _ = columns
    assert same(granulated_tau(monotone(x), y, groups), granulated_tau(x, y, groups))
    for partial in (partial_tau, kendall_partial_tau):
        assert same(partial(monotone(x), y, monotone(z), groups), partial(x, y, z, groups))


@given(runs)
def test_turning_one_measure_around_turns_the_sign(columns):
    x, y, z, groups, _ = columns
    assert same(granulated_tau(-x, y, groups), -granulated_tau(x, y, groups))
    assert same(granulated_tau(y, x, groups), granulated_tau(x, y, groups))
    for partial in (partial_tau, kendall_partial_tau):
        assert same(partial(-x, y, z, groups), -partial(x, y, z, groups))
        assert same(partial(x, y, -z, groups), partial(x, y, z, groups))
        assert same(partial(y, x, z, groups), partial(x, y, z, groups))


@given(runs, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(columns, random):
    order = list(range(columns.shape[1]))
    random.shuffle(order)
    x, y, _, groups, _ = columns
    shuffled = columns[:, order]
    assert same(granulated_tau(shuffled[0], shuffled[1], shuffled[3]), granulated_tau(x, y, groups))


@given(runs)
def test_partial_taus_equal_their_formulas(columns):
    x, y, z, groups, _ = columns
    xy, xz, yz = (slow_tau(one, other, pairs_within(groups)) for one, other in ((x, y), (x, z), (y, z)))

    def formula(a, b, c):
        left = (1 - b * b) * (1 - c * c)
        return max(-1.0, min(1.0, (a - b * c) / math.sqrt(left))) if left > 1e-12 else math.nan

    assert same(kendall_partial_tau(x, y, z, groups), formula(xy, xz, yz))
    here = pairs_within(groups)
    if here and np.mean([z[i] == z[j] for i, j in here]) >= 0.05:
        expected = slow_tau(x, y, [(i, j) for i, j in here if z[i] == z[j]])
    else:
        r = formula(*(math.sin(math.pi / 2 * tau) for tau in (xy, xz, yz)))
        expected = 2 / math.pi * math.asin(r)
    # Near an end of the range the arc sine has no slope, and rounding shows.
    assert partial_tau(x, y, z, groups) == pytest.approx(expected, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("levels", [2, 3, 5])
def test_partial_tau_given_few_values_is_zero_where_only_these_connect(levels):
    generator = np.random.default_rng(5)
    z = np.arange(600) % levels
    x, y = 2.0 * z + generator.normal(size=(2, 600))
    assert kendall_tau(x, y) > 0.3
    assert partial_tau(x, y, z) == pytest.approx(0.0, abs=0.07)


def test_partial_tau_is_zero_where_only_the_covariate_connects_and_kendalls_is_not():
    """Population values: 0, and (0.326 - 0.494 ** 2) / (1 - 0.494 ** 2) = 0.109; the error of a tau is about 0.02."""
    generator = np.random.default_rng(1)
    z = generator.normal(size=1500)
    x, y = 0.7 * z + math.sqrt(0.51) * generator.normal(size=(2, 1500))
    assert partial_tau(x, y, z) == pytest.approx(0.0, abs=0.05)
    assert kendall_partial_tau(x, y, z) == pytest.approx(0.109, abs=0.05)


def test_partial_tau_finds_what_the_covariate_hides():
    generator = np.random.default_rng(2)
    z, common = generator.normal(size=(2, 1500))
    x = 2 * z + common
    y = -2 * z + common
    assert kendall_tau(x, y) < -0.3
    assert partial_tau(x, y, z) > 0.8


def test_nothing_is_left_when_the_covariate_orders_as_the_measure_does():
    x, y = [1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 4.0]
    assert math.isnan(partial_tau(x, y, x))
    assert math.isnan(partial_tau([1.0, 1.0, 2.0, 2.0], [1.0, 3.0, 2.0, 4.0], [1.0, 1.0, 2.0, 2.0]))
    assert math.isnan(kendall_partial_tau(x, y, [-value for value in x]))


@given(runs, st.data())
def test_weights_count_units_as_often_as_they_are_drawn_without_pairs_of_copies(columns, data):
    x, y, z, groups, units = columns
    codes = encode(units)
    count = int(codes.max()) + 1
    weights = data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    copies = [(row, copy) for row in range(len(x)) for copy in range(weights[codes[row]])]
    pairs = [
        (i, j)
        for (i, a), (j, b) in itertools.combinations(copies, 2)
        if groups[i] == groups[j] and (codes[i] != codes[j] or a == b)
    ]
    comparisons = Comparisons.of(units, groups)
    drawn = np.array([weights], dtype=float)
    assert same(Concordance.of(comparisons, x, y)(drawn)[0], slow_tau(x, y, pairs))
    contrast = Contrast(tau_of(comparisons, x, y), tau_of(comparisons, z, y), (1, -1))
    assert same(contrast(drawn)[0], slow_tau(x, y, pairs) + slow_tau(z, y, pairs))


def test_the_trap_that_copies_of_a_cell_are_ties():
    """Copying rows and taking tau-b of them is another number: each pair of copies is a tie in x, in y, or in both."""
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 4.0])
    weights = np.array([[2.0, 2.0, 1.0, 1.0]])
    copied = np.repeat(np.arange(4), weights[0].astype(int))
    ours = Concordance.of(Comparisons.of(np.arange(4), np.zeros(4)), x, y)(weights)[0]
    assert ours == pytest.approx((13 - 2 * 2) / 13)  # of 13 pairs of different units, two disagree
    tau_a_of_copies = np.mean([np.sign((x[i] - x[j]) * (y[i] - y[j])) for i, j in itertools.combinations(copied, 2)])
    assert tau_a_of_copies < ours


def test_partial_of_weights_is_the_formula_of_the_taus_of_weights():
    generator = np.random.default_rng(3)
    x, y, z = generator.normal(size=(3, 20))
    comparisons = Comparisons.of(np.arange(20) // 2, np.arange(20) % 2)
    weights = generator.integers(0, 3, (5, 10)).astype(float)
    parts = [Concordance.of(comparisons, one, other) for one, other in ((x, y), (x, z), (y, z))]
    assert tau_of(comparisons, x, y, z)(weights) == pytest.approx(Partial(*parts)(weights))


def test_psi_equals_its_definition():
    generator = np.random.default_rng(4)
    levels = np.array(list(itertools.product("ab", "cde", "fg", range(2))))
    x, y = generator.normal(size=(2, len(levels)))
    factors = {"one": levels[:, 0], "two": levels[:, 1], "three": levels[:, 2]}
    expected = {}
    for axis, name in enumerate(factors):
        groups = {}
        for row, levels_of_row in enumerate(levels):
            groups.setdefault(tuple(np.delete(levels_of_row, axis)), []).append(row)
        expected[name] = np.mean([stats.kendalltau(x[rows], y[rows]).statistic for rows in groups.values()])
    total, parts = psi(x, y, factors, blocks=levels[:, 3])
    assert parts == pytest.approx(expected)
    assert total == pytest.approx(np.mean(list(expected.values())))
    alone, _ = psi(x, y, {"all": np.arange(len(x))})
    assert alone == pytest.approx(kendall_tau(x, y))


@pytest.mark.parametrize("x", [[], [1.0], [1.0, 1.0, 1.0], [1.0, math.nan, 2.0], [1.0, math.inf, 2.0]])
def test_what_has_no_order_has_no_tau(x):
    y = np.arange(len(x))
    assert math.isnan(kendall_tau(x, y))
    assert math.isnan(granulated_tau(x, y, [0] * len(x)))
    assert math.isnan(partial_tau(x, y, y))


def test_groups_without_a_pair_have_no_tau():
    assert math.isnan(granulated_tau([1, 2, 3], [1, 2, 3], ["a", "b", "c"]))
    assert math.isnan(psi([1, 2, 3], [1, 2, 3], {"one": [0, 0, 0], "two": [0, 1, 2]})[1]["one"])


def test_columns_of_different_length_are_refused():
    with pytest.raises(ConfigurationError, match="cannot rank runs with 3, 2 values, because"):
        kendall_tau([1, 2, 3], [1, 2])
    with pytest.raises(ConfigurationError, match="cannot rank runs"):
        granulated_tau([1, 2, 3], [1, 2, 3], [0, 0])


def test_labels_may_be_anything_hashable():
    assert encode(["b", "a", "b"]).tolist() == [0, 1, 0]
    assert joint(["a", "b"], np.array([1, 2])) == [("a", 1), ("b", 2)]
