"""The average case, and how large each kind of noise is."""

from __future__ import annotations

import json
import math

import pytest
import torch

import samnesia
from samnesia.measure import EntrywiseGaussian, EntrywiseUniform, OnSphere, Subject, average_case, worst_case
from samnesia.measure.sharpness.hill import Around
from samnesia.measure.traceless import seeded
from samnesia.perturb.errors import ConfigurationError
from tests.measure.sharpness.surfaces import BALLS, cut, network, points, two_weights
from tests.measure.sharpness.test_worst import Cliff, mean_of
from tests.measure.test_subject import everything, same

every_ball = pytest.mark.parametrize("ball", BALLS.values(), ids=BALLS)
every_noise = pytest.mark.parametrize("noise", [OnSphere(), EntrywiseGaussian(), EntrywiseUniform()], ids=repr)


@every_ball
@pytest.mark.parametrize("rho", [0.05, 0.5, 2.0])
def test_worst_is_no_less_than_average_and_average_no_less_than_nothing_where_the_loss_is_convex(rho, ball):
    subject = two_weights(size=23)
    average = average_case(subject, rho, ball, directions=8)
    worst = worst_case(subject, rho, ball, restarts=3)
    assert worst.value >= average.value > 0.0
    assert all(worst.value >= pair >= 0.0 for pair in average.values)
    assert 0.0 < average.size <= rho * (1 + 1e-12)


@every_noise
def test_the_mean_of_a_quadratic_is_half_its_trace_times_the_variance_of_an_entry(noise):
    """The loss of a linear model is quadratic: E L(w + e) - L(w) = ½ tr(H Cov e), and the slope cancels."""
    x, y = points()
    model = torch.nn.Linear(2, 1, bias=False).double()
    subject = Subject(model, lambda output, target: (output[:, 0] - target).square().mean(), cut(x, y, 5))
    half_trace = float(x.square().mean(0).sum())
    variance = {OnSphere(): 0.09 / 2, EntrywiseGaussian(): 0.09, EntrywiseUniform(): 0.09 / 3}[noise]
    found = average_case(subject, 0.3, directions=150, noise=noise)
    assert abs(found.value - half_trace * variance) < 4.0 * found.error
    assert found.error < 0.12 * found.value


def test_noise_is_as_large_as_it_says():
    weights = torch.nn.Parameter(torch.randn(40, 50, dtype=torch.float64))
    model = torch.nn.Module()
    model.register_parameter("weight", weights)
    model.forward = lambda x: x @ model.weight[0, :2]  # type: ignore[method-assign]
    subject = Subject(model, torch.nn.functional.mse_loss, cut(*points(), 5))
    for ball in BALLS.values():
        around = Around.of(subject, ball, 0.2)
        coordinates = {
            noise: torch.cat(
                [
                    (e if t is None else e / t).flatten()
                    for e, t in zip(noise.draw(around, seeded(0)), ball.scaling.factors(around.weights), strict=True)
                ]
            )
            for noise in (OnSphere(), EntrywiseGaussian(), EntrywiseUniform())
        }
        assert float(ball.norm.measure(around.weights, [coordinates[OnSphere()]])) == pytest.approx(0.2, rel=1e-12)
        assert float(coordinates[EntrywiseGaussian()].std()) == pytest.approx(0.2, rel=0.05)
        uniform = coordinates[EntrywiseUniform()]
        assert float(uniform.abs().max()) <= 0.2
        assert float(uniform.norm()) == pytest.approx(0.2 * math.sqrt(2000 / 3), rel=0.03)


@every_noise
def test_errors_over_directions_and_over_batches(noise):
    """The oracle: every perturbed loss of every batch, one by one."""
    subject = network(size=7)
    found = average_case(subject, 0.4, directions=3, seed=5, noise=noise)
    around, generators = Around.of(subject, samnesia.Ball(), 0.4), seeded(5)
    shares = torch.tensor([7, 7, 7, 3], dtype=torch.float64) / 24
    table = []
    for _ in range(3):
        e = noise.draw(around, generators)
        table.append((losses_at(subject, e) + losses_at(subject, [-t for t in e])) / 2 - losses_at(subject, None))
    rises = torch.stack(table)  # directions x batches
    means = rises @ shares
    assert found.values == pytest.approx(means.tolist(), rel=1e-9)
    assert found.error == pytest.approx(float(means.std() / math.sqrt(3)), rel=1e-7)
    squares = (shares * (rises.mean(0) - means.mean())).square().sum()
    assert found.batches.error == pytest.approx(math.sqrt(float(squares) * 4 / 3), rel=1e-7)
    assert found.batches.count == 4


def losses_at(subject, offsets):
    with subject.looking(), torch.no_grad(), subject.at(offsets or [torch.zeros_like(p) for p in subject.parameters]):
        return torch.stack([subject.loss_of(batch) for batch in subject.batches()])


def test_passes_seed_and_radius_zero():
    subject = network()
    found = average_case(subject, 0.1, directions=4)
    assert found.passes == subject.products == 9
    assert average_case(network(), 0.1, directions=4).values == found.values
    assert average_case(network(), 0.1, directions=4, seed=1).values != found.values
    nothing = average_case(network(), 0.0)
    assert nothing.value == nothing.size == nothing.batches.value == 0.0 and nothing.passes == 1


def test_the_model_is_left_bit_by_bit():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 4), torch.nn.BatchNorm1d(4)).double()
    subject = network(model)
    before = everything(model)
    average_case(subject, 0.5, directions=2)
    assert same(before, everything(model))


def test_a_loss_that_is_no_number_is_an_infinite_rise():
    found = average_case(Subject(Cliff(math.nan), mean_of, cut(*points(), 5)), 0.8, directions=3)
    assert found.value == math.inf and "not finite in 3 of 3 directions" in str(found)
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["rise"]["value"] is None


def test_it_says_what_its_radius_means():
    text = str(average_case(two_weights(), 0.1, BALLS["Linf element"], noise=EntrywiseUniform(), directions=4))
    assert "average-case sharpness" in text and "over 4 directions" in text and "over 5 batches" in text
    assert "rho = 0.1: e / T ~ U(-rho, rho) in each entry, T = |w| + 0.01" in text
    assert "uniform noise (expected 2-norm of e / T: rho sqrt(k / 3) for k weights)" in text
    assert "rho = 0.1: max |e| ≤ rho" in str(average_case(two_weights(), 0.1, BALLS["Linf unscaled"], directions=1))
    assert "9 passes over 23 samples" in text


@pytest.mark.parametrize("wrong", [{"rho": -1.0}, {"rho": math.nan}, {"directions": 0}, {"directions": 1.5}])
def test_what_cannot_be_measured_is_refused_in_a_sentence(wrong):
    with pytest.raises(ConfigurationError, match="^cannot "):
        average_case(two_weights(), **{"rho": 0.1} | wrong)
