"""Ascents along averages of gradients: what they follow, and what they remember."""

import pytest
import torch
import torch.nn.functional as F

import samnesia
from samnesia.perturb.errors import ConfigurationError
from tests.perturb.test_ascents import flow
from tests.problems import assert_close, assert_same, batches, differentiate, network, sgd, train, weights

PRESETS = pytest.mark.parametrize("preset", [samnesia.friendly_sam, samnesia.vasso], ids=lambda preset: preset.__name__)


def built(preset, rho=0.3, **options):
    model = network()
    return preset(model, sgd(model), rho, loss=F.cross_entropy, **options), model


def stepped(method, model):
    """The perturbation of one optimizer step, and its clean gradient."""
    points, taken = flow(method, model)
    method.optimizer.step()
    method.optimizer.zero_grad()
    assert method.last_step.gradient_evaluations == 2
    return points[1] - points[0], taken[0]


def remembered(method):
    """All that is remembered, as one vector."""
    (entry,) = method.state_dict()["memory"].values()
    return torch.cat([t.flatten() for t in entry.values()])


def test_friendly_sam_leaves_the_average_out():
    """The average of the steps before, of which the first is SAM's."""
    method, model = built(samnesia.friendly_sam, sigma=0.8, decay=0.6)
    average = None
    for _ in range(4):
        e, g = stepped(method, model)
        d = g if average is None else g - 0.8 * average
        torch.testing.assert_close(e, 0.3 * d / d.norm(), rtol=1e-9, atol=1e-12)
        average = g if average is None else 0.6 * average + 0.4 * g


def test_vasso_follows_the_average():
    method, model = built(samnesia.vasso, theta=0.3)
    d = None
    for _ in range(4):
        e, g = stepped(method, model)
        d = g if d is None else 0.7 * d + 0.3 * g
        torch.testing.assert_close(e, 0.3 * d / d.norm(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("preset", "option"), [(samnesia.friendly_sam, {"sigma": 0.0}), (samnesia.vasso, {"theta": 1})]
)
def test_without_an_average_it_is_sam(preset, option):
    trained = []
    for build, options in ((preset, option), (samnesia.sam, {})):
        method, model = built(build, **options)
        train(method, model, batches(5))
        trained.append(weights(model))
    assert_close(*trained)


@PRESETS
def test_a_scaled_loss_leaves_the_same_average(preset):
    """A scaler may change its scale between steps; here it does on each."""
    found = []
    for scales in ((1.0, 1.0, 1.0), (64.0, 8.0, 512.0)):
        method, model = built(preset)
        for (x, y), scale in zip(batches(3), scales, strict=True):
            differentiate(method, model, x, y, scale=scale)
            for p in model.parameters():
                p.grad /= scale
            method.optimizer.step()
            method.optimizer.zero_grad()
        found.append(remembered(method))
    torch.testing.assert_close(*found, rtol=1e-11, atol=1e-14)


@PRESETS
def test_resuming_is_bit_exact(preset):
    data = batches(6)
    method, model = built(preset)
    train(method, model, data[:3])
    saved = [model.state_dict(), method.optimizer.state_dict(), method.state_dict()]
    saved = [torch.utils._pytree.tree_map_only(torch.Tensor, torch.clone, state) for state in saved]
    train(method, model, data[3:])
    again, other = built(preset)
    for part, state in zip((other, again.optimizer, again), saved, strict=True):
        part.load_state_dict(state)
    train(again, other, data[3:])
    assert_same(weights(other), weights(model))


@PRESETS
def test_a_step_that_is_not_taken_is_not_remembered(preset):
    method, model = built(preset)
    (x, y), (other_x, other_y) = batches(2)
    train(method, model, [(x, y)])
    before = remembered(method).clone()
    differentiate(method, model, other_x, other_y)  # and a scaler skips the step
    method.optimizer.zero_grad()
    differentiate(method, model, x, y)
    method.optimizer.zero_grad()
    with method.passes() as passes:  # this one is left
        next(passes)
        method.criterion(model(x), y).backward()
        next(passes)
    differentiate(method, model, other_x, other_y)
    assert torch.equal(remembered(method), before)


@PRESETS
def test_what_is_remembered_is_not_written_to(preset):
    """A ball with a scaling multiplies in place what was made for it."""
    kept = []
    for ball in (samnesia.Ball(), samnesia.Ball(scaling=samnesia.ElementScaling())):
        method, model = built(preset)
        method.ball = ball
        train(method, model, batches(1))
        kept.append(remembered(method))
    assert torch.equal(*kept)


@PRESETS
def test_ranks_would_remember_different_things(preset):
    with pytest.raises(ConfigurationError, match="^cannot perturb with sync='rank' .*; use sync='batch'$"):
        built(preset, sync="rank")


@pytest.mark.parametrize(
    ("preset", "option", "interval"),
    [
        (samnesia.friendly_sam, {"decay": 1.0}, r"\[0, 1\)"),
        (samnesia.friendly_sam, {"decay": -0.1}, r"\[0, 1\)"),
        (samnesia.vasso, {"theta": 0.0}, r"\(0, 1\]"),
        (samnesia.vasso, {"theta": 1.1}, r"\(0, 1\]"),
    ],
)
def test_shares_outside_of_their_interval_are_refused(preset, option, interval):
    with pytest.raises(ConfigurationError, match=f"^cannot .*because it is the share .*; choose it in {interval}$"):
        built(preset, **option)


def test_an_infinite_weight_is_refused():
    with pytest.raises(ConfigurationError, match="^cannot subtract sigma=inf .*; choose a finite number$"):
        built(samnesia.friendly_sam, sigma=float("inf"))
