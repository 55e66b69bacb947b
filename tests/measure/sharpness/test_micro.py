"""m-sharpness: each m samples climb by themselves."""

from __future__ import annotations

import json
import math

import pytest
import torch

import samnesia
from samnesia.measure import BatchStatistics, Subject, m_sharpness, worst_case
from samnesia.measure.sharpness.micro import micro_batches
from samnesia.perturb.errors import ConfigurationError
from tests.measure.sharpness.surfaces import BALLS, cut, images, network, pair_of_layers, points, two_weights
from tests.measure.sharpness.test_worst import Cliff, mean_of
from tests.measure.test_subject import everything, same

every_ball = pytest.mark.parametrize("ball", BALLS.values(), ids=BALLS)


def rise_of(x, y, ball, rho):
    """SAM's step on some samples, by hand."""
    subject = Subject(pair_of_layers(), torch.nn.CrossEntropyLoss(), [(x, y)])
    before = subject.loss()
    with subject.at([rho * e for e in ball.steepest(subject.weights, subject.gradient()).values()]):
        return subject.loss() - before


@every_ball
def test_with_all_samples_and_one_step_it_is_the_rise_of_one_step(ball):
    whole = worst_case(network(), 0.05, ball, steps=1, restarts=0)
    for size in (24, 8, 5):
        found = m_sharpness(network(size=size), 0.05, 24, ball)
        assert found.value == pytest.approx(whole.value, rel=1e-10)
        assert found.loss == pytest.approx(whole.loss, rel=1e-12)
        assert found.size == pytest.approx(whole.size, rel=1e-10)


@every_ball
@pytest.mark.parametrize(("m", "size"), [(4, 8), (3, 8), (5, 24), (10, 4)])
def test_it_is_the_mean_over_micro_batches_that_climb_alone(m: int, size: int, ball):
    x, y = images()
    rises = torch.tensor(
        [rise_of(x[i : i + m], y[i : i + m], ball, 0.1) for i in range(0, 24 - m + 1, m)], dtype=torch.float64
    )
    found = m_sharpness(network(size=size), 0.1, m, ball)
    assert found.values == pytest.approx(rises.tolist(), rel=1e-9)
    assert found.value == pytest.approx(float(rises.mean()), rel=1e-9)
    assert found.error == pytest.approx(float(rises.std() / math.sqrt(len(rises))), rel=1e-9)
    assert found.left_out == 24 % m
    assert ("left out" in str(found)) == (24 % m > 0)


def test_one_step_keeps_its_sign_and_more_steps_climb_higher():
    """Beyond the top of a wave SAM's step goes down; a climb of more steps finds the way up."""
    values = [m_sharpness(two_weights("wave"), 6.0, 5, steps=steps).values for steps in (1, 30)]
    assert all(long >= short for short, long in zip(*values, strict=True))
    network_values = [m_sharpness(network(), 2.0, 8, steps=steps).value for steps in (1, 20)]
    assert network_values[1] > network_values[0]


class Hump(torch.nn.Module):
    """``sin(w)`` just before its top: a long step of SAM goes over it and down."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([1.4], dtype=torch.float64))

    def forward(self, x):
        return torch.sin(self.weight).expand(len(x))


def test_a_single_step_that_goes_down_is_a_negative_rise():
    found = m_sharpness(Subject(Hump(), mean_of, cut(*points(), 5)), 2.0, 5)
    assert found.value == pytest.approx(math.sin(3.4) - math.sin(1.4), rel=1e-9)


def test_smaller_micro_batches_of_a_convex_loss_rise_higher():
    values = [m_sharpness(two_weights(), 0.1, m, steps=10).value for m in (1, 2, 4, 11)]
    assert values == sorted(values, reverse=True)


def test_micro_batches_are_cut_in_order_and_held_in_pieces():
    x, y = torch.arange(11.0), torch.arange(11)
    found = [[piece[0].tolist() for piece in pieces] for pieces in micro_batches(cut(x, y, 4), 3)]
    assert found == [[[0, 1, 2]], [[3], [4, 5]], [[6, 7], [8]]]
    found = [[piece[0].tolist() for piece in pieces] for pieces in micro_batches(cut(x, y, 2), 5)]
    assert found == [[[0, 1], [2, 3], [4]], [[5], [6, 7], [8, 9]]]


def test_a_radius_of_zero_gives_exactly_zero_and_nothing_is_left_changed():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 4), torch.nn.BatchNorm1d(4)).double()
    subject = network(model, statistics=BatchStatistics())
    before = everything(model)
    nothing = m_sharpness(subject, 0.0, 4)
    assert nothing.value == nothing.size == 0.0 and nothing.passes == 1
    assert m_sharpness(subject, 0.3, 4, steps=3).value > 0.0
    assert same(before, everything(model))


def test_the_data_are_read_once_and_each_gradient_is_one_look():
    subject = network()
    grown = []
    subject.model.register_forward_hook(lambda _, inputs, __: grown.append((len(inputs[0]), torch.is_grad_enabled())))
    found = m_sharpness(subject, 0.1, 4, steps=3)
    assert subject.products == 1 and found.passes == 4
    assert sum(count for count, _ in grown) == 4 * 24
    assert sum(count for count, slope in grown if slope) == 3 * 24


def test_a_loss_that_is_no_number_is_an_infinite_rise():
    found = m_sharpness(Subject(Cliff(math.nan), mean_of, cut(*points(), 5)), 0.8, 5)
    assert found.value == math.inf and math.isnan(found.error) and "not finite" in str(found)
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["finite"] is False


def test_it_says_how_it_was_measured():
    found = m_sharpness(network(), 0.1, 5, samnesia.Ball(samnesia.Linf()))
    assert str(found).startswith("5-sharpness: the loss rises by")
    assert "over 4 micro-batches of 5" in str(found) and "max |e| ≤ rho" in str(found)
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert plain["m"] == 5 and plain["left_out"] == 4 and plain["steps"] == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"m": 25}, "m=25, because the subject has 24 samples"),
        ({"m": 0}, "m=0, because m counts samples"),
        ({"m": 2.0}, "m=2.0, because m counts samples"),
        ({"steps": 0}, "steps=0"),
        ({"rho": -1.0}, "rho=-1.0"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(options, sentence: str):
    with pytest.raises(ConfigurationError, match=sentence):
        m_sharpness(network(), **{"rho": 0.1, "m": 4} | options)
