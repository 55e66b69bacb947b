"""Every method: a flow that does not come to its end leaves everything as it was, and misuse is refused in words."""

import copy
import pickle
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from samnesia.perturb.errors import NoGradientError, PassesOpenError, UnfinishedPassesWarning
from tests.battery import BY_NAME, METHODS, STEADY
from tests.problems import (
    assert_same,
    batch,
    batches,
    criterion_of,
    differentiate,
    loss_of,
    network,
    observed,
    sgd,
    train,
    train_plainly,
    weights,
)

PASSES = [(row, index) for row in STEADY for index in range(row.passes)]


def prepared(row, **options):
    """A method in the middle of an accumulation, on a model with running statistics and dropout."""
    model = network(norm=nn.BatchNorm2d, dropout=0.5)
    method = row(model, sgd(model), **options)
    train(method, model, batches(1))
    differentiate(method, model, *batch())
    return method, model


def body(p, model, *, backward=True):
    loss = loss_of(p, model, batch()[0], batch()[1])
    if backward and p.needs_gradient:
        loss.backward()


def stop_by(error):
    def leave(method, model, index, backward):
        with pytest.raises(error):
            for p in method.passes():
                body(p, model, backward=backward or p.index < index)
                if p.index == index:
                    raise error

    return leave


def stop_by_break(method, model, index, backward):
    for p in method.passes():
        body(p, model, backward=backward or p.index < index)
        if p.index == index:
            break


def advance(passes, model, index, backward):
    for _ in range(index + 1):
        p = next(passes)
        body(p, model, backward=backward or p.index < index)


def stop_by_close(method, model, index, backward):
    passes = method.passes()
    advance(passes, model, index, backward)
    passes.close()


def stop_by_with(method, model, index, backward):
    with method.passes() as passes:
        advance(passes, model, index, backward)


def stop_by_dropping_the_iterator(method, model, index, backward):
    passes = method.passes()
    advance(passes, model, index, backward)
    del passes


WAYS = {
    "exception": stop_by(RuntimeError),
    "Ctrl-C": stop_by(KeyboardInterrupt),
    "break": stop_by_break,
    "close": stop_by_close,
    "with": stop_by_with,
    "dropped iterator": stop_by_dropping_the_iterator,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("row", "index"), PASSES, ids=str)
def test_leaving_early_restores_everything(row, index, way):
    """After the forward and after the backward of each pass: weights, gradients, buffers, modes, random state."""
    method, model = prepared(row)
    before, held, state = observed(model), [p.grad for p in model.parameters()], method.state_dict()
    for backward in (False, True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnfinishedPassesWarning)  # has its own test below
            WAYS[way](method, model, index, backward)
        assert_same(observed(model), before)
        assert all(p.grad is old for p, old in zip(model.parameters(), held, strict=True))
        assert method.state_dict() == state


@pytest.mark.parametrize("row", STEADY, ids=str)
def test_a_step_after_leaving_early_is_the_step(row):
    """The flow that was left has no part in the next."""
    (interrupted, model), (undisturbed, other) = prepared(row), prepared(row)
    stop_by_break(interrupted, model, row.passes - 1, False)
    for method, its_model in ((interrupted, model), (undisturbed, other)):
        torch.manual_seed(5)
        differentiate(method, its_model, *batch(seed=3))
        method.optimizer.step()
    assert_same(observed(model), observed(other))
    assert interrupted.last_step.micro_batches == undisturbed.last_step.micro_batches


def test_a_named_iterator_keeps_the_weights_perturbed_until_it_is_dropped():
    method, model = prepared(BY_NAME["sam"])
    clean = weights(model)
    passes = method.passes()
    advance(passes, model, 0, True)
    next(passes)
    assert (model[1].weight != clean["1.weight"]).any()
    del passes
    assert_same(weights(model), clean)


def test_zip_in_the_wrong_order_warns():
    method, model = prepared(BY_NAME["gsam"])
    before = weights(model)
    with pytest.warns(UnfinishedPassesWarning, match="put passes"):
        for _, p in zip(range(2), method.passes()):  # noqa: B905 (that is the point)
            body(p, model)
        del p
    assert_same(weights(model), before)


def test_zip_in_the_right_order_is_the_loop():
    (zipped, model), (looped, other) = prepared(BY_NAME["gsam"]), prepared(BY_NAME["gsam"])
    torch.manual_seed(5)
    for p, _ in zip(zipped.passes(), range(9), strict=False):
        body(p, model)
    torch.manual_seed(5)
    differentiate(looped, other, *batch())
    assert_same(observed(model), observed(other))


# -- what is refused inside a flow ------------------------------------------------------------------------------------

REFUSED = {
    "step of the optimizer": lambda method, model: method.optimizer.step(),
    "state of the optimizer": lambda method, model: method.optimizer.state_dict(),
    "state of the model": lambda method, model: model.state_dict(),
    "state of the method": lambda method, model: method.state_dict(),
    "loading the method's state": lambda method, model: method.load_state_dict({}),
    "copy of the method": lambda method, model: copy.deepcopy(method),
    "pickle of the method": lambda method, model: pickle.dumps(method),
    "copy of the model": lambda method, model: copy.deepcopy(model),
    "pickle of the model": lambda method, model: pickle.dumps(model),
    "second flow": lambda method, model: method.passes(),
    "step by closure": lambda method, model: method.step(lambda: None),
}


@pytest.mark.parametrize("act", REFUSED)
@pytest.mark.parametrize("index", [0, 1])
def test_is_refused_inside_passes(act, index):
    method, model = prepared(BY_NAME["sam"])
    before = observed(model)
    with pytest.raises(PassesOpenError, match="^cannot .*, because .*; "):
        for p in method.passes():
            body(p, model, backward=p.index < index)
            if p.index == index:
                REFUSED[act](method, model)
    assert_same(observed(model), before)
    assert method.steps == 1
    for name in ("step of the optimizer", "state of the model", "copy of the method"):
        REFUSED[name](method, model)  # and allowed again after it


