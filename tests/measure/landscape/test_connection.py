"""The straight way between two runs."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from samnesia.measure.landscape.connection import Barrier, connect, same_valley
from samnesia.measure.landscape.normalization import KeptStatistics
from samnesia.measure.statistics import BatchStatistics
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError
from tests.measure.landscape.subjects import classes, convolutional, perceptron, quadratic, seen
from tests.measure.test_subject import data, everything, net, same


def permuted(model: nn.Sequential) -> nn.Sequential:
    """The same function with hidden units in another order."""
    other = copy.deepcopy(model)
    order = torch.arange(len(model[0].bias)).roll(1)
    with torch.no_grad():
        other[0].weight.copy_(model[0].weight[order])
        other[0].bias.copy_(model[0].bias[order])
        other[2].weight.copy_(model[2].weight[:, order])
    return other


@pytest.mark.parametrize("options", [{}, {"statistics": KeptStatistics()}])
def test_a_model_has_no_barrier_to_itself(options):
    subject = convolutional()
    found = connect(subject, copy.deepcopy(subject.model), held_out=convolutional_held_out(subject), **options)
    for segment in found.segments.values():
        assert segment.loss_barrier == Barrier(0.0, 0.0, 0.0)
        assert segment.error_barrier == Barrier(0.0, 0.0, 0.0)
    assert found.distance == 0.0
    assert same_valley(found).same


def convolutional_held_out(subject: Subject) -> Subject:
    inputs = torch.randn(9, 1, 6, 6, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return Subject(subject.model, nn.CrossEntropyLoss(), [(inputs, torch.arange(9) % 4)])


def test_permuted_hidden_units_are_the_same_function_behind_a_barrier():
    model = perceptron(8, steps=120)
    subject, other = seen(model), permuted(model)
    inputs, _ = classes()
    torch.testing.assert_close(model(inputs), other(inputs), rtol=1e-12, atol=1e-12)
    found = connect(subject, other)
    barrier, line = found.train.loss_barrier, found.train.line
    assert line.losses[line.positions.index(0.0)] == pytest.approx(line.losses[line.positions.index(1.0)], rel=1e-9)
    assert barrier.height > 0.5 and 0.2 < barrier.position < 0.8
    verdict = same_valley(found)
    assert not verdict.same and "Not the same valley: the error rate on training samples rises" in verdict.verdict
    assert verdict.as_dict()["same_valley"] is False


def test_positions_are_zhous_and_the_two_ends():
    line = connect(quadratic([1.0], [1.0]), [torch.tensor([3.0], dtype=torch.float64)]).train.line
    grid = torch.linspace(-0.2, 1.2, 40, dtype=torch.float64).tolist()
    assert len(line.positions) == 42
    assert [t for t in line.positions if t not in (0.0, 1.0)] == pytest.approx(grid)
    assert line.losses == pytest.approx([0.5 * (1.0 + 2.0 * t) ** 2 for t in line.positions], rel=1e-13)
    eight = connect(quadratic([1.0], [1.0]), [torch.ones(1, dtype=torch.float64)], points=8).train.line
    assert len(eight.positions) == 8  # 0 and 1 are among the points already


def test_a_barrier_is_counted_from_the_line_between_the_ends_and_from_their_mean():
    places = (-0.5, 0.0, 0.25, 0.75, 1.0, 1.5)
    assert Barrier.of(places, (99.0, 1.0, 4.0, 4.5, 3.0, 99.0)) == Barrier(2.5, 0.25, 2.5)
    assert Barrier.of(places, (9.0, 1.0, 0.5, 0.7, 3.0, 9.0)) == Barrier(0.0, 0.0, 1.0)
    assert Barrier.of(places, (9.0, 1.0, 0.5, math.nan, 3.0, 9.0)) == Barrier(math.inf, 0.75, math.inf)


def test_running_statistics_are_estimated_from_training_samples_at_every_point():
    subject = Subject(net(), nn.CrossEntropyLoss(), DataLoader(data(), 11))
    held_out, other = convolutional_held_out(subject), copy.deepcopy(subject.model)
    with torch.no_grad():
        other[0].weight.add_(torch.randn_like(other[0].weight))
    before = everything(subject.model)
    found, kept = (
        connect(subject, other, held_out=held_out, points=4, **o) for o in ({}, {"statistics": KeptStatistics()})
    )
    assert same(before, everything(subject.model))
    assert found.held_out is not None and kept.held_out is not None
    half = copy.deepcopy(subject.model)
    with torch.no_grad():
        half[0].weight.lerp_(other[0].weight, found.train.line.positions[3])
    half[4].p, (inputs, targets) = 0.0, data().tensors
    torch.optim.swa_utils.update_bn(DataLoader(data(), 11), half)
    half.eval()
    expected = nn.functional.cross_entropy(half(inputs), targets).item()
    assert found.train.line.losses[3] == pytest.approx(expected, rel=1e-12)
    assert kept.train.line.losses[3] != pytest.approx(expected, rel=1e-4)
    unseen, labels = next(iter(held_out.batches()))
    assert found.held_out.line.losses[3] == pytest.approx(nn.functional.cross_entropy(half(unseen), labels).item())
    assert "from 22 samples" in found.held_out.line.statistics


def test_batch_statistics_stay_those_of_each_batch():
    subject = convolutional(statistics=BatchStatistics())
    found = connect(subject, copy.deepcopy(subject.model), points=3)
    assert found.train.line.statistics == "statistics of each batch"


def test_valleys_of_a_loss_without_classes_need_a_margin():
    found = connect(quadratic([-1.0], [-1.0]), [torch.tensor([1.0], dtype=torch.float64)], points=8)  # a hill between
    assert found.train.loss_barrier.height == pytest.approx(0.5, rel=0.05)
    with pytest.raises(ConfigurationError, match="give loss=, a margin in units of the loss"):
        same_valley(found)
    assert not same_valley(found, loss=0.1).same
    assert same_valley(found, loss=1.0).same
    assert "margin 1 in the loss" in same_valley(found, loss=1.0).verdict


def test_either_set_of_samples_can_tell_valleys_apart():
    model = perceptron(8, steps=120)
    inputs, targets = classes()
    few = Subject(model, nn.CrossEntropyLoss(), [(inputs[:1], targets[:1])])
    found = connect(few, permuted(model), held_out=seen(model))
    assert found.held_out is not None
    assert found.held_out.error_barrier is not None and found.held_out.error_barrier.instability > 0.02
    assert "on held-out samples rises" in same_valley(found).verdict
    written = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert written["held_out"]["error_barrier"]["height"] == found.held_out.error_barrier.height
    assert "training (1 samples)" in str(found) and "barrier" in str(found)


def test_what_cannot_be_connected_is_refused_in_a_sentence():
    subject = seen(perceptron())
    with pytest.raises(ConfigurationError, match="stands where parameter"):
        connect(subject, perceptron(7))
    with pytest.raises(ConfigurationError, match="they lack '0.weight'"):
        connect(subject, {"model": perceptron().state_dict()})
    with pytest.raises(ConfigurationError, match="held-out samples with a subject of another model"):
        connect(subject, perceptron(), held_out=seen(perceptron()))
    with pytest.raises(ConfigurationError, match="has to hold both ends"):
        connect(subject, perceptron(), span=(0.1, 1.2))
    with pytest.raises(ConfigurationError, match="points=1"):
        connect(subject, perceptron(), points=1)
    far = [torch.full_like(p, 1e200) for p in subject.parameters]
    with pytest.raises(ConfigurationError, match="one has a loss that is not finite"):
        connect(subject, far)
