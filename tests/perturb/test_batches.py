"""Every method: micro-batches, accumulation, clipping, and the closure beside the loop."""

import pytest
import torch
import torch.nn.functional as F

import samnesia
from samnesia.perturb.errors import ConfigurationError, StaleGradientError
from tests.battery import BY_NAME, METHODS, STEADY
from tests.problems import (
    assert_close,
    assert_same,
    batch,
    batches,
    criterion_of,
    differentiate,
    gradients,
    loss_of,
    network,
    observed,
    sgd,
    train,
    weights,
)

X, Y = batch(8)


def built(row, **options):
    model = network()
    return row(model, sgd(model), **options), model


@pytest.mark.parametrize("size", [4, 3, 20], ids=["even", "ragged", "larger than the batch"])
@pytest.mark.parametrize("row", [row for row in METHODS if not (row.draws or row.remembers)], ids=str)
def test_chunks_by_their_share_are_the_mean_over_samples(row, size):
    """m-sharpness: each chunk has its own perturbation, and the sum of their gradients is what one step takes."""
    method, model = built(row)
    expected = {name: torch.zeros_like(w) for name, w in weights(model).items()}
    for rows in torch.arange(8).split(size):
        differentiate(method, model, X[rows], Y[rows], rows, scale=len(rows) / 8)
        alone, its_model = built(row)
        differentiate(alone, its_model, X[rows], Y[rows], rows)
        for name, gradient in gradients(its_model).items():
            expected[name] += len(rows) / 8 * gradient
    assert_close(gradients(model), expected, 1e-10)  # epsilon is not scaled with the loss
    assert method.last_step.micro_batches == len(torch.arange(8).split(size))


@pytest.mark.parametrize("row", [row for row in METHODS if row.zero_radius_is_base], ids=str)
def test_ragged_chunks_without_a_radius_are_the_whole_batch(row):
    method, model = built(row, rho=0.0)
    for rows in torch.arange(8).split(3):
        differentiate(method, model, X[rows], Y[rows], scale=len(rows) / 8)
    plain = network()
    F.cross_entropy(plain(X), Y).backward()
    assert_close(gradients(model), gradients(plain))


@pytest.mark.parametrize("row", [row for row in METHODS if not row.selects], ids=str)
def test_accumulation_inside_a_pass_is_the_whole_batch(row):
    method, model = built(row)
    for p in method.passes():
        for rows in torch.arange(8).split(3):
            loss = len(rows) / 8 * loss_of(p, model, X[rows], Y[rows], rows)
            if p.needs_gradient:
                loss.backward()
    whole, its_model = built(row)
    differentiate(whole, its_model, X, Y)
    assert_close(gradients(model), gradients(its_model))


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("row", METHODS, ids=str)
def test_a_standing_gradient_is_set_aside_and_added(row, set_to_none):
    """It has no part in the perturbation, and zero_grad at the start of a pass does not reach it."""
    method, model = built(row)
    torch.manual_seed(3)
    standing = {name: torch.randn_like(p) for name, p in model.named_parameters()}
    for name, parameter in model.named_parameters():
        parameter.grad = standing[name].clone()
    for p in method.passes():
        assert all(parameter.grad is None for parameter in model.parameters())
        method.optimizer.zero_grad(set_to_none)
        loss = loss_of(p, model, X, Y)
        if p.needs_gradient:
            loss.backward()
    alone, its_model = built(row)
    differentiate(alone, its_model, X, Y)
    assert_same(gradients(model), {name: g + standing[name] for name, g in gradients(its_model).items()})


@pytest.mark.parametrize("row", STEADY, ids=str)
def test_micro_batches_of_a_step_share_one_decision(row):
    """The schedule is asked once per optimizer step, and answers for all micro-batches."""
    asked = []

    def when(step):
        asked.append(step)
        return step % 2 == 1

    method, model = built(row, when=when)
    asked.clear()  # construction may ask
    passes = []
    for _ in range(4):
        for rows in torch.arange(8).split(3):
            passes.append(0)
            for p in method.passes():
                passes[-1] += 1
                loss = loss_of(p, model, X[rows], Y[rows])
                if p.needs_gradient:
                    loss.backward()
        method.optimizer.step()
        method.optimizer.zero_grad()
    if method.ascent is None:
        assert asked == []
    else:
        assert asked == [0, 1, 2, 3]
    assert passes == [1, 1, 1, *[row.passes] * 3, 1, 1, 1, *[row.passes] * 3]


def test_the_decision_is_shared_also_where_gradients_are_zeroed_instead_of_dropped():
    asked = []
    model = network()
    method = samnesia.sam(model, sgd(model), loss=F.cross_entropy, when=lambda step: asked.append(step) or True)
    for _ in range(3):
        differentiate(method, model, X, Y)
        differentiate(method, model, X, Y)
        assert method.last_step.micro_batches == 2
        method.optimizer.step()
        method.optimizer.zero_grad(set_to_none=False)
    assert asked == [0, 1, 2]


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_clipping_after_the_passes_acts_once_on_the_final_gradient(row):
    method, model = built(row)
    differentiate(method, model, X, Y)
    unclipped = gradients(model)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
    assert norm.item() == pytest.approx(method.last_step.gradient_norm, rel=1e-12)
    assert_close(gradients(model), {name: g * 1e-3 / (norm + 1e-6) for name, g in unclipped.items()}, 1e-12)


