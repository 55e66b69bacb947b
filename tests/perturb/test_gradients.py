"""Gradient buffers that stay where they are, as graphs of a whole step need them: every method, and nothing changes."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from samnesia.perturb.errors import ConfigurationError, NoGradientError
from tests.battery import BY_NAME, METHODS
from tests.perturb.test_memory import Ledger
from tests.problems import (
    assert_close,
    assert_same,
    batch,
    batches,
    differentiate,
    flat,
    gradients,
    network,
    sgd,
    train,
    weights,
)


def addresses(model):
    return [None if p.grad is None else p.grad.data_ptr() for p in model.parameters()]


def pair(row, **options):
    """The same problem with buffers that are kept, and without."""
    for keep in (True, False):
        model = network(norm=nn.BatchNorm2d)
        yield row(model, sgd(model), keep_gradient_buffers=keep, **options), model


@pytest.mark.parametrize("clears", [True, False], ids=["zero_grad", "no zero_grad"])
@pytest.mark.parametrize("row", METHODS, ids=str)
def test_one_address_over_all_passes_and_steps(row, clears):
    (method, model), (plain, other) = pair(row)
    seen = set()
    for x, y in batches(4):
        for p in method.passes():
            loss = p.loss(model(x), y)
            if p.needs_gradient:
                loss.backward()
                seen.add(tuple(addresses(model)))
        seen.add(tuple(addresses(model)))
        method.optimizer.step()
        if clears:
            method.optimizer.zero_grad(set_to_none=False)
    assert len(seen) == 1 and None not in seen.pop()
    train(plain, other, batches(4))
    assert_close(weights(model), weights(other), 1e-14)


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_micro_batches_add_up(row):
    (method, model), (plain, other) = pair(row)
    for step in range(2):
        for each, net in ((method, model), (plain, other)):
            for x, y in batches(3):
                differentiate(each, net, x, y, scale=1 / 3)
        assert_close(gradients(model), gradients(other), 1e-14)
        for each in (method, plain):
            each.optimizer.step()
            each.optimizer.zero_grad(set_to_none=each is plain)
        assert method.steps == step + 1


@pytest.mark.parametrize("name", ["sam", "gsam", "random"])
def test_by_a_closure(name):
    (method, model), (plain, other) = pair(BY_NAME[name])
    for each, net in ((method, model), (plain, other)):
        for x, y in batches(3):

            def closure(each=each, net=net, x=x, y=y):
                each.optimizer.zero_grad(set_to_none=each is plain)
                loss = each.criterion(net(x), y)
                loss.backward()
                return loss

            each.step(closure)
    assert_close(weights(model), weights(other), 1e-14)


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("name", ["sam", "gsam"])
def test_a_body_may_clear_as_it_likes(name, inside):
    """Also with set_to_none: the result lands in the memory that is kept."""
    (method, model), (plain, other) = pair(BY_NAME[name])
    train(method, model, batches(1))
    where = None
    for x, y in batches(2):
        for p in method.passes():
            if inside:
                method.optimizer.zero_grad()
            p.loss(model(x), y).backward()
        where = where or addresses(model)
        assert addresses(model) == where
        method.optimizer.step()
    train(plain, other, [*batches(1), *batches(2)])
    assert_close(weights(model), weights(other), 1e-14)


@pytest.mark.parametrize("name", ["sam", "gsam"])
@pytest.mark.parametrize("leave_after", [0, 1])
def test_an_aborted_flow_gives_back_what_stood_there(name, leave_after):
    x, y = batch()
    method, model = next(pair(BY_NAME[name]))
    train(method, model, batches(1))
    differentiate(method, model, x, y)
    before, where, held = gradients(model), addresses(model), weights(model)
    with pytest.raises(ZeroDivisionError):
        for p in method.passes():
            if p.index == leave_after:
                raise ZeroDivisionError
            p.loss(model(x), y).backward()
    assert_same(gradients(model), before)
    assert_same(weights(model), held)
    assert addresses(model) == where


def test_an_aborted_flow_leaves_zeros_of_a_gradient_that_was_used():
    x, y = batch()
    method, model = next(pair(BY_NAME["sam"]))
    train(method, model, batches(1))
    differentiate(method, model, x, y)
    method.optimizer.step()
    where = addresses(model)
    for p in method.passes():
        p.loss(model(x), y).backward()
        break
    assert not flat(gradients(model)).any() and addresses(model) == where


def test_before_there_were_gradients_an_abort_leaves_none():
    x, y = batch()
    method, model = next(pair(BY_NAME["sam"]))
    for p in method.passes():
        p.loss(model(x), y).backward()
        break
    assert addresses(model) == [None] * 6


def test_a_pass_without_a_backward_is_noticed():
    x, y = batch()
    method, model = next(pair(BY_NAME["sam"]))
    train(method, model, batches(1))
    with pytest.raises(NoGradientError):
        for p in method.passes():
            p.loss(model(x), y)


def test_a_gradient_of_ones_own_is_still_added():
    """Only that of the last step is dropped unasked."""
    x, y = batch()
    results = []
    for method, model in pair(BY_NAME["sam"]):
        train(method, model, batches(1))
        differentiate(method, model, x, y)
        method.optimizer.step()
        method.optimizer.zero_grad(set_to_none=not method.keep_gradient_buffers)
        sum(p.square().sum() for p in model.parameters()).backward()
        differentiate(method, model, x, y)
        results.append(gradients(model))
    assert_close(*results, 1e-14)


def test_unused_parameters_have_a_gradient_of_zero():
    model = nn.ModuleDict({"used": nn.Linear(4, 3), "unused": nn.Linear(4, 3)}).double()
    method = samnesia.sam(model, sgd(model), loss=F.cross_entropy, keep_gradient_buffers=True)
    x, y = batch()
    for name in ("unused", "used"):
        for p in method.passes():
            p.loss(model[name](x), y).backward()
        method.optimizer.step()
    assert not model["unused"].weight.grad.any() and model["used"].weight.grad.any()


def test_copies_during_the_last_pass_are_as_without():
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64)).double()
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    x, y = torch.randn(2, 64, dtype=torch.float64), torch.tensor([0, 1])
    method = samnesia.sam(model, sgd(model, momentum=0.0), loss=F.cross_entropy, keep_gradient_buffers=True)
    with Ledger([*model.parameters(), x, y]) as ledger:
        for _ in range(3):
            for p in method.passes():
                p.loss(model(x), y).backward()
                alive = ledger.alive
            method.optimizer.step()
    assert alive / size == pytest.approx(2, abs=0.2)  # the gradient, and the copy of the weights


def test_copies_in_host_memory_change_nothing():
    """Where the weights live there anyway; tests/gpu has the other case."""
    for row in METHODS:
        results = []
        for offload in (False, True):
            model = network()
            train(row(model, sgd(model), offload=offload), model, batches(2))
            results.append(weights(model))
        assert_same(*results)


@pytest.mark.parametrize("every", [0, -1, 2.5])
def test_rounding_is_measured_every_so_many_steps(every):
    model = network()
    with pytest.raises(ConfigurationError, match="measure_every"):
        samnesia.sam(model, sgd(model), measure_every=every)
    method = samnesia.sam(model, sgd(model), measure_every=2, loss=F.cross_entropy)
    measured = []
    for x, y in batches(5):
        train(method, model, [(x, y)])
        measured.append(method.last_step.cosine is not None)
        assert method.last_step.perturbation_norm == pytest.approx(0.05, rel=1e-9)
    assert measured == [True, False, True, False, True]


def test_in_two_steps():
    """Where the first gradient stands there already."""
    (method, model), (plain, other) = pair(BY_NAME["gsam"])
    for each, net in ((method, model), (plain, other)):
        halves = samnesia.two_step(each)
        for x, y in batches(3):
            F.cross_entropy(net(x), y).backward()
            halves.first_step(zero_grad=True)
            F.cross_entropy(net(x), y).backward()
            halves.second_step(zero_grad=True)
    assert_close(weights(model), weights(other), 1e-14)
