"""A user's own data sets as splits: samples that depend on (seed, epoch, index) alone, and refusals in words."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from samnesia.data.datasets import DatasetSplit, as_problem
from samnesia.data.problem import Problem, TensorSplit
from samnesia.perturb.errors import ConfigurationError


class Noisy(Dataset):
    """Draws from all three generators."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        drawn = torch.stack([torch.rand(()), torch.tensor(random.random()), torch.tensor(np.random.rand())])
        return {"x": index + drawn, "mask": torch.ones(2, dtype=torch.bool)}, index


def pairs(count=6):
    return TensorDataset(torch.arange(float(count))[:, None], torch.arange(count))


def problem(found, **options):
    return as_problem(found, **{"seed": 0, "num_outputs": 3, "where": "own:load", **options})


def test_a_sample_is_a_function_of_seed_epoch_and_index_alone():
    split = DatasetSplit(Noisy(), seed=3)
    whole, targets = split.batch(range(10), epoch=2)
    random.seed(99)
    again = torch.cat([split.batch([index], epoch=2)[0]["x"] for index in (9, 4)])
    assert targets.tolist() == list(range(10))
    assert whole["mask"].shape == (10, 2)
    assert torch.equal(again, whole["x"][[9, 4]])


def test_seed_and_epoch_draw_anew_and_evaluation_does_not():
    def of(seed, epoch):
        return DatasetSplit(Noisy(), seed).batch(range(10), epoch)[0]["x"]

    seen = [of(0, 0), of(0, 1), of(1, 0), of(0, None)]
    for place, one in enumerate(seen):
        assert all(not torch.equal(one, other) for other in seen[:place])
    assert torch.equal(of(0, None), of(0, None))


def test_the_global_generators_are_left_as_they_were():
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    DatasetSplit(Noisy(), seed=3).batch([1, 2], epoch=0)
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize("given", [(pairs(), None, pairs(2)), {"train": pairs(), "test": pairs(2)}])
def test_data_sets_become_a_problem(given):
    made = problem(given)
    assert (len(made.train), made.validation, len(made.test)) == (6, None, 2)
    assert (made.num_outputs, made.shape) == (3, (1,))
    assert (made.judged_on, made.chosen_on) == ("test", "test")


def test_the_shape_of_several_inputs_is_that_of_the_first():
    assert problem((Noisy(),)).shape == (3,)


def test_a_problem_and_splits_stay_as_they_are():
    split = TensorSplit(torch.zeros(4, 2), torch.zeros(4))
    given = Problem(split, None, None, num_outputs=1, shape=(2,))
    assert problem(given, num_outputs=None) is given
    assert problem((split, pairs())).train is split


class NoPairs(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return torch.zeros(1)


class Ragged(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return torch.zeros(1 + index), 0


class Endless(IterableDataset):
    def __iter__(self):
        yield 0


@pytest.mark.parametrize(
    ("given", "options", "sentence"),
    [
        (None, {}, "cannot use the NoneType that own:load returned"),
        ([pairs()], {}, "cannot use the list that"),
        ((None, pairs()), {}, "cannot use the tuple that"),
        ((pairs(),) * 4, {}, "cannot use the tuple that"),
        ({"train": pairs(), "dev": pairs()}, {}, "cannot use the dict that"),
        ((pairs(), pairs(0)), {}, "cannot use the validation data of own:load, because there is no sample in them"),
        ((Endless(),), {}, r"requires len\(\) and \[index\], and Endless lacks them"),
        ((NoPairs(),), {}, "the first is a Tensor"),
        ((pairs(),), {"num_outputs": None}, "give OwnData a num_outputs"),
        (Problem(None, None, None, num_outputs=4, shape=()), {}, "cannot use 3 outputs .* its problem says 4"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(given, options, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        problem(given, **options)


def test_samples_of_several_shapes_are_refused_in_words():
    with pytest.raises(ConfigurationError, match="tensors of one shape for all samples .* pad them in the data set"):
        problem((Ragged(),)).train.batch([0, 1])