@pytest.mark.parametrize("row", STEADY, ids=str)
def test_a_step_inside_any_pass_of_any_method_is_refused(row):
    for index in range(row.passes):
        method, model = prepared(row)
        before = observed(model)
        with pytest.raises(PassesOpenError, match="step the optimizer"):
            for p in method.passes():
                body(p, model, backward=p.index < index)
                if p.index == index:
                    method.optimizer.step()
        assert_same(observed(model), before)


@pytest.mark.parametrize("to", [True, False])
def test_switching_modes_inside_a_pass_is_refused_at_its_end(to):
    model = network(norm=nn.BatchNorm2d, dropout=0.5).train(not to)
    method = BY_NAME["sam"](model, sgd(model))
    before = weights(model)
    reached = []
    with pytest.raises(PassesOpenError, match="evaluate after the loop"):
        for p in method.passes():
            reached.append(p.index)
            body(p, model)
            model.train(to)
    assert reached == [0]
    assert_same(weights(model), before)


@pytest.mark.parametrize("pause", ["in the first pass", "in the last pass"])
def test_opening_a_second_flow_closes_the_first_and_raises(pause):
    method, model = prepared(BY_NAME["sam"])
    before = observed(model)
    suspended = method.passes()
    advance(suspended, model, 0, True)
    if pause == "in the last pass":
        next(suspended)
    with pytest.raises(PassesOpenError, match="they are restored now"):
        method.passes()
    assert_same(observed(model), before)
    assert next(suspended, None) is None
    differentiate(method, model, *batch())


def test_two_flows_made_before_either_began_do_not_mix():
    method, model = prepared(BY_NAME["sam"])
    before = observed(model)
    with pytest.raises(PassesOpenError):
        for p, _ in zip(method.passes(), method.passes(), strict=True):
            body(p, model)
    assert_same(observed(model), before)


# -- passes without a gradient, and with a loss of zero ---------------------------------------------------------------


@pytest.mark.parametrize("row", STEADY, ids=str)
def test_a_pass_without_a_gradient_is_a_named_error(row):
    for index in range(row.passes):
        method, model = prepared(row)
        before = observed(model)
        if row.needs_gradient(index):
            with pytest.raises(NoGradientError, match=f"cannot use pass {index}, .*call backward"):
                for p in method.passes():
                    body(p, model, backward=p.index < index)
            assert_same(observed(model), before)


def test_clearing_the_gradient_at_the_end_of_a_pass_is_the_same_error():
    method, model = prepared(BY_NAME["sam"])
    before = observed(model)
    with pytest.raises(NoGradientError, match=r"zero_grad\(\) only at its start"):
        for p in method.passes():
            body(p, model)
            method.optimizer.zero_grad()
    assert_same(observed(model), before)


@pytest.mark.parametrize("row", [row for row in METHODS if "obf" not in row.name], ids=str)
def test_a_loss_of_zero_is_an_ordinary_step(row):
    """Falsy, and its gradient is not zero."""
    model, plain = network(), network()
    with torch.no_grad():
        offset = float(F.cross_entropy(model(batch()[0]), batch()[1]))

    def shifted(output, target, reduction="mean"):
        return F.cross_entropy(output, target, reduction=reduction) - offset

    returned = []
    for net, loss in ((model, shifted), (plain, F.cross_entropy)):
        method = row(net, sgd(net), loss=loss)

        def closure(net=net, method=method):
            method.optimizer.zero_grad()
            value = criterion_of(method, net, *batch())
            value.backward()
            return value

        returned.append(float(method.step(closure).detach()))
        assert method.last_step.gradient_evaluations == max(row.gradients, 1)
        assert method.steps == 1
    assert_same(weights(model), weights(plain))
    if row.plan[0] == "a":
        assert returned[0] == 0.0


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_gradients_are_on_in_every_pass(row):
    """Also in flows opened where they were off: a `yield` inside of no_grad would turn them off in the body."""
    method, model = prepared(row)
    for p in method.passes():
        assert torch.is_grad_enabled()
        body(p, model)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("row", STEADY, ids=str)
def test_what_a_pass_tells(row):
    method, model = prepared(row)
    seen = []
    for p in method.passes():
        seen.append(p)
        body(p, model)
    assert [p.index for p in seen] == list(range(row.passes))
    assert [p.last for p in seen] == [False] * (row.passes - 1) + [True]
    assert [p.ascent for p in seen] == [row.is_ascent(p.index) for p in seen]
    assert [p.needs_gradient for p in seen] == [row.needs_gradient(p.index) for p in seen]
    assert seen[-1].needs_gradient


@pytest.mark.parametrize("row", STEADY, ids=str)
def test_the_flow_calls_neither_model_nor_optimizer(row):
    """Only the body does."""
    model = network()
    method = row(model, sgd(model))
    calls = []
    model.register_forward_hook(lambda *_: calls.append("forward"))
    method.optimizer.register_step_pre_hook(lambda *_: calls.append("step"))
    differentiate(method, model, *batch())
    assert calls == ["forward"] * row.passes


def test_plain_training_is_not_disturbed_by_a_method_that_is_not_used():
    model, plain = network(), network()
    optimizer = sgd(model)
    method = samnesia.sam(model, optimizer)
    train_plainly(model, optimizer, batches(3))
    train_plainly(plain, sgd(plain), batches(3))
    assert_same(weights(model), weights(plain))
    assert method.steps == 3
