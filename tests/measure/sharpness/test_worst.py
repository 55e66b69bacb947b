"""The worst case: right on balls that can be searched, and what it promises about them."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor, nn

import samnesia
from samnesia.measure import AutoPGD, ProjectedAscent, Subject, gradient_norm, m_sharpness, worst_case
from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from tests.measure.sharpness.surfaces import BALLS, CASES, brute_force, cut, network, points, two_weights
from tests.measure.test_subject import everything, same

every_ball = pytest.mark.parametrize("ball", BALLS.values(), ids=BALLS)


@every_ball
@pytest.mark.parametrize("rho", [0.1, 0.8])
@pytest.mark.parametrize("case", CASES)
def test_it_is_the_maximum_of_a_search_of_the_whole_ball(case: str, rho: float, ball: samnesia.Ball):
    subject = two_weights(case, size=23)
    expected = brute_force(subject, ball, rho)
    found = worst_case(subject, rho, ball, restarts=4)
    assert found.value == pytest.approx(expected, rel=1e-6)


@every_ball
def test_equal_steps_come_close_to_the_maximum(ball: samnesia.Ball):
    subject = two_weights("wave", size=23)
    found = worst_case(subject, 0.8, ball, restarts=3, climb=ProjectedAscent())
    assert found.value == pytest.approx(brute_force(subject, ball, 0.8), rel=3e-3)


@every_ball
@pytest.mark.parametrize("climb", [AutoPGD(), ProjectedAscent()], ids=["auto-PGD", "projected"])
def test_what_was_found_lies_in_the_ball_and_is_not_below_zero(climb, ball: samnesia.Ball):
    for subject in (two_weights(), network()):
        found = worst_case(subject, 0.3, ball, steps=5, restarts=2, climb=climb)
        assert 0.0 < found.size <= 0.3 * (1 + 1e-12)
        assert found.value == max(found.values) >= min(found.values)
        assert found.spread == max(found.values) - min(found.values)


@every_ball
def test_a_larger_ball_of_a_convex_loss_has_a_higher_top(ball: samnesia.Ball):
    subject = two_weights(size=23)
    rises = [worst_case(subject, rho, ball, steps=12).value for rho in (0.0, 0.1, 0.2, 0.4, 0.8)]
    assert rises == sorted(rises) and len(set(rises)) == len(rises)


@every_ball
def test_one_step_from_the_weights_is_the_perturbation_of_training(ball: samnesia.Ball):
    subject = network()
    steepest = ball.steepest(subject.weights, subject.gradient()).values()
    with subject.at([0.05 * e for e in steepest]):
        there = subject.loss()
    for climb in (AutoPGD(), ProjectedAscent()):
        found = worst_case(subject, 0.05, ball, steps=1, restarts=0, climb=climb)
        assert found.value == pytest.approx(there - subject.loss(), rel=1e-11)


@every_ball
def test_a_radius_of_zero_gives_exactly_zero(ball: samnesia.Ball):
    found = worst_case(network(), 0.0, ball)
    assert found.value == found.size == found.length == 0.0
    assert found.passes == 1


def test_the_seed_decides_and_restarts_are_more_climbs():
    first, again, other = (worst_case(network(), 0.5, steps=3, restarts=3, seed=seed) for seed in (1, 1, 2))
    assert first.values == again.values and first.value == again.value
    assert len(set(first.values)) == len(first.values) == 4
    assert other.values[:2] == first.values[:2]  # from the weights, and opposite to their top
    assert not set(other.values[2:]) & set(first.values)
    assert [worst_case(network(), 0.5, steps=3, restarts=n).values for n in (0, 1)] == [
        first.values[:1],
        first.values[:2],
    ]


def test_the_other_side_of_a_valley_is_climbed_too():
    """From the weights the way leads up the right side, and the left one is higher at the end."""

    class Valley(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([0.01], dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return (self.weight.square() - 0.5 * self.weight**3).expand(len(x))

    subject = Subject(Valley(), mean_of, cut(*points(), 5))
    found = worst_case(subject, 0.8, restarts=1)
    assert found.values == pytest.approx(
        [0.81**2 - 0.5 * 0.81**3 - 9.95e-5, 0.79**2 + 0.5 * 0.79**3 - 9.95e-5], rel=1e-3
    )
    assert found.value == max(found.values) == found.values[1]


def test_climbs_that_end_at_different_heights_are_a_warning():
    """The corners of a cube are local maxima of a convex loss."""
    ball = BALLS["Linf unscaled"]
    assert "there may be a higher point" in str(worst_case(two_weights(), 2.0, ball, restarts=8))
    assert "Note" not in str(worst_case(two_weights(), 0.1, ball))


@pytest.mark.parametrize(("steps", "restarts"), [(1, 0), (4, 0), (4, 2)])
def test_each_gradient_is_one_pass(steps: int, restarts: int):
    subject = network()
    calls = []
    subject.model.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    found = worst_case(subject, 0.1, steps=steps, restarts=restarts)
    passes = (steps + 1) * (restarts + 1)
    assert found.passes == subject.products == passes
    assert len(calls) == passes * subject.num_batches
    assert sum(calls) == steps * (restarts + 1) * subject.num_batches  # the last look of a climb takes no gradient


def test_the_error_is_that_of_the_rises_of_the_batches():
    subject = network(size=7)  # 7, 7, 7, 3
    found = worst_case(subject, 0.2, steps=1, restarts=0)
    offsets = [0.2 * e for e in samnesia.Ball().steepest(subject.weights, subject.gradient()).values()]
    with subject.looking(), torch.no_grad():
        before = [float(subject.loss_of(batch)) for batch in subject.batches()]
        with subject.at(offsets):
            after = [float(subject.loss_of(batch)) for batch in subject.batches()]
    rises, shares = [b - a for a, b in zip(before, after, strict=True)], [7 / 24, 7 / 24, 7 / 24, 3 / 24]
    mean = sum(share * rise for share, rise in zip(shares, rises, strict=True))
    spread = sum((share * (rise - mean)) ** 2 for share, rise in zip(shares, rises, strict=True))
    assert found.value == pytest.approx(mean, rel=1e-11)
    assert found.error == pytest.approx(math.sqrt(spread * 4 / 3), rel=1e-8)
    assert found.rise.count == 4
    assert math.isnan(worst_case(network(size=24), 0.2, steps=1, restarts=0).error)


def test_batches_do_not_matter():
    found = [worst_case(network(size=size), 0.2, steps=6) for size in (24, 8, 5)]
    for one in found[1:]:
        assert one.value == pytest.approx(found[0].value, rel=1e-9)


class Bowl(nn.Module):
    """``‖w‖²`` at its minimum: no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight.square().sum().expand(len(x))


