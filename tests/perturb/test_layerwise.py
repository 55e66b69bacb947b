"""Perturbations relative to each filter or neuron, or to each layer: balls and noise."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from tests.perturb.test_ascents import flow
from tests.perturb.test_ball import generators, inner, random_weights, tensors
from tests.problems import assert_close, batch, batches, network, sgd, train, train_plainly, weights

X, Y = batch()
BALLS = {
    "unit": samnesia.Ball(samnesia.LargestUnit(), samnesia.UnitScaling()),
    "unit, unscaled": samnesia.Ball(samnesia.LargestUnit()),
    "layer": samnesia.Ball(samnesia.LargestLayer(), samnesia.LayerScaling(eta=0.0, scaled="all")),
    "layer, element": samnesia.Ball(samnesia.LargestLayer(), samnesia.ElementScaling()),
}
every_ball = pytest.mark.parametrize("ball", BALLS.values(), ids=BALLS)


def units(tensor):
    """Slices along the first dimension; a tensor with fewer than two dimensions is one."""
    return tensor.flatten(1).unbind() if tensor.ndim > 1 else [tensor.flatten()]


def moved(method, model):
    """(weight, perturbation, clean gradient) of each parameter."""
    shapes = [p.shape for p in model.parameters()]
    sizes = [p.numel() for p in model.parameters()]
    points, taken = flow(method, model)
    parts = [v.split(sizes) for v in (points[0], points[1] - points[0], taken[0])]
    return [[t.view(shape) for t, shape in zip(part, shapes, strict=True)] for part in parts]


@every_ball
def test_the_steepest_is_of_size_one_and_nothing_is_steeper(ball):
    w, gradient = random_weights(0), tensors(1)
    steepest = ball.steepest(w, gradient, 1e-300).values()
    assert float(ball.measure(w, steepest)) == pytest.approx(1.0, abs=1e-12)
    for seed in range(5):
        noise = ball.random(w, generators(seed)).values()
        assert float(ball.measure(w, noise)) == pytest.approx(1.0, abs=1e-12)
        projected = ball.project(w, tensors(seed), 0.5)
        assert float(ball.measure(w, projected)) <= 0.5 * (1 + 1e-12)
        best = inner(gradient, steepest) * (1 + 1e-12)
        assert inner(gradient, noise) < best and 2 * inner(gradient, projected) <= best
        inside = ball.project(w, noise, 1.5)
        assert all(torch.allclose(a, b) for a, b in zip(inside, noise, strict=True))


@pytest.mark.parametrize(("preset", "parts"), [(samnesia.filter_sam, units), (samnesia.layer_sam, lambda t: [t])])
def test_each_part_moves_by_its_share_along_its_own_gradient(preset, parts):
    model = network()
    method = preset(model, sgd(model), 0.1, loss=F.cross_entropy)
    for w, e, g in zip(*moved(method, model), strict=True):
        for own, change, slope in zip(parts(w), parts(e), parts(g), strict=True):
            torch.testing.assert_close(change, 0.1 * own.norm() * slope / slope.norm(), rtol=1e-9, atol=1e-12)
    assert method.last_step.gradient_evaluations == 2


@pytest.mark.parametrize("preset", [samnesia.filter_sam, samnesia.layer_sam], ids=lambda preset: preset.__name__)
def test_parts_of_zeros_do_not_move_and_zero_gradients_move_nothing(preset):
    model = network()
    model[1].bias.data.zero_()
    _, e, _ = moved(preset(model, sgd(model), 0.1, loss=F.cross_entropy), model)
    assert not e[1].any() and e[0].any()
    model = network()
    model[6].weight.data[:, :9] = 0.0  # the first filter has no part in the output
    w, e, g = moved(preset(model, sgd(model), 0.1, loss=F.cross_entropy), model)
    assert not g[0][0].any() and not e[0][0].any()


@pytest.mark.parametrize("preset", [samnesia.filter_sam, samnesia.layer_sam], ids=lambda preset: preset.__name__)
def test_a_gradient_that_is_not_finite_moves_nothing_and_is_seen(preset):
    model = network()
    before = weights(model)
    method = preset(model, sgd(model), 0.1, loss=F.cross_entropy)
    for p in method.passes():
        assert_close(weights(model), before, tolerance=0.0)
        p.loss(model(X), Y).backward()
        if not p.last:
            model[6].bias.grad[0] = float("nan")
    assert not method.last_step.finite


def test_linf_moves_every_weight_by_rho():
    model = network()
    _, e, g = moved(samnesia.linf_sam(model, sgd(model), 0.01, loss=F.cross_entropy), model)
    for change, slope in zip(e, g, strict=True):
        torch.testing.assert_close(change, 0.01 * slope.sign(), rtol=1e-12, atol=1e-15)


def wide():
    """Units of many weights, so that one draw shows their deviation."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 2000), nn.Tanh(), nn.Linear(2000, 3)).double()


def test_noise_is_relative_to_each_unit():
    model = wide()
    model[2].weight.data[1] *= 7.0
    w, e, _ = moved(samnesia.rwp(model, sgd(model), 0.1, loss=F.cross_entropy), model)
    for own, change in zip(units(w[2]), units(e[2]), strict=True):
        deviation = 0.1 * own.norm() / 2000**0.5
        assert float(change.std() / deviation) == pytest.approx(1.0, abs=0.08)
        assert abs(float(change.mean() / deviation)) < 0.1
    # neither normalized as a whole, nor alike in all units
    lengths = torch.stack([c.norm() / (0.1 * o.norm()) for o, c in zip(units(w[0]), units(e[0]), strict=True)])
    assert float(lengths.std()) > 0.1
    assert float((lengths**2).mean()) == pytest.approx(1.0, abs=0.1)


def test_noise_is_drawn_from_seed_and_step():
    def first(seed, steps):
        model = network()
        method = samnesia.rwp(model, sgd(model, lr=0.0), 0.1, seed=seed, loss=F.cross_entropy)
        return [torch.cat([t.flatten() for t in step(method, model)]) for _ in range(steps)]

    def step(method, model):
        _, e, _ = moved(method, model)
        method.optimizer.step()
        method.optimizer.zero_grad()
        return e

    torch.manual_seed(5)
    once = first(0, 2)
    torch.manual_seed(6)
    again = first(0, 2)
    assert torch.equal(once[0], again[0]) and torch.equal(once[1], again[1])
    assert not torch.equal(once[0], once[1]) and not torch.equal(once[0], first(1, 1)[0])


def test_rwp_mixes_two_gradients():
    """All of the noisy one, none of it, a part."""
    left = {}
    for share in (0.0, 1.0, 0.3):
        model = network()
        method = samnesia.rwp(model, sgd(model), 0.5, share=share, loss=F.cross_entropy)
        _, taken = flow(method, model)
        left[share] = torch.cat([p.grad.flatten() for p in model.parameters()])
        torch.testing.assert_close(left[share], (1 - share) * taken[0] + share * taken[1], rtol=1e-12, atol=1e-14)
        assert method.last_step.gradient_evaluations == 2
    assert float((left[0.0] - left[1.0]).norm()) > 0.01


def test_without_noise_or_its_gradient_rwp_is_the_base_optimizer():
    for options in ({"rho": 0.0}, {"rho": 0.5, "share": 0.0}):
        model, plain = network(), network()
        train(samnesia.rwp(model, sgd(model), loss=F.cross_entropy, **options), model, batches(3))
        train_plainly(plain, sgd(plain), batches(3))
        assert_close(weights(model), weights(plain))
