"""Draws that do not depend on the version of NumPy, nor on each other."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from samnesia.data.draws import integers, permutation, uniforms, words

KEYS = st.tuples(st.integers(0, 2**31), st.integers(0, 4), st.integers(0, 1000))


@given(st.integers(0, 300), KEYS)
def test_permutation_holds_every_number_once(count, key):
    assert np.array_equal(np.sort(permutation(count, key=key)), np.arange(count))


@given(st.integers(1, 300), st.integers(1, 20), KEYS)
def test_integers_stay_below_their_bound(count, below, key):
    drawn = integers(count, below=below, key=key)
    assert drawn.dtype == np.int64
    assert drawn.min() >= 0
    assert drawn.max() < below


def test_key_is_all_that_decides():
    assert np.array_equal(words(5, key=(1, 2)), words(9, key=(1, 2))[:5])
    assert not np.array_equal(words(5, key=(1, 2)), words(5, key=(1, 3)))
    assert not np.array_equal(words(5, key=(1, 2)), words(5, key=(2, 2)))


def test_draws_are_those_of_every_version():
    """Frozen once: a change here changes every split and every shuffle that results were made with."""
    assert words(2, key=(0, 0)).tolist() == [11749869230777074271, 4976686463289251617]
    assert permutation(8, key=(3, 1, 4)).tolist() == [2, 5, 3, 4, 7, 6, 0, 1]
    assert integers(8, below=9, key=(3, 1, 4)).tolist() == [1, 0, 2, 8, 6, 3, 5, 5]


def test_integers_are_uniform():
    counts = np.bincount(integers(90_000, below=9, key=(7,)), minlength=9)
    assert np.abs(counts - 10_000).max() < 500  # five standard deviations


def test_uniforms_lie_in_the_unit_interval():
    drawn = uniforms(40_000, key=(3,))
    assert 0.0 <= drawn.min() and drawn.max() < 1.0
    counts = np.histogram(drawn, bins=10, range=(0, 1))[0]
    assert np.abs(counts - 4000).max() < 300  # five standard deviations
    assert uniforms(2, key=(0, 0)).tolist() == [
        word * 2.0**-53 for word in (11749869230777074271 >> 11, 4976686463289251617 >> 11)
    ]