# -- the closure ------------------------------------------------------------------------------------------------------


def by_closure(method, model, x, y):
    losses = []

    def closure():
        method.optimizer.zero_grad()
        loss = criterion_of(method, model, x, y)
        loss.backward()
        losses.append(loss.detach())
        return loss

    returned = method.step(closure).detach()
    assert torch.equal(returned, losses[0] if method.teacher is None else losses[-1])
    return len(losses)


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_closure_and_loop_are_bit_equal(row):
    """No gradient is needed beforehand; the loss of the first pass is returned."""
    (looped, model), (closed, its_model) = built(row), built(row)
    train(looped, model, batches(4))
    counts = [by_closure(closed, its_model, x, y) for x, y in batches(4)]
    assert counts == [row.passes] * 4 or row.varies
    assert_same(weights(model), weights(its_model))
    assert closed.steps == looped.steps == 4


@pytest.mark.parametrize("set_to_none", [True, False])
def test_a_closure_discards_the_gradient_of_the_last_step(set_to_none):
    """Whether or not, and however, somebody cleared it."""
    (cleared, model), (standing, its_model) = built(BY_NAME["sam"]), built(BY_NAME["sam"])
    for x, y in batches(3):
        by_closure(cleared, model, x, y)
        cleared.optimizer.zero_grad(set_to_none=set_to_none)
        by_closure(standing, its_model, x, y)
    assert_same(weights(model), weights(its_model))


def test_a_closure_on_an_accumulated_gradient_is_refused():
    """Its micro-batches before would have had no perturbation, or none of their own."""
    method, model = built(BY_NAME["sam"])
    F.cross_entropy(model(X), Y).backward()
    before = observed(model)
    with pytest.raises(StaleGradientError, match=r"cannot run step\(closure\), .*on an accumulated gradient"):
        by_closure(method, model, X, Y)
    assert_same(observed(model), before)


def test_a_loop_that_clears_gradients_only_in_its_body_is_refused_at_its_second_step():
    """Or the gradients of all steps would add up, as the one of the last step is set aside and added again."""
    method, model = built(BY_NAME["sam"])

    def iteration():
        for p in method.passes():
            method.optimizer.zero_grad()
            loss_of(p, model, X, Y).backward()
        method.optimizer.step()

    iteration()
    before = observed(model)
    with pytest.raises(StaleGradientError, match=r"call optimizer.zero_grad\(\) after optimizer.step\(\)"):
        iteration()
    assert_same(observed(model), before)
    method.optimizer.zero_grad(set_to_none=False)
    iteration()
    assert method.steps == 2


def test_a_closure_runs_with_gradients_on_even_if_the_caller_turned_them_off():
    (method, model), (other, its_model) = built(BY_NAME["sam"]), built(BY_NAME["sam"])
    with torch.no_grad():
        by_closure(method, model, X, Y)
    by_closure(other, its_model, X, Y)
    assert_same(weights(model), weights(its_model))


def test_an_exception_in_a_closure_restores_everything():
    method, model = built(BY_NAME["gsam"])
    before = observed(model)
    calls = []

    def closure():
        calls.append(None)
        if len(calls) == 2:
            raise RuntimeError("out of memory")
        loss = criterion_of(method, model, X, Y)
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match="out of memory"):
        method.step(closure)
    assert_same(observed(model), before)
    assert method.steps == 0


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_a_closure_step_that_is_not_finite_is_skipped_and_not_counted(row):
    """Infinite in the first pass, then in the last."""
    for index in {0, row.passes - 1}:
        method, model = built(row)
        before = weights(model)
        calls = []

        def closure(method=method, model=model, index=index, calls=calls):
            method.optimizer.zero_grad()
            loss = criterion_of(method, model, X, Y)
            (loss * torch.inf if len(calls) == index else loss).backward()
            calls.append(None)
            return loss

        method.step(closure)
        skipped = row.needs_gradient(index)
        assert method.last_step.finite is not skipped
        assert method.steps == int(not skipped)
        if skipped:
            assert_same(weights(model), before)
        by_closure(method, model, X, Y)
        assert method.last_step.finite and method.steps == 1 + int(not skipped)


def test_the_criterion_outside_of_passes_is_the_training_loss():
    method, model = built(BY_NAME["obf"])
    output = model(X)
    assert torch.equal(method.criterion(output, Y), F.cross_entropy(output, Y))
    plain = samnesia.sam(model, sgd(model))
    with pytest.raises(ConfigurationError, match="without loss=; give"):
        plain.criterion(output, Y)


def test_a_layer_frozen_with_its_gradient_does_not_make_later_ones_stale():
    model, (x, y) = network(), batch()
    method = samnesia.sam(model, sgd(model), loss=F.cross_entropy)
    differentiate(method, model, x, y)
    model[1].requires_grad_(False)
    method.optimizer.step()
    for p in model[6].parameters():
        p.grad = None
    for _ in range(2):
        differentiate(method, model, x, y)
    assert method.last_step.micro_batches == 2
