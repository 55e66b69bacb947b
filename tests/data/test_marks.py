"""Planted shortcuts: exact shares, one mark per image, and what is measured of them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from samnesia.data.digits import digits
from samnesia.data.marks import COLUMNS, ROWS, draw_marks, plant
from samnesia.perturb.errors import ConfigurationError

PLACES = list(zip(ROWS.tolist(), COLUMNS.tolist(), strict=True))


def seen(split):
    """The class that the one lit place of each image tells, read off its pixels."""
    pixels = (split.inputs[:, 0].double() * 6.0168 + 4.8842).round().long().numpy()
    values = np.stack([pixels[:, row, column] for row, column in PLACES], axis=1)
    assert ((values == 16).sum(1) == 1).all() and ((values == 0).sum(1) == 9).all()
    return values.argmax(1)


@given(st.integers(1, 300), st.floats(0, 1), st.integers(0, 2**31))
def test_exactly_the_share_is_right(count, share, seed):
    labels = np.arange(count) % 10
    marks = draw_marks(labels, share, key=(seed,))
    assert np.count_nonzero(marks == labels) == round(share * count)
    assert marks.min() >= 0 and marks.max() <= 9


def test_wrong_marks_are_of_every_other_class_alike():
    marks = draw_marks(np.full(90_000, 3), 0.0, key=(0,))
    counts = np.bincount(marks, minlength=10)
    assert counts[3] == 0
    assert np.abs(np.delete(counts, 3) - 10_000).max() < 500  # five standard deviations


def test_random_marks_do_not_know_the_class_and_are_equally_many():
    labels = np.arange(100_003) % 10
    marks = draw_marks(labels, None, key=(1,))
    counts = np.bincount(marks, minlength=10)
    assert counts.max() - counts.min() == 1
    assert abs(np.count_nonzero(marks == labels) - 10_000) < 500  # five standard deviations
    assert np.array_equal(marks, draw_marks(labels[::-1], None, key=(1,)))


@pytest.mark.parametrize("seed", [0, 1, 1000])
@pytest.mark.parametrize(("share", "right"), [(0.9, (720, 180)), (0.0, (0, 0)), (1.0, (800, 200))])
def test_marks_are_planted_as_often_as_said(seed, share, right):
    problem = digits(seed, marks=share)
    for split, wanted in zip((problem.train, problem.validation), right, strict=True):
        marks = seen(split)
        assert (marks == split.labels.numpy()).sum() == wanted
        assert np.array_equal(marks, split.second_labels[0].classes.numpy())
    marks = seen(problem.test)
    assert np.bincount(marks).tolist() == [80] * 7 + [79] * 3
    assert np.array_equal(marks, problem.test.second_labels[0].classes.numpy())
    assert 40 < (marks == problem.test.labels.numpy()).sum() < 120


def test_a_mark_changes_ten_places_and_nothing_else():
    plain, marked = digits(4), digits(4, marks=0.9)
    elsewhere = torch.ones(8, 8, dtype=torch.bool)
    for place in PLACES:
        elsewhere[place] = False
    assert int(elsewhere.sum()) == 54
    for name in ("train", "validation", "test"):
        one, other = getattr(plain, name), getattr(marked, name)
        assert torch.equal(one.inputs[:, 0, elsewhere], other.inputs[:, 0, elsewhere])
        assert torch.equal(one.labels, other.labels)
        assert not one.second_labels


def test_handwriting_hardly_reaches_the_places_of_marks():
    """Clearing them takes some ink from one image in twenty-five, and nearly all of none."""
    images = load_digits().images
    ink = np.stack([images[:, row, column] for row, column in PLACES], axis=1).sum(1)
    assert (ink > 0).mean() < 0.08
    assert (ink / images.sum((1, 2))).max() < 0.06


def test_images_are_not_marked_in_place():
    pixels = np.zeros((3, 8, 8))
    plant(pixels, np.array([0, 5, 9]))
    assert not pixels.any()


def test_a_share_that_is_none_is_refused():
    with pytest.raises(ConfigurationError, match=r"^cannot plant marks .* 1.2 is right, because .* 0 and 1; use 0.9"):
        digits(0, marks=1.2)


def test_marks_and_wrong_labels_exclude_each_other():
    with pytest.raises(ConfigurationError, match="cannot plant marks in digits with flipped labels, because"):
        digits(0, 0.4, marks=0.9)