def mean_of(output: Tensor, target: Tensor) -> Tensor:
    return output.mean()


def test_from_a_point_without_a_gradient_only_random_points_climb():
    bowl = Subject(Bowl(), mean_of, cut(*points(), 5))
    alone = worst_case(bowl, 0.3, restarts=0)
    assert alone.value == 0.0 and alone.values == (0.0,) and alone.passes == 1
    assert "gradient at the weights is zero" in str(alone) and "no climb found" in str(alone)
    assert worst_case(bowl, 0.3, restarts=1).value == pytest.approx(0.09, rel=1e-12)


class Cliff(nn.Module):
    """Finite at the weights, no number from 1 on."""

    def __init__(self, beyond: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.5], dtype=torch.float64))
        self.beyond = beyond

    def forward(self, x: Tensor) -> Tensor:
        value = self.weight if self.weight < 1.0 else self.weight * self.beyond
        return value.expand(len(x))


@pytest.mark.parametrize("beyond", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_an_infinite_rise_in_words(beyond: float):
    found = worst_case(Subject(Cliff(beyond), mean_of, cut(*points(), 5)), 0.8, restarts=0)
    assert found.value == math.inf and math.isnan(found.error)
    assert "not finite" in str(found)
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert plain["rise"]["value"] is None and plain["finite"] is False
    near = worst_case(Subject(Cliff(beyond), mean_of, cut(*points(), 5)), 0.4, restarts=0)
    assert near.value == pytest.approx(0.4, rel=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_bit_by_bit(training: bool):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 3)).double()
    subject = network(model.train(training))
    before = everything(model)
    worst_case(subject, 0.5, samnesia.Ball(scaling=samnesia.ElementScaling()), steps=3)
    assert same(before, everything(model))


