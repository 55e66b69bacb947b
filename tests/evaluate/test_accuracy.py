"""Accuracy, calibration and memorization of a short run, against the numbers of the trainer and plain sums."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from samnesia.data.problem import Problem, SecondLabel, TensorSplit
from samnesia.evaluate.accuracy import CleanAccuracy, clean_accuracy
from samnesia.evaluate.memory import memorization
from samnesia.evaluate.predictions import Sampled, predict
from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from samnesia.train.loaded import load
from samnesia.train.log import read_result


def test_the_numbers_are_those_of_the_trainer(trained):
    for directory in trained.values():
        found, last = clean_accuracy(load(directory)), read_result(directory).last
        assert 100 * found.accuracy.value == pytest.approx(last["test_accuracy"], abs=1e-9)
        assert 100 * found.top5.value == pytest.approx(last["test_top5_accuracy"], abs=1e-9)
        assert found.loss == pytest.approx(last["test_loss"], rel=1e-5)
        assert found.calibration.nll.value == pytest.approx(found.loss, rel=1e-5)
        (memorized,) = found.memorized
        assert 100 * memorized.as_label == pytest.approx(last["flipped_fitted"], abs=1e-6)
        assert memorized.samples == 320 and memorized.agreeing == 480


def test_memorization_is_the_share_of_either_label(loaded):
    (found,) = memorization(loaded, Sampled("train", 300, seed=1))
    said = predict(loaded, Sampled("train", 300, seed=1))
    true, predicted = loaded.problem.train.clean_labels[said.rows], said.outputs.argmax(1)
    flipped = said.targets != true
    assert found.samples == flipped.sum()
    assert found.as_second == pytest.approx((predicted == true)[flipped].double().mean().item())
    assert found.agreeing_right == pytest.approx((predicted == true)[~flipped].double().mean().item())
    assert memorization(loaded, Sampled()) == ()  # test labels are right
    train = clean_accuracy(loaded, Sampled("train", 300, seed=1))
    assert train.memorized == (found,)


def test_second_labels_of_the_split_that_is_looked_at(loaded):
    split = loaded.problem.test
    marks = SecondLabel((split.labels + torch.arange(len(split)) % 2) % 10, followed="test_mark_followed")
    marked = TensorSplit(split.inputs, split.labels, second_labels=(marks,))
    found = clean_accuracy(replace(loaded, problem=replace(loaded.problem, test=marked)))
    assert [(one.second, one.split) for one in found.memorized] == [("true", "train"), ("mark", "test")]
    assert found.memorized[1].samples == len(split) // 2


def test_what_was_written_is_read_back(loaded):
    found = clean_accuracy(loaded, Sampled(count=100))
    assert CleanAccuracy.from_dict(found.as_dict()).as_dict() == found.as_dict()
    assert found.samples == 100


class Constant(nn.Module):
    """Puts out the same for every sample."""

    def __init__(self, *values):
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values))

    def forward(self, inputs):
        return self.values.expand(len(inputs), -1)


def three(labels):
    split = TensorSplit(torch.zeros(len(labels), 1, 2, 2), labels)
    return Problem(split, None, split, num_outputs=3, shape=(1, 2, 2))


def test_few_classes_have_no_top_5_and_bad_outputs_are_refused(loaded):
    labels = torch.tensor([0, 0, 1, 2])
    small = replace(loaded, problem=three(labels), model=Constant(2.0, 1.0, 0.0))
    found = clean_accuracy(small)
    assert found.top5 is None and found.accuracy.value == 0.5
    assert found.calibration.confidence.value == pytest.approx(torch.tensor([2.0, 1.0, 0.0]).softmax(0)[0].item())
    with pytest.raises(ConfigurationError, match="not finite"):
        clean_accuracy(replace(small, model=Constant(float("nan"), 1.0, 0.0)))
    with pytest.raises(UnsupportedError, match="one class index"):
        clean_accuracy(replace(small, problem=three(torch.rand(4))))
