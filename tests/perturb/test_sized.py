"""Ascents for which the size of the gradient matters."""

import pytest
import torch
import torch.nn.functional as F

import samnesia
from samnesia.perturb.errors import ConfigurationError, PassesError
from tests.perturb.test_ascents import flow
from tests.problems import assert_close, batch, batches, differentiate, network, sgd, train, weights

X, Y = batch()


def built(preset, rho, **options):
    model = network()
    return preset(model, sgd(model), rho, **{"loss": F.cross_entropy, **options}), model


def perturbation(preset, rho, **options):
    """Of the first step, with its clean gradient."""
    method, model = built(preset, rho, **options)
    points, taken = flow(method, model)
    assert method.last_step.gradient_evaluations == len(points)
    return points[-1] - points[0], taken[0]


@pytest.mark.parametrize("damping", [1e-6, 1e-3, 1.0])
def test_fisher_sam_is_the_steepest_of_its_ball(damping):
    e, g = perturbation(samnesia.fisher_sam, 0.02, damping=damping)
    information = g**2 + damping
    assert float((e * information * e).sum().sqrt()) == pytest.approx(0.02, rel=1e-9)
    torch.testing.assert_close(e * information / (e * information).norm(), g / g.norm(), rtol=1e-9, atol=1e-12)


