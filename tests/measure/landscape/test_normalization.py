"""Running averages estimated anew at each point."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader

from samnesia.measure.landscape.directions import random_direction
from samnesia.measure.landscape.lines import line
from samnesia.measure.landscape.normalization import ReestimatedStatistics
from samnesia.measure.statistics import BatchStatistics
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError
from tests.measure.landscape.subjects import convolutional, perceptron, seen
from tests.measure.test_subject import data, net


def moved(subject: Subject, offsets: tuple[torch.Tensor, ...]) -> nn.Module:
    """A copy of the model at moved weights, without dropout."""
    model = copy.deepcopy(subject.model)
    trained = [p for p in model.parameters() if p.requires_grad]
    with torch.no_grad():
        for parameter, offset in zip(trained, offsets, strict=True):
            parameter.add_(offset)
    model[4].p = 0.0
    return model


@pytest.mark.parametrize("size", [5, 11])
def test_they_are_the_average_over_the_samples_of_a_pass_at_the_moved_weights(size: int):
    subject = Subject(
        net(), nn.CrossEntropyLoss(), DataLoader(data(), size)
    )  # 22 samples: a smaller last batch, or not
    direction = random_direction(subject)
    found = line(subject, direction, span=(0.0, 1.0), points=2, statistics=ReestimatedStatistics())
    model, (inputs, targets) = moved(subject, direction.tensors), data().tensors
    mean, variance = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    for part in inputs.split(size):
        values = model[0](part).transpose(0, 1).flatten(1)
        mean += values.mean(1).detach() * len(part) / 22
        variance += values.var(1).detach() * len(part) / 22
    model[1].running_mean.copy_(mean)
    model[1].running_var.copy_(variance)
    expected = nn.functional.cross_entropy(model.eval()(inputs), targets)
    assert found.losses[1] == pytest.approx(expected.item(), rel=1e-12)
    kept = line(subject, direction, span=(0.0, 1.0), points=2)
    assert found.losses[1] != pytest.approx(kept.losses[1], rel=1e-3)
    assert "re-estimated at each point from 22 samples" in found.statistics


def test_for_batches_of_one_size_they_are_those_of_pytorchs_own_routine():
    subject = Subject(net(), nn.CrossEntropyLoss(), DataLoader(data(), 11))
    direction = random_direction(subject)
    found = line(subject, direction, span=(0.0, 1.0), points=2, statistics=ReestimatedStatistics())
    model, (inputs, targets) = moved(subject, direction.tensors), data().tensors
    update_bn(DataLoader(data(), 11), model)
    expected = nn.functional.cross_entropy(model.eval()(inputs), targets)
    assert found.losses[1] == pytest.approx(expected.item(), rel=1e-12)


def test_instance_normalization_averages_too():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.InstanceNorm1d(2, track_running_stats=True), nn.Flatten()).double()
    inputs = torch.randn(6, 1, 8, dtype=torch.float64)
    subject = Subject(model, nn.CrossEntropyLoss(), [(inputs[:3], torch.arange(3)), (inputs[3:], torch.arange(3))])
    found = line(subject, random_direction(subject), points=3, statistics=ReestimatedStatistics()).losses[1]
    by_hand = copy.deepcopy(model).eval()
    outputs = [model[0](part).detach() for part in inputs.split(3)]
    by_hand[1].running_mean.copy_(sum(o.mean(2).mean(0) for o in outputs) / 2)
    by_hand[1].running_var.copy_(sum(o.var(2).mean(0) for o in outputs) / 2)
    assert found == pytest.approx(nn.functional.cross_entropy(by_hand(inputs), torch.arange(6) % 3).item(), rel=1e-12)


def test_held_out_samples_are_normalized_by_those_of_training():
    train = convolutional()
    inputs, targets = torch.randn(8, 1, 6, 6, dtype=torch.float64), torch.arange(8) % 4
    test = Subject(train.model, nn.CrossEntropyLoss(), [(inputs, targets)])
    direction = random_direction(test)
    own, trained = (
        line(test, direction, points=3, statistics=ReestimatedStatistics(source)) for source in (None, train)
    )
    assert own.losses[1] != pytest.approx(trained.losses[1], rel=1e-3)
    assert test.products == 9 and train.products == 3
    assert "from 22 samples" in trained.statistics and "from 8 samples" in own.statistics


def test_without_such_layers_nothing_is_estimated():
    subject = seen(perceptron())
    found = line(subject, random_direction(subject), points=3, statistics=ReestimatedStatistics())
    assert subject.products == 3
    assert found.statistics == "no layer keeps statistics"


@pytest.mark.parametrize(
    ("options", "statistics", "sentence"),
    [
        ({"statistics": BatchStatistics()}, ReestimatedStatistics(), "normalize by each batch and never look at them"),
        ({}, ReestimatedStatistics(convolutional()), "a source of another model"),
    ],
)
def test_what_cannot_be_estimated_is_refused_in_a_sentence(options, statistics, sentence):
    subject = convolutional(**options)
    with pytest.raises(ConfigurationError, match=sentence):
        line(subject, random_direction(subject), points=3, statistics=statistics)


def test_a_batch_of_one_sample_has_no_variance():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    momentum = model[1].momentum
    subject = Subject(model, nn.CrossEntropyLoss(), [(torch.randn(1, 2), torch.tensor([0]))])
    with pytest.raises(ConfigurationError, match="a batch of one sample, because it has no variance"):
        line(subject, random_direction(subject), points=3, statistics=ReestimatedStatistics())
    assert model[1].momentum == momentum
