"""Gradient buffers that stay where they are, as graphs of a whole step need them: every method, and nothing changes."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from benchmarks.stepcost.meters import Ledger
from samnesia.perturb.errors import ConfigurationError, NoGradientError, StaleGradientError
from tests.battery import BY_NAME, METHODS
from tests.problems import (
    assert_close,
    assert_same,
    batch,
    batches,
    criterion_of,
    differentiate,
    flat,
    gradients,
    loss_of,
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


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_one_address_over_all_passes_and_steps(row):
    (method, model), (plain, other) = pair(row)
    seen = set()
    for x, y in batches(4):
        for p in method.passes():
            loss = loss_of(p, model, x, y)
            if p.needs_gradient:
                loss.backward()
                seen.add(tuple(addresses(model)))
        seen.add(tuple(addresses(model)))
        method.optimizer.step()
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
                loss = criterion_of(each, net, x, y)
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
    for x, y in batches(2):
        where = None
        for p in method.passes():
            if inside:
                method.optimizer.zero_grad()
            loss_of(p, model, x, y).backward()
            where = where or addresses(model)
        assert inside or addresses(model) == where
        method.optimizer.step()
        method.optimizer.zero_grad(set_to_none=inside)
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
            loss_of(p, model, x, y).backward()
    assert_same(gradients(model), before)
    assert_same(weights(model), held)
    assert addresses(model) == where


def test_a_gradient_that_was_stepped_has_to_be_cleared_here_too():
    """Nothing is dropped by guessing: a step may have been skipped, and a frozen layer's gradient stands for ever."""
    x, y = batch()
    method, model = next(pair(BY_NAME["sam"]))
    differentiate(method, model, x, y)
    method.optimizer.step()
    with pytest.raises(StaleGradientError):
        differentiate(method, model, x, y)
    method.optimizer.zero_grad(set_to_none=False)
    differentiate(method, model, x, y)


def test_an_overflow_is_one_skipped_step():
    x, y = batch()
    method, model = next(pair(BY_NAME["sam"]))
    scaler, scales = torch.amp.GradScaler("cpu", init_scale=4.0), []
    for step in range(4):
        differentiate(method, model, x * (float("inf") if step == 1 else 1.0), y, scale=scaler.get_scale())
        scaler.scale(torch.ones(()))
        scaler.step(method.optimizer)
        scaler.update()
        method.optimizer.zero_grad(set_to_none=False)
        scales.append(scaler.get_scale())
    assert scales == [4.0, 2.0, 2.0, 2.0] and method.steps == 3


def test_a_layer_frozen_between_steps_stands_still():
    (x, y), (method, model) = batch(), next(pair(BY_NAME["sam"]))
    train(method, model, batches(1))
    differentiate(method, model, x, y)
    method.optimizer.step()
    method.optimizer.zero_grad(set_to_none=False)
    model[1].requires_grad_(False)
    before = model[1].weight.clone()
    for group in method.optimizer.param_groups:
        group["momentum"] = 0.0
    for _ in range(2):  # two micro-batches add up, though the first parameter's gradient never changes
        differentiate(method, model, x, y)
    assert method.last_step.micro_batches == 2
    method.optimizer.step()
    assert torch.equal(model[1].weight, before)


def test_an_aborted_closure_leaves_zeros_of_what_it_was_to_drop():
    x, y = batch()
    method, model = next(pair(BY_NAME["sam"]))
    differentiate(method, model, x, y)
    method.optimizer.step()
    where = addresses(model)

    def closure():
        method.optimizer.zero_grad(set_to_none=False)
        criterion_of(method, model, x, y).backward()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        method.step(closure)
    assert not flat(gradients(model)).any() and addresses(model) == where


def test_before_there_were_gradients_an_abort_leaves_none():
    x, y = batch()
    method, model = next(pair(BY_NAME["sam"]))
    for p in method.passes():
        loss_of(p, model, x, y).backward()
        break
    assert addresses(model) == [None] * 6


def test_a_pass_without_a_backward_is_noticed():
    x, y = batch()
    method, model = next(pair(BY_NAME["sam"]))
    train(method, model, batches(1))
    with pytest.raises(NoGradientError):
        for p in method.passes():
            loss_of(p, model, x, y)