def test_where_damping_is_all_fisher_sam_is_sam():
    """Of the radius divided by its root."""
    e, g = perturbation(samnesia.fisher_sam, 100.0, damping=1e8)
    torch.testing.assert_close(e, 0.01 * g / g.norm(), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("sigma", [0.001, 0.02, 10.0])
def test_le_sam_lets_the_linearized_loss_rise_by_sigma_or_goes_as_far_as_rho(sigma):
    e, g = perturbation(samnesia.le_sam, 0.3, sigma=sigma)
    assert float(e @ g) == pytest.approx(min(sigma, 0.3 * float(g.norm())), rel=1e-9)
    torch.testing.assert_close(e / e.norm(), g / g.norm(), rtol=1e-9, atol=1e-12)


def test_le_sam_limits_each_groups_radius():
    model = network()
    first, *others = model.parameters()
    optimizer = torch.optim.SGD([{"params": [first], "rho": 0.01}, {"params": others}], lr=0.1)
    method = samnesia.le_sam(model, optimizer, 5.0, sigma=0.05, loss=F.cross_entropy)
    (start, end), (g, _) = flow(method, model)
    own = torch.full_like(g, 0.05 / g.norm())
    own[: first.numel()] = 0.01
    torch.testing.assert_close(end - start, own * g / g.norm(), rtol=1e-9, atol=1e-12)


def test_le_sam_in_another_ball_rises_by_the_slope_there():
    method, model = built(samnesia.le_sam, 1.0, sigma=0.02)
    method.ball = samnesia.Ball(samnesia.Linf())
    (start, end), (g, _) = flow(method, model)
    assert float((end - start) @ g) == pytest.approx(0.02, rel=1e-9)


def test_several_steps_rise_together():
    method, model = built(samnesia.le_sam, 1.0, sigma=0.02, steps=4)
    points, taken = flow(method, model)
    rises = [float((there - here) @ g) for here, there, g in zip(points, points[1:], taken, strict=False)]
    assert rises == pytest.approx([0.005] * 4, rel=1e-9)


def test_sigma_may_follow_the_step():
    method, model = built(samnesia.le_sam, 1.0, sigma=lambda step: 0.02 / (1 + step))
    for step in range(3):
        points, taken = flow(method, model)
        assert float((points[1] - points[0]) @ taken[0]) == pytest.approx(0.02 / (1 + step), rel=1e-9)
        method.optimizer.step()
        method.optimizer.zero_grad()


def test_no_rise_is_the_base_optimizer_and_any_is_sam():
    for sigma, rho in ((0.0, 0.0), (1e9, 0.3)):
        method, model = built(samnesia.le_sam, 0.3, sigma=sigma)
        train(method, model, batches(3))
        method, other = built(samnesia.sam, rho)
        train(method, other, batches(3))
        assert_close(weights(model), weights(other))


@pytest.mark.parametrize("sigma", [0.0, 0.1])
def test_a_zero_gradient_does_not_move(sigma):
    """Nor divide zero by zero."""
    method, model = built(samnesia.le_sam, 0.3, sigma=sigma)
    before = weights(model)
    for p in method.passes():
        assert_close(weights(model), before, tolerance=0.0)
        p.loss(0.0 * model(X), Y).backward()


@pytest.mark.parametrize(
    ("preset", "option"), [(samnesia.fisher_sam, {"damping": 1e-4}), (samnesia.le_sam, {"sigma": 0.02})]
)
def test_a_scaled_loss_is_perturbed_as_the_loss_is(preset, option):
    moved = []
    for scale in (1.0, 1024.0, 0.25):
        method, model = built(preset, 0.3, **option)
        start = torch.cat([w.flatten() for w in weights(model).values()])
        for p in method.passes():
            end = torch.cat([w.flatten() for w in weights(model).values()])
            (scale * p.loss(model(X), Y)).backward()
        moved.append(end - start)
    torch.testing.assert_close(moved[1], moved[0], rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(moved[2], moved[0], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(
    ("preset", "option"), [(samnesia.fisher_sam, {"damping": 1e-4}), (samnesia.le_sam, {"sigma": 0.02})]
)
def test_a_loss_that_nobody_watches_counts_as_it_is_without_loss_and_is_refused_with_it(preset, option):
    trained = []
    for loss in (F.cross_entropy, None):
        method, model = built(preset, 0.3, **{"loss": loss, **option})
        for p in method.passes():
            (p.loss if loss else F.cross_entropy)(model(X), Y).backward()
        method.optimizer.step()
        trained.append(weights(model))
    assert_close(*trained)
    method, model = built(preset, 0.3, **option)
    before = weights(model)
    with pytest.raises(PassesError, match=r"^cannot apply .* by how much the loss was scaled, because .*p\.loss"):
        for _ in method.passes():
            F.cross_entropy(model(X), Y).backward()
    assert_close(weights(model), before, tolerance=0.0)


@pytest.mark.parametrize("preset", [samnesia.fisher_sam, samnesia.le_sam], ids=lambda preset: preset.__name__)
def test_a_gradient_that_is_not_finite_moves_nothing_and_is_seen(preset):
    method, model = built(preset, 0.3)
    before = weights(model)
    for p in method.passes():
        assert_close(weights(model), before, tolerance=0.0)
        p.loss(model(X), Y).backward()
        if not p.last:
            model[1].weight.grad[0] = float("inf")
    assert not method.last_step.finite


@pytest.mark.parametrize(
    ("preset", "option", "message"),
    [
        (samnesia.fisher_sam, {"damping": 0.0}, "cannot divide by the Fisher .*; choose a finite number > 0"),
        (samnesia.le_sam, {"sigma": -1.0}, "cannot let the loss rise by sigma=-1.0.*; choose a finite number >= 0"),
        (samnesia.le_sam, {"steps": 0}, "cannot ascend in steps=0.*; choose a whole number >= 1"),
    ],
)
def test_what_is_refused(preset, option, message):
    with pytest.raises(ConfigurationError, match=f"^{message}$"):
        built(preset, 0.3, **option)


def test_a_schedule_of_sigma_is_checked_where_it_is_used():
    method, model = built(samnesia.le_sam, 0.3, sigma=lambda step: float("nan"))
    with pytest.raises(ConfigurationError, match="^cannot let the loss rise by sigma=nan"):
        differentiate(method, model, X, Y)


@pytest.mark.parametrize("ascent", [samnesia.FisherAscent(), samnesia.IncrementAscent(sigma=0.02)], ids=repr)
def test_several_steps_on_a_batch_know_the_size_too(ascent):
    lengths = []
    for scale in (1.0, 64.0):
        model = network()
        method = samnesia.PerturbedGradient(
            model, sgd(model), rho=0.3, ascent=ascent, inner=samnesia.InnerSteps(steps=2), loss=F.cross_entropy
        )
        start = torch.cat([w.flatten() for w in weights(model).values()])
        for p in method.stepping():
            if p.index == 1:
                lengths.append(float((torch.cat([w.flatten() for w in weights(model).values()]) - start).norm()))
            (scale * p.loss(model(X), Y)).backward()
    assert lengths[1] == pytest.approx(lengths[0], rel=1e-9)
