"""Splits in memory, and what a problem is judged on."""

import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from samnesia.data.augment import Shift
from samnesia.data.digits import digits
from samnesia.data.problem import Problem, Split, TensorSplit

INPUTS, LABELS = torch.arange(12.0).reshape(6, 1, 1, 2), torch.tensor([0, 1, 2, 0, 1, 2])


def test_samples_are_fetched_by_number_in_the_order_asked_for():
    split = TensorSplit(INPUTS, LABELS)
    inputs, labels = split.batch([4, 0, 4])
    assert torch.equal(inputs, INPUTS[[4, 0, 4]])
    assert labels.tolist() == [1, 0, 1]
    assert len(split) == 6
    assert split.clean_labels is None and not split.damaged


def test_a_batch_is_a_copy_of_the_samples():
    split = TensorSplit(INPUTS.clone(), LABELS.clone())
    inputs, labels = split.batch([0, 1])
    inputs += 100.0
    labels += 100
    assert torch.equal(split.inputs, INPUTS) and torch.equal(split.labels, LABELS)


def test_augmentation_is_of_training_alone_and_told_of_epoch_and_numbers():
    seen = []

    def augment(inputs, epoch, indices):
        seen.append((epoch, list(indices)))
        return -inputs

    split = TensorSplit(INPUTS, LABELS, augment=augment)
    assert torch.equal(split.batch([1, 2])[0], INPUTS[[1, 2]])
    assert seen == []
    assert torch.equal(split.batch([1, 2], 0)[0], -INPUTS[[1, 2]])  # epoch 0 is an epoch
    assert torch.equal(split.batch([5], 7)[0], -INPUTS[[5]])
    assert seen == [(0, [1, 2]), (7, [5])]


@given(st.lists(st.integers(0, 799), min_size=2, max_size=12, unique=True), st.integers(0, 9), st.data())
def test_how_a_sample_looks_does_not_depend_on_its_batch(indices, epoch, data):
    split = digits(0, shift=2).train
    together = split.batch(indices, epoch)[0]
    place = data.draw(st.integers(0, len(indices) - 1))
    assert torch.equal(split.batch([indices[place]], epoch)[0][0], together[place])


def test_how_a_sample_looks_changes_with_epoch_and_seed():
    looks = {tuple(digits(0, shift=3).train.batch([5], epoch)[0].flatten().tolist()) for epoch in range(20)}
    assert len(looks) > 10
    images = torch.randn(50, 1, 8, 8)
    one, other = (Shift(2, seed)(images, 0, range(50)) for seed in (0, 1))
    assert not torch.equal(one, other)


def test_generators_are_left_alone_by_augmentation():
    before = torch.get_rng_state()
    digits(0, shift=2).train.batch(range(100), 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_splits_go_to_other_processes():
    split = digits(0, flipped=0.4, shift=2).train
    other = pickle.loads(pickle.dumps(split))
    for epoch in (None, 3):
        for a, b in zip(split.batch([3, 700], epoch), other.batch([3, 700], epoch), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("validation", "test", "judged_on", "chosen_on"),
    [
        (True, True, "test", "validation"),
        (False, True, "test", "test"),
        (True, False, "validation", "validation"),
        (False, False, "train", "train"),
    ],
)
def test_what_a_problem_is_judged_and_chosen_on(validation, test, judged_on, chosen_on):
    split = TensorSplit(INPUTS, LABELS)
    problem = Problem(split, split if validation else None, split if test else None, num_outputs=3, shape=(1, 1, 2))
    assert (problem.judged_on, problem.chosen_on) == (judged_on, chosen_on)


def test_a_split_has_to_say_its_length_and_its_samples():
    class Half(Split):
        def __len__(self):
            return 3

    with pytest.raises(TypeError, match="batch"):
        Half()
