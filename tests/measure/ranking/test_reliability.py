"""Split-half reliability: known truths, seeds that move all cells, and what one seed can say."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samnesia.measure.ranking.reliability import split_half, stepped
from samnesia.perturb.errors import ConfigurationError


def planted(cells, seeds, share, seed=0):
    """Values, cell and seed of each run; ``share`` of the variance is the cells'."""
    generator = np.random.default_rng(seed)
    values = math.sqrt(share) * generator.normal(size=(cells, 1))
    values = values + math.sqrt(1 - share) * generator.normal(size=(cells, seeds))
    cell, number = np.indices((cells, seeds))
    return values.reshape(-1), cell.reshape(-1), number.reshape(-1)


@pytest.mark.parametrize("seeds, share", [(2, 0.5), (5, 0.8), (10, 0.3)])
def test_it_recovers_a_planted_reliability(seeds, share):
    """The mean over k seeds has the reliability k r / (1 + (k - 1) r), r being that of one run."""
    found = split_half(*planted(2000, seeds, share), resamples=50, splits=50)
    assert found.value == pytest.approx(seeds * share / (1 + (seeds - 1) * share), abs=0.03)
    assert found.single == pytest.approx(share, abs=0.04)
    assert found.low < found.value < found.high
    assert (found.cells, found.seeds, found.reason) == (2000, seeds, None)


def test_it_equals_the_definition_over_all_splits():
    """Four seeds have three splits into halves; drawing many is nearly taking the mean over them."""
    values, cell, number = planted(10, 4, 0.6)
    table = values.reshape(10, 4)
    splits = [set(half) for half in itertools.combinations(range(4), 2)]
    correlations = [
        np.corrcoef(table[:, sorted(half)].mean(axis=1), table[:, sorted({*range(4)} - half)].mean(axis=1))[0, 1]
        for half in splits
    ]
    found = split_half(values, cell, number, splits=2000, resamples=20)
    assert found.halves == pytest.approx(np.mean(correlations), abs=0.02)
    assert found.value == pytest.approx(2 * found.halves / (1 + found.halves))


def test_its_interval_covers():
    hits = 0
    for trial in range(150):
        found = split_half(*planted(12, 4, 0.5, seed=trial), resamples=200, splits=30)
        hits += found.low <= 0.8 <= found.high
    # Nominal 0.95; three standard errors of 150 trials are 0.053.
    assert hits / 150 >= 0.897


def test_a_seed_that_moves_all_cells_is_no_disagreement():
    values, cell, number = planted(12, 4, 0.7)
    moved = values + np.array([0.0, 100.0, -30.0, 7.0])[number]
    one, other = split_half(values, cell, number), split_half(moved, cell, number)
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))


def test_pure_noise_is_not_reliable():
    found = split_half(*planted(40, 6, 0.0))
    assert found.low < 0.0 < found.high


def test_one_seed_does_not_tell():
    found = split_half(*planted(12, 1, 0.9))
    assert found.value is found.low is found.single is None
    assert "one seed does not show" in found.reason


def test_few_cells_have_a_value_without_interval_and_two_have_none():
    found = split_half(*planted(4, 4, 0.9))
    assert found.value is not None and found.low is None and "4 design cells are too few" in found.reason
    assert split_half(*planted(2, 4, 0.9)).value is None


def test_equal_cells_have_no_reliability_and_equal_seeds_have_all_of_it():
    cell, number = (index.reshape(-1) for index in np.indices((8, 4)))
    assert split_half(np.ones(32), cell, number).reason == "the measure is the same in all design cells"
    assert split_half(1e6 + 1e-3 * number, cell, number).value is None
    found = split_half(cell.astype(float), cell, number)
    assert found.value == pytest.approx(1.0) and found.low is None and found.reason is not None


def test_missing_runs_leave_what_can_be_split():
    values, cell, number = planted(12, 6, 0.8)
    keep = ~((cell == 3) & (number > 0)) & ~((cell == 5) & (number == 2))
    found = split_half(values[keep], cell[keep], number[keep])
    assert found.cells == 11  # the cell with one seed has no second half
    assert found.value == pytest.approx(split_half(values, cell, number).value, abs=0.15)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_no_numbers_are_refused(bad):
    with pytest.raises(ConfigurationError, match="cannot split runs into halves, because"):
        split_half([1.0, bad], [0, 0], [0, 1])


def test_two_runs_of_one_cell_and_seed_are_refused():
    with pytest.raises(ConfigurationError, match="two runs of one cell and seed"):
        split_half([1.0, 2.0], [0, 0], [1, 1])


@given(st.floats(0.01, 1.0), st.floats(1.0, 20.0), st.floats(1.0, 20.0))
def test_steps_add_up(correlation, one, other):
    """Three times as many and then twice as many are six times as many; 1/m times goes back."""
    assert stepped(stepped(correlation, one), other) == pytest.approx(stepped(correlation, one * other))
    assert stepped(stepped(correlation, one), 1 / one) == pytest.approx(correlation)
    assert correlation <= stepped(correlation, one) + 1e-12 <= 1.0 + 2e-12
    assert stepped(-correlation, one) == -correlation
