"""Label noise under both conventions: exact counts, and uniform over the other classes or over all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samnesia.data.label_noise import flip_labels, redraw_labels
from samnesia.perturb.errors import ConfigurationError

LABELS = np.arange(200) % 10


@given(st.integers(0, 200), st.floats(0, 1), st.integers(2, 12), st.integers(0, 2**31))
def test_exact_number_moves_to_another_class(count, fraction, num_classes, seed):
    labels = np.arange(count) % num_classes
    before = labels.copy()
    flipped = flip_labels(labels, fraction, num_classes=num_classes, key=(seed,))
    assert np.count_nonzero(flipped != labels) == round(fraction * count)
    assert np.all((flipped >= 0) & (flipped < num_classes))
    assert np.array_equal(labels, before)


def test_every_other_class_is_equally_likely():
    labels = np.full(90_000, 3)
    counts = np.bincount(flip_labels(labels, 1.0, num_classes=10, key=(0,)), minlength=10)
    assert counts[3] == 0
    assert np.abs(np.delete(counts, 3) - 10_000).max() < 500  # five standard deviations


def test_which_labels_move_does_not_follow_the_order_of_the_data():
    moved = flip_labels(LABELS, 0.4, num_classes=10, key=(0,)) != LABELS
    assert 20 < np.count_nonzero(moved[:100]) < 60


def test_same_key_same_noise():
    again = [flip_labels(LABELS, 0.4, num_classes=10, key=(seed,)) for seed in (0, 0, 1)]
    assert np.array_equal(again[0], again[1])
    assert not np.array_equal(again[0], again[2])


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(fraction):
    with pytest.raises(ConfigurationError, match="a share lies between 0 and 1"):
        flip_labels(LABELS, fraction, num_classes=10, key=(0,))


def test_one_class_has_no_other():
    with pytest.raises(ConfigurationError, match="another class"):
        flip_labels(np.zeros(3, dtype=np.int64), 0.5, num_classes=1, key=(0,))


def test_redrawn_labels_are_uniform_over_all_classes():
    labels = np.full(100_000, 3)
    counts = np.bincount(redraw_labels(labels, 0.4, num_classes=10, key=(0,)), minlength=10)
    assert np.abs(np.delete(counts, 3) - 4_000).max() < 320  # five standard deviations
    assert abs(counts[3] - 64_000) < 320  # "40 %" are 36 % wrong


def test_redrawing_draws_an_exact_number():
    unknown = np.full(1000, -1)
    assert np.count_nonzero(redraw_labels(unknown, 0.4, num_classes=10, key=(0,)) >= 0) == 400
    with pytest.raises(ConfigurationError, match="a share lies between 0 and 1"):
        redraw_labels(unknown, 1.4, num_classes=10, key=(0,))


def test_both_conventions_draw_the_same_samples():
    """A study of the two compares what is done to them, not which ones were drawn."""
    flipped = flip_labels(LABELS, 0.4, num_classes=10, key=(0,)) != LABELS
    redrawn = redraw_labels(LABELS, 0.4, num_classes=10, key=(0,)) != LABELS
    assert not (redrawn & ~flipped).any()