def test_a_gradient_of_ones_own_is_added():
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
        where = [p.grad for p in model.parameters()]
        method.optimizer.zero_grad(set_to_none=False)
    assert None not in where
    for p in method.passes():
        p.loss(model["used"](x), y).backward()
    assert not model["unused"].weight.grad.any() and model["used"].weight.grad.any()


def test_copies_during_the_last_pass_are_as_without():
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64)).double()
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    x, y = torch.randn(2, 64, dtype=torch.float64), torch.tensor([0, 1])
    method = samnesia.sam(model, sgd(model, momentum=0.0), loss=F.cross_entropy, keep_gradient_buffers=True)
    with Ledger() as ledger:
        for _ in range(3):
            for p in method.passes():
                loss_of(p, model, x, y).backward()
                alive = ledger.alive()
            method.optimizer.step()
            method.optimizer.zero_grad(set_to_none=False)
    assert alive / size == pytest.approx(3, abs=0.2)  # the gradient, the copy of the weights, and what stood there


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


def test_rounding_is_measured_also_where_perturbed_steps_are_no_multiples():
    model = network()
    method = samnesia.sam(model, sgd(model), measure_every=5, when=samnesia.every(10, phase=9), loss=F.cross_entropy)
    measured = []
    for x, y in batches(40):
        train(method, model, [(x, y)])
        measured.append(method.last_step.cosine is not None)
    assert [step for step, was in enumerate(measured) if was] == [9, 19, 29, 39]


class TwoBiases(nn.Module):
    """Autograd gives both biases one and the same gradient."""

    def __init__(self, view):
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(3, 4).double())
        self.first, self.second = (nn.Parameter(torch.randn(3).double()) for _ in range(2))
        self.view = view

    def forward(self, x):
        both = self.first.view(1, 3) + self.second.view(1, 3) if self.view else self.first + self.second
        return F.linear(x, self.weight) + both


@pytest.mark.parametrize("by_hand", [False, True], ids=["backward", "autograd.grad"])
@pytest.mark.parametrize("view", [False, True])
@pytest.mark.parametrize("row", [row for row in METHODS if row.gradients > 1], ids=str)
def test_gradients_that_share_memory(row, view, by_hand):
    """Equal gradients of parameters that move alike, and those that the user holds are left alone."""
    (x, y), model, held = batch(), TwoBiases(view), []
    with torch.no_grad():
        model.second.copy_(model.first)  # or scaled balls would tell them apart
    method = row(model, sgd(model))
    for step in range(2):
        for p in method.passes():
            loss = loss_of(p, model, x, y)
            if by_hand:
                before = [0 if q.grad is None else q.grad for q in model.parameters()]
                found = torch.autograd.grad(loss, list(model.parameters()))
                for q, g, old in zip(model.parameters(), found, before, strict=True):
                    q.grad = old + g if torch.is_tensor(old) else g
            else:
                loss.backward()
            held += [(q.grad, q.grad.clone()) for q in model.parameters()]
        assert torch.equal(model.first.grad, model.second.grad), step
    assert all(torch.equal(gradient, copy) for gradient, copy in held)
    single = TwoBiases(view)
    with torch.no_grad():
        single.second.copy_(single.first)
    apart = row(single, sgd(single))
    for _ in range(2):
        for p in apart.passes():
            loss_of(p, single, x, y).backward()
            for q in single.parameters():
                q.grad = q.grad.clone()
    assert_close(gradients(model), gradients(single), 1e-14)


@pytest.mark.parametrize("keep", [False, True])
def test_an_ascent_may_look_at_its_first_gradient_later(keep):
    class TwoGradients(samnesia.Ascent):
        num_gradients = 2

        def climb(self, point):
            first = yield samnesia.Need.GRADIENT
            size = point.start.norm(first)
            point.move(first)
            yield samnesia.Need.GRADIENT
            sizes.append((size, point.start.norm(first)))

    sizes, model, (x, y) = [], network(), batch()
    method = samnesia.PerturbedGradient(
        model, sgd(model), rho=0.5, ascent=TwoGradients(), loss=F.cross_entropy, keep_gradient_buffers=keep
    )
    differentiate(method, model, x, y)
    ((at_first, later),) = sizes
    assert at_first == later


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
