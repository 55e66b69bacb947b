"""Balls: what `Ball` promises, on random weights and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import samnesia
from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.tensors import Weights

SCALINGS = {
    "none": samnesia.Unscaled(),
    "element": samnesia.ElementScaling(eta=0.01),
    "element of all": samnesia.ElementScaling(eta=0.01, scaled="all"),
    "element, eta 0": samnesia.ElementScaling(eta=0.0, scaled="all"),
    "filter": samnesia.FilterScaling(eta=0.1),
    "layer": samnesia.LayerScaling(eta=0.0, scaled="all"),
}
NORMS = {"L2": samnesia.L2(), "Linf": samnesia.Linf()}
BALLS = [
    pytest.param(samnesia.Ball(norm, scaling), id=f"{n} {s}")
    for n, norm in NORMS.items()
    for s, scaling in SCALINGS.items()
]
SHAPES = {"conv.weight": (3, 2, 2, 2), "conv.bias": (3,), "head.weight": (4, 3), "scalar": ()}
SEEDS = st.integers(0, 2**30)
SIZES = st.floats(1e-3, 1e3)

every_ball = pytest.mark.parametrize("ball", BALLS)
few = settings(max_examples=15)


def tensors(seed, size=1.0):
    generator = torch.Generator().manual_seed(seed)
    return [size * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in SHAPES.values()]


def random_weights(seed, size=1.0):
    values = tensors(seed, size)
    return Weights.of(list(SHAPES), [torch.nn.Parameter(v) for v in values])


def generators(seed):
    """One generator for all tensors, so that their noise is independent."""
    generator = torch.Generator().manual_seed(2**31 + seed)  # none of the seeds of `tensors`
    return lambda device: generator


def inner(left, right):
    return float(sum((a * b).sum() for a, b in zip(left, right, strict=True)))


@every_ball
@few
@given(seed=SEEDS, size=SIZES, gradient_size=SIZES)
def test_the_steepest_perturbation_has_size_one(ball, seed, size, gradient_size):
    weights, gradient = random_weights(seed, size), tensors(seed + 1, gradient_size)
    assert float(ball.measure(weights, ball.steepest(weights, gradient, 1e-300).values())) == pytest.approx(
        1.0, abs=1e-12
    )


@every_ball
@few
@given(seed=SEEDS)
def test_no_random_point_of_the_ball_is_steeper_than_the_steepest(ball, seed):
    weights, gradient = random_weights(seed), tensors(seed + 1)
    best = inner(gradient, ball.steepest(weights, gradient).values())
    for other in range(5):
        point = ball.random(weights, generators(seed + other)).values()
        assert inner(gradient, point) < best
        near = [s + 0.1 * r for s, r in zip(ball.steepest(weights, gradient).values(), point, strict=True)]
        assert inner(gradient, ball.project(weights, near, 1.0)) <= best * (1 + 1e-9)


@every_ball
@few
@given(seed=SEEDS, radius=SIZES)
def test_projection_is_inside_and_idempotent_and_leaves_the_inside_alone(ball, seed, radius):
    weights, point = random_weights(seed), tensors(seed + 1, 10.0)
    projected = ball.project(weights, point, radius)
    assert float(ball.measure(weights, projected)) <= radius * (1 + 1e-12)
    again = ball.project(weights, projected, radius)
    for a, b in zip(again, projected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-300)
    inside = [0.5 * p for p in projected]
    for a, b in zip(ball.project(weights, inside, radius), inside, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("ball", [samnesia.Ball(), samnesia.Ball(samnesia.Linf())], ids=["L2", "Linf"])
@few
@given(seed=SEEDS)
def test_projection_is_the_nearest_point(ball, seed):
    weights, point = random_weights(seed), tensors(seed + 1, 3.0)
    nearest = ball.project(weights, point, 1.0)
    distance = weights.norm([p - n for p, n in zip(point, nearest, strict=True)])
    for other in range(5):
        candidate = ball.project(weights, tensors(seed + 2 + other), 1.0)
        assert distance <= weights.norm([p - c for p, c in zip(point, candidate, strict=True)])


@every_ball
@few
@given(seed=SEEDS, size=SIZES)
def test_random_perturbations_lie_on_the_sphere(ball, seed, size):
    weights = random_weights(seed, size)
    noise = ball.random(weights, generators(seed)).values()
    assert float(ball.measure(weights, noise)) == pytest.approx(1.0, abs=1e-12)
    other = ball.random(weights, generators(seed + 1)).values()
    assert any((a != b).any() for a, b in zip(noise, other, strict=True))


@every_ball
def test_random_perturbations_have_no_preferred_direction(ball):
    weights = random_weights(0)
    mean = sum(ball.random(weights, generators(seed)).values()[0] for seed in range(400)) / 400
    largest = max(ball.random(weights, generators(seed)).values()[0].abs().max() for seed in range(20))
    assert mean.abs().max() < 0.25 * largest


@every_ball
def test_a_zero_gradient_gives_no_perturbation(ball):
    weights = random_weights(0)
    zero = [torch.zeros_like(t) for t in weights.tensors]
    for steepest in ball.steepest(weights, zero).values():
        assert torch.equal(steepest, torch.zeros_like(steepest))


@every_ball
@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan")])
@pytest.mark.parametrize("index", range(len(SHAPES)))
def test_a_gradient_that_is_not_finite_anywhere_gives_nan_everywhere(ball, value, index):
    """Or a gradient scaler would not see that the step has to be skipped."""
    weights, gradient = random_weights(0), tensors(1)
    gradient[index].view(-1)[-1] = value
    assert all(steepest.isnan().all() for steepest in ball.steepest(weights, gradient).values())


@every_ball
@few
@given(seed=SEEDS, power=st.integers(-60, 60))
def test_the_steepest_perturbation_is_of_degree_zero(ball, seed, power):
    weights, gradient = random_weights(seed), tensors(seed + 1)
    plain = ball.steepest(weights, gradient, 1e-300).values()
    for a, b in zip(ball.steepest(weights, [2.0**power * g for g in gradient], 1e-300).values(), plain, strict=True):
        assert torch.equal(a, b)


@few
@given(seed=SEEDS, size=SIZES)
def test_the_measure_is_the_norm_of_the_scaled_coordinates(seed, size):
    weights, point = random_weights(seed), tensors(seed + 1, size)
    flat = torch.cat([p.flatten() for p in point])
    relative = torch.cat([(p / w.abs()).flatten() for p, w in zip(point, weights.tensors, strict=True)])
    elements = samnesia.ElementScaling(eta=0.0, scaled="all")
    assert float(samnesia.Ball().measure(weights, point)) == pytest.approx(float(flat.norm()))
    assert float(samnesia.Ball(samnesia.Linf()).measure(weights, point)) == pytest.approx(float(flat.abs().max()))
    assert float(samnesia.Ball(scaling=elements).measure(weights, point)) == pytest.approx(float(relative.norm()))


def test_factors_are_those_of_the_paper():
    weights = random_weights(5)
    convolution, bias, head, _ = weights.tensors
    by_filter = convolution.flatten(1).norm(dim=1)[:, None, None, None]
    expected = {
        "element": (convolution.abs(), bias.abs(), head.abs()),
        "filter": (by_filter, bias.abs(), head.abs()),
        "layer": (convolution.norm(), bias.norm(), head.norm()),
    }
    operators = {
        "element": samnesia.ElementScaling,
        "filter": samnesia.FilterScaling,
        "layer": samnesia.LayerScaling,
    }
    for name, magnitudes in expected.items():
        for scaled in ("weight", "all"):
            factors = operators[name](eta=0.2, scaled=scaled).factors(weights)
            for factor, magnitude, parameter in zip(factors[:3], magnitudes, weights.names, strict=False):
                if scaled == "weight" and "weight" not in parameter:
                    assert factor is None
                else:
                    torch.testing.assert_close(factor, magnitude + 0.2)


def test_an_entry_with_a_factor_of_zero_does_not_move():
    weights = random_weights(0)
    weights.tensors[0].view(-1)[3] = 0.0
    ball = samnesia.Ball(scaling=samnesia.ElementScaling(eta=0.0))
    assert ball.steepest(weights, tensors(1)).values()[0].view(-1)[3] == 0
    assert ball.random(weights, generators(0)).values()[0].view(-1)[3] == 0
    moved = tensors(2)
    assert ball.measure(weights, moved).isfinite()
    assert ball.project(weights, moved, 1.0)[0].view(-1)[3] == 0


@pytest.mark.parametrize("operator", [samnesia.ElementScaling, samnesia.FilterScaling, samnesia.LayerScaling])
@pytest.mark.parametrize("wrong", [{"eta": -0.1}, {"eta": float("nan")}, {"eta": float("inf")}, {"scaled": "bias"}])
def test_wrong_scalings_are_refused(operator, wrong):
    with pytest.raises(ConfigurationError, match="^cannot scale"):
        operator(**wrong)


@pytest.mark.parametrize(
    ("ball", "words"),
    [
        (samnesia.Ball(), "‖e‖₂ ≤ rho"),
        (samnesia.Ball(samnesia.Linf()), "max |e| ≤ rho"),
        (
            samnesia.Ball(scaling=samnesia.ElementScaling()),
            "‖e / T‖₂ ≤ rho, T = |w| + 0.01 (1 for parameters whose name lacks 'weight')",
        ),
        (
            samnesia.Ball(samnesia.Linf(), samnesia.FilterScaling(eta=0.0, scaled="all")),
            "max |e / T| ≤ rho, T = (‖filter‖₂ in convolutions, |w| elsewhere)",
        ),
        (
            samnesia.Ball(scaling=samnesia.LayerScaling(eta=0.0, scaled="all")),
            "‖e / T‖₂ ≤ rho, T = ‖its tensor‖₂",
        ),
    ],
)
def test_a_ball_says_what_its_radius_means(ball, words):
    assert ball.describe() == words
