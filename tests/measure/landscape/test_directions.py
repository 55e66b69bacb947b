"""Directions: as long as the model's filters, seeded, and refused in words where they fit no model."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from samnesia.measure.landscape.directions import (
    direction_to,
    filter_normalized,
    given_direction,
    orthogonalized,
    random_direction,
)
from samnesia.measure.landscape.lines import line
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError
from tests.measure.landscape.subjects import convolutional, perceptron, seen

VECTORS = {"0.bias", "1.weight", "1.bias", "5.bias"}


def test_each_filter_has_the_norm_of_the_models_own_filter():
    subject = convolutional()
    found = random_direction(subject, seed=3).tensors
    for name, tensor, parameter in zip(subject.names, found, subject.parameters, strict=True):
        if name in VECTORS:
            assert not tensor.any()
            continue
        for direction, weight in zip(tensor, parameter.detach(), strict=True):
            assert float(direction.norm()) == pytest.approx(float(weight.norm()), rel=1e-14)
            assert abs(torch.cosine_similarity(direction.flatten(), weight.flatten(), dim=0)) < 0.99
    assert {n for n in subject.names if n not in VECTORS} == {"0.weight", "5.weight"}


def test_biases_and_normalization_layers_move_by_choice_each_as_one_vector():
    subject = convolutional()
    with torch.no_grad():
        for parameter in subject.parameters:
            parameter.add_(torch.rand_like(parameter))
    left, moved = random_direction(subject).tensors, random_direction(subject, vectors=True).tensors
    for name, a, b, parameter in zip(subject.names, left, moved, subject.parameters, strict=True):
        if name in VECTORS:
            assert float(b.norm()) == pytest.approx(float(parameter.detach().norm()), rel=1e-14)
            assert not torch.allclose(b.abs(), parameter.detach().abs())  # not the weight itself as the direction
        else:
            assert torch.equal(a, b)  # the same noise, whatever the choice


def test_normalization_layers_are_known_by_their_kind_biases_by_their_name():
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table_bias = nn.Parameter(torch.ones(2, 3))  # not one-dimensional
            self.norm = nn.LayerNorm((2, 3))  # nor are these
            self.token = nn.Parameter(torch.ones(1, 2, 3))

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return (self.norm(inputs + self.table_bias) + self.token).flatten(1)

    subject = Subject(Odd(), nn.CrossEntropyLoss(), [(torch.randn(4, 2, 3), torch.arange(4))])
    moving = {n for n, t in zip(subject.names, random_direction(subject).tensors, strict=True) if t.any()}
    assert moving == {"token"}


@pytest.mark.parametrize("vectors", [True, False])
def test_zero_filters_stay_finite(vectors: bool):
    subject = convolutional()
    with torch.no_grad():
        subject.parameters[0][1] = 0.0
        subject.parameters[1].zero_()
    noise = [torch.randn_like(p) for p in subject.parameters]
    noise[0][2], noise[4][0] = 0.0, 0.0
    found = filter_normalized(subject, noise, vectors=vectors)
    assert all(t.isfinite().all() for t in found)
    assert not found[0][1:].any() and found[0][0].any()
    assert not found[1].any() and not found[4][0].any()


def test_a_direction_is_the_one_of_its_seed_and_leaves_the_generators_alone():
    subject = convolutional()
    before = torch.get_rng_state()
    first, again, other = (random_direction(subject, seed=s).tensors for s in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert torch.equal(before, torch.get_rng_state())


def test_layers_rescaled_around_a_relu_have_the_same_line():
    model = perceptron(steps=20)
    scaled = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in scaled[0].parameters():
            parameter.mul_(8.0)
        scaled[2].weight.div_(8.0)
    lines = [line(one, random_direction(one), points=7) for one in (seen(model), seen(scaled))]
    assert lines[0].losses == pytest.approx(lines[1].losses, rel=1e-12)
    assert lines[0].length != pytest.approx(lines[1].length, rel=0.1)
    raw = [line(one, [torch.ones_like(p) for p in one.parameters], points=7) for one in (seen(model), seen(scaled))]
    assert raw[0].losses != pytest.approx(raw[1].losses, rel=0.1)


def test_orthogonalized_directions_are_orthogonal_and_as_long_as_before():
    subject = convolutional()
    a, b = random_direction(subject, seed=0), random_direction(subject, seed=1)
    tilted = [x + 5.0 * y for x, y in zip(b.tensors, a.tensors, strict=True)]
    found, weights = orthogonalized(subject, tilted, a), subject.weights
    assert abs(float(weights.cosine(found.tensors, a.tensors))) < 1e-15
    assert float(weights.norm(found.tensors)) == pytest.approx(float(weights.norm(tilted)), rel=1e-14)
    for parallel in ([3.0 * t for t in a.tensors], [0.0 * t for t in a.tensors]):
        with pytest.raises(ConfigurationError, match="parallel or one is zero"):
            orthogonalized(subject, parallel, a)


def test_the_way_to_other_weights_is_the_same_from_whatever_holds_them():
    subject, other = convolutional(), copy.deepcopy(convolutional().model)
    with torch.no_grad():
        for parameter in other.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter))
    expected = [
        dict(other.named_parameters())[n].detach() - p.detach()
        for n, p in zip(subject.names, subject.parameters, strict=True)
    ]
    wrapped = {f"module._orig_mod.{name}": value for name, value in other.state_dict().items()}
    trained = [p for p in other.parameters() if p.requires_grad]
    for given in (other, other.state_dict(), wrapped, trained):
        found = direction_to(subject, given).tensors
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_what_fits_no_model_is_refused_in_a_sentence():
    subject = convolutional()
    good = [torch.ones_like(p) for p in subject.parameters]
    with pytest.raises(ConfigurationError, match="there are 5 tensors for 6 trained parameters"):
        given_direction(subject, good[:5])
    with pytest.raises(ConfigurationError, match=r"\(3,\) stands where parameter '0.weight' has the shape"):
        line(subject, [good[1], *good[1:]])
    with pytest.raises(ConfigurationError, match="NaN or infinite"):
        line(subject, [good[0] * float("nan"), *good[1:]])
    state = subject.model.state_dict()
    with pytest.raises(ConfigurationError, match=r"they lack '0.weight'.*same architecture"):
        direction_to(subject, {name: value for name, value in state.items() if name != "0.weight"})
    with pytest.raises(ConfigurationError, match="the subject's model has no '9.weight'"):
        direction_to(subject, {**state, "9.weight": torch.ones(2)})
    with pytest.raises(ConfigurationError, match=r"\(4, 49\) stands where parameter '5.weight'"):
        direction_to(subject, {**state, "5.weight": torch.ones(4, 49)})
    with pytest.raises(ConfigurationError, match="'6.weight' is frozen in the subject's model and has another value"):
        direction_to(subject, {**state, "6.weight": state["6.weight"] + 1.0})
