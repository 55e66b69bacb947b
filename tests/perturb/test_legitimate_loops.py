"""Loops that do nothing wrong, each of which was refused once, and what stands beside them."""

import pytest
import torch
import torch.nn.functional as F

import samnesia
from samnesia.perturb.errors import ConfigurationError, PassesError, StaleGradientError
from tests.problems import batch, differentiate, network, sgd


def test_a_gradient_that_was_zeroed_through_its_data_is_none():
    model = network()
    method = samnesia.sam(model, sgd(model), loss=F.cross_entropy)
    for _ in range(2):
        differentiate(method, model, *batch())
        method.optimizer.step()
        for parameter in model.parameters():
            parameter.grad.data.zero_()  # an old way, which no version counts
    assert method.steps == 2
    differentiate(method, model, *batch())
    method.optimizer.step()
    next(model.parameters()).grad.data.zero_()  # one of several
    with pytest.raises(StaleGradientError, match="cannot begin a step"):
        differentiate(method, model, *batch())


def test_a_step_that_a_scaler_skips_is_dropped_by_the_next():
    """What `stepping` says of the last step's gradient holds without zero_grad() also where it was not taken."""
    model, (x, y) = network(), batch()
    method = samnesia.sam(model, sgd(model))
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)

    def step():
        scaler.step(method.optimizer)
        scaler.update()

    for factor in (float("inf"), 1.0, 1.0):
        for _ in method.stepping(step):
            scaler.scale(factor * F.cross_entropy(model(x), y)).backward()
    assert method.steps == 2


def test_a_finite_gradient_that_was_not_stepped_is_not_dropped_in_silence():
    model, (x, y) = network(), batch()
    method = samnesia.sam(model, sgd(model))
    for _ in method.stepping(lambda: None):
        F.cross_entropy(model(x), y).backward()
    with pytest.raises(StaleGradientError, match="accumulated"):
        next(method.stepping(lambda: None))
    method.optimizer.step()  # it has not been used
    assert method.steps == 1


def test_an_optimizer_may_keep_its_rate_to_itself():
    model = network()
    optimizer = sgd(model)
    optimizer.param_groups[0]["lr"] = None  # as Adafactor does in some libraries
    assert samnesia.sam(model, optimizer, rho=0.1).radii() == (0.1,)
    with pytest.raises(ConfigurationError, match="rho=nan"):
        samnesia.sam(model, optimizer, rho=samnesia.proportional_to_lr(0.0, 0.1, 0.0, 0.1))


def test_what_is_remembered_goes_over_to_another_ascent_that_remembers_nothing():
    model, other = network(), network()
    plain = samnesia.lookahead(model, sgd(model), loss=F.cross_entropy)
    differentiate(plain, model, *batch())
    plain.optimizer.step()
    late = samnesia.sam(other, sgd(other), updates=[samnesia.Lookahead()])
    late.load_state_dict(plain.state_dict())
    assert late.steps == 1 and late.remembered.kept


def test_two_steps_are_not_followed_by_a_third():
    model, (x, y) = network(), batch()
    method = samnesia.sam(model, sgd(model))
    two = samnesia.two_step(method)
    for _ in range(2):
        F.cross_entropy(model(x), y).backward()
        two.first_step(zero_grad=True)
        F.cross_entropy(model(x), y).backward()
        two.second_step()
        with pytest.raises(StaleGradientError, match="just used"):
            method.optimizer.step()
        method.optimizer.zero_grad()
    assert method.steps == 2


def test_who_has_given_the_loss_is_not_told_to_give_it():
    model, (x, y) = network(), batch()
    method = samnesia.friendly_sam(model, sgd(model), loss=F.cross_entropy)
    with pytest.raises(PassesError, match=r"counts there; compute the loss of each pass with p\.loss"):
        for _ in method.passes():
            F.cross_entropy(model(x), y).backward()
