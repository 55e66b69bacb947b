"""Noise on weights: its law, that models get the same, that it leaves no trace, and that processes agree."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from samnesia.data.problem import Problem, TensorSplit
from samnesia.evaluate import noisy_weights, predictions
from samnesia.evaluate.noisy_weights import Interval, NoisyAccuracy, noisy_accuracy
from samnesia.evaluate.predictions import Sampled, predict
from samnesia.evaluate.weight_noise import LAWS, Noises, gaussian
from samnesia.measure import Subject
from samnesia.perturb.errors import ConfigurationError, UnsupportedError

SOME = Sampled(count=120, seed=1, batch_size=40)
SIZES = {"absolute": (0.02, 0.2), "filter": (0.3,)}


@pytest.fixture
def subject(loaded):
    return Subject(loaded.model, loaded.criterion, loaded.samples("test", 20))


def kept(loaded):
    return {name: value.clone() for name, value in loaded.model.state_dict().items()}


def test_noise_is_gaussian_of_its_size_by_each_law(subject):
    noise = gaussian(subject, 0, 3)
    for law, size in (("absolute", 1.0), ("element", None), ("filter", None)):
        offsets = LAWS[law].offsets(subject, noise, vectors=False)
        for name, p, e, z in zip(subject.names, subject.parameters, offsets, noise, strict=True):
            if p.ndim < 2:  # biases and BatchNorm
                assert not e.any(), name
            elif law == "filter":
                torch.testing.assert_close(e.flatten(1).norm(dim=1), p.flatten(1).norm(dim=1))
                torch.testing.assert_close(torch.cosine_similarity(e.flatten(1), z.flatten(1)), torch.ones(len(e)))
            else:
                torch.testing.assert_close(e, z if size else z * p.abs())
    large = max(noise, key=torch.numel)
    assert float(large.std()) == pytest.approx(1.0, abs=0.02) and abs(float(large.mean())) < 0.02
    both = LAWS["filter"].offsets(subject, noise, vectors=True)
    for p, e in zip(subject.parameters, both, strict=True):
        torch.testing.assert_close(e.norm(), p.norm())  # also of vectors, as one filter


def test_draws_differ_and_sizes_are_the_same_draws(subject):
    assert not torch.equal(gaussian(subject, 0, 0)[0], gaussian(subject, 0, 1)[0])
    assert not torch.equal(gaussian(subject, 0, 0)[0], gaussian(subject, 1, 0)[0])
    noises = Noises(subject, {"absolute": (1.0, 2.0)}, 2, 5, vectors=False)
    found = dict(noises.each())
    assert sorted(found) == [0, 1, 2, 3, 4] and len(noises) == 5 and found[0] is None
    torch.testing.assert_close(found[3], [2.0 * e for e in found[1]])
    torch.testing.assert_close(found[4], [2.0 * e for e in found[2]])


def test_numbers_are_those_of_a_copy_with_the_noise_in_its_weights(loaded, subject):
    found = noisy_accuracy(loaded, SOME, SIZES, draws=3, seed=2)
    assert (found.samples, found.split, found.parameters) == (120, "test", 22416)
    assert [(level.law, level.size) for level in found.levels] == [
        ("absolute", 0.02),
        ("absolute", 0.2),
        ("filter", 0.3),
    ]
    plain = predict(loaded, SOME)
    assert found.clean.accuracy.mean == pytest.approx(float((plain.outputs.argmax(1) == plain.targets).double().mean()))
    assert found.clean.loss.mean == pytest.approx(float(loaded.criterion(plain.outputs, plain.targets)), rel=1e-5)
    for level in found.levels:
        for draw in range(3):
            other = replace(loaded, model=copy.deepcopy(loaded.model))
            unit = LAWS[level.law].offsets(subject, gaussian(subject, 2, draw), vectors=False)
            with torch.no_grad():
                for p, e in zip(other.model.parameters(), unit, strict=True):
                    p.add_(level.size * e)
            seen = predict(other, SOME)
            right = (seen.outputs.argmax(1) == seen.targets).double().mean()
            assert level.accuracies[draw] == pytest.approx(float(right), abs=1e-9)
            assert level.losses[draw] == pytest.approx(float(loaded.criterion(seen.outputs, seen.targets)), rel=1e-4)


def test_more_noise_costs_more_and_the_model_is_left_as_it_was(loaded):
    before = kept(loaded)
    state = torch.get_rng_state()
    found = noisy_accuracy(loaded, SOME, {"absolute": (1e-6, 0.1, 1.0)}, draws=4, reestimate=100)
    means = [level.accuracy.mean for level in found.of_law("absolute")]
    assert means[0] == means[1] > means[2] + 0.1 and means[3] < 0.35
    assert torch.equal(state, torch.get_rng_state()) and not loaded.model.training
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_statistics_are_estimated_anew_under_each_noise_when_asked(loaded):
    kept_ones, anew = (
        noisy_accuracy(loaded, SOME, {"filter": (0.4,)}, draws=4, reestimate=many) for many in (None, 400)
    )
    assert kept_ones.normalization == "running statistics" and "re-estimated" in anew.normalization
    assert anew.levels[0].loss.mean < kept_ones.levels[0].loss.mean
    assert anew.clean.losses != kept_ones.clean.losses  # without noise as well: those of the 400


def test_blocks_and_processes_change_nothing(loaded, monkeypatch):
    whole = noisy_accuracy(loaded, SOME, SIZES, draws=2)
    monkeypatch.setattr(noisy_weights, "HELD", 1)  # a block for each batch
    assert noisy_accuracy(loaded, SOME, SIZES, draws=2) == whole
    shares = []
    gather = predictions._of_all
    for rank in (0, 1):
        monkeypatch.setattr(predictions, "place", lambda rank=rank: (rank, 2))
        monkeypatch.setattr(predictions, "_of_all", lambda own, refused: shares.extend(own) or own)
        noisy_accuracy(loaded, SOME, SIZES, draws=2)
    assert [len(batch[2]) for batch in shares] == [40, 40, 40]
    monkeypatch.setattr(predictions, "place", lambda: (0, 1))
    monkeypatch.setattr(predictions, "_of_all", lambda own, refused: gather(shares, refused))
    assert noisy_accuracy(loaded, SOME, SIZES, draws=2) == whole


def test_intervals_are_those_of_students_t_and_survive_json(loaded):
    values = np.random.default_rng(0).normal(size=7)
    found = Interval.of(values.tolist())
    low, high = stats.t.interval(0.95, 6, values.mean(), stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((values.mean(), low, high))
    assert math.isnan(Interval.of([1.0]).low) and Interval.of([1.0, math.inf]).as_dict()["mean"] is None
    whole = noisy_accuracy(loaded, SOME, SIZES, draws=2)
    assert NoisyAccuracy.from_dict(whole.as_dict()) == whole


@pytest.mark.parametrize(
    ("sizes", "draws", "reason"),
    [({"sideways": (0.1,)}, 2, "sideways"), ({"filter": (0.0,)}, 2, "size 0.0"), ({"filter": ()}, 2, "size none"),
     ({"filter": (0.1,)}, 0, "0 draws")],
)  # fmt: skip
def test_what_is_no_noise_is_refused(loaded, sizes, draws, reason):
    with pytest.raises(ConfigurationError, match=reason):
        noisy_accuracy(loaded, SOME, sizes, draws=draws)


def test_models_and_data_that_it_is_not_for_are_refused(loaded):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(10))

        def forward(self, images):
            return images.flatten(1)[:, :10] * self.scale

    with pytest.raises(UnsupportedError, match="vectors=True"):
        noisy_accuracy(replace(loaded, model=Scaled()), SOME, SIZES)
    soft = TensorSplit(loaded.problem.test.inputs[:8], torch.full((8, 10), 0.1))
    problem = Problem(soft, soft, soft, num_outputs=10, shape=(1, 8, 8))
    with pytest.raises(UnsupportedError, match="no classes"):
        noisy_accuracy(replace(loaded, problem=problem), Sampled(), SIZES)