def test_the_scaling_is_that_of_the_unperturbed_weights():
    """A ball that moved along would let weights grow beyond the first one."""
    ball = samnesia.Ball(samnesia.Linf(), samnesia.ElementScaling(eta=0.0))
    found = worst_case(two_weights(), 0.9, ball, steps=30)
    assert found.size == pytest.approx(0.9, rel=1e-12)
    assert found.length <= 0.9 * math.hypot(0.9, 0.3) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rho": -0.1}, "cannot measure sharpness with rho=-0.1"),
        ({"rho": math.nan}, "cannot measure sharpness with rho=nan"),
        ({"rho": math.inf}, "cannot measure sharpness with rho=inf"),
        ({"steps": 0}, "cannot climb in steps=0"),
        ({"steps": 2.5}, "cannot climb in steps=2.5"),
        ({"restarts": -1}, "restarts=-1"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(options, sentence: str):
    with pytest.raises(ConfigurationError, match=sentence):
        worst_case(two_weights(), **{"rho": 0.1} | options)


def test_a_scaling_that_fits_no_name_is_refused():
    bare = nn.Module()
    bare.register_parameter("gain", nn.Parameter(torch.ones(2, dtype=torch.float64)))
    bare.forward = lambda x: x @ bare.gain  # type: ignore[method-assign]
    subject = Subject(bare, nn.functional.mse_loss, cut(*points(), 5))
    with pytest.raises(ConfigurationError, match="say scaled='all'"):
        worst_case(subject, 0.1, samnesia.Ball(scaling=samnesia.ElementScaling()))


def test_it_says_how_it_was_measured():
    found = worst_case(two_weights(), 0.1, samnesia.Ball(scaling=samnesia.ElementScaling()), steps=4, restarts=2)
    text = str(found)
    assert text.startswith("worst-case sharpness: the loss rises by 0.0")
    for part in (
        "± ",
        "over 5 batches",
        "rho = 0.1: ‖e / T‖₂ ≤ rho, T = |w| + 0.01",
        "T of the unperturbed weights, all trained weights jointly",
        "auto-PGD, 4 steps from the weights, opposite to the top and 1 random point (seed 0)",
        "15 passes over 23 samples",
        "highest of each climb",
    ):
        assert part in text
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert plain["rise"]["value"] == found.value and plain["steps"] == 4 and len(plain["values"]) == 3


def test_a_sharded_model_is_refused_because_its_gradient_would_be_zero():
    subject = network()
    subject.sharded = True  # as the Subject of a model after fully_shard says
    for measure in (
        lambda: worst_case(subject, 0.1),
        lambda: m_sharpness(subject, 0.1, 4),
        lambda: gradient_norm(subject),
    ):
        with pytest.raises(UnsupportedError, match="gather the weights"):
            measure()


def test_the_bar_is_told_of_every_pass():
    told = []

    class Watching:
        def begin(self, name, passes):
            told.append((name, passes))

        def advance(self, passes):
            told.append(passes)

        def end(self):
            told.append("end")

    subject = network(progress=Watching())
    worst_case(subject, 0.1, steps=3, restarts=1)
    assert told[0] == ("worst-case sharpness", 8.0) and told[-1] == "end"
    assert sum(told[1:-1]) == pytest.approx(8.0)


def test_weights_in_single_precision_with_a_scalar_among_them():
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.gain = nn.Linear(2, 1), nn.Parameter(torch.tensor(1.5))

        def forward(self, x: Tensor) -> Tensor:
            return self.gain * self.linear(x)[:, 0]

    x, y = (t.float() for t in points())
    for ball in BALLS.values():
        found = worst_case(Subject(Scaled(), nn.functional.mse_loss, cut(x, y, 5)), 0.1, ball, steps=4)
        assert 0.0 < found.size <= 0.1 * (1 + 1e-4) and found.value > 0.0
