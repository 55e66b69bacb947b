"""`two_step`: the same flow behind two calls, for loops written for them."""

import gc

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from samnesia.perturb.errors import (
    ConfigurationError,
    NoGradientError,
    ObjectiveNotUsedError,
    PassesError,
    PassesOpenError,
)
from tests.battery import BY_NAME, METHODS
from tests.problems import batch, batches, differentiate, flat, network, sgd, train, weights

ONE_PASS = ("unperturbed", "late sam", "lookahead", "shrink and perturb")  # which can be waited for, too
TWO_STEPPED = [row for row in METHODS if row.plan == "al" and row.name != "functional sam" or row.name in ONE_PASS]
OTHERS = [row for row in METHODS if row not in TWO_STEPPED]


def problem(row, **options):
    model = network(norm=nn.BatchNorm2d)
    return model, row(model, sgd(model), **options)


def drive(two, model, data, chunks=1):
    for x, y in data:
        for half in (two.first_step, two.second_step):
            for part_x, part_y in zip(x.chunk(chunks), y.chunk(chunks), strict=True):
                (two.loss(model(part_x), part_y) / chunks).backward()
            half(zero_grad=True)


@pytest.mark.parametrize("row", TWO_STEPPED, ids=str)
def test_equals_the_loop_over_passes(row):
    model, method = problem(row)
    drive(samnesia.two_step(method), model, batches(4))
    other, reference = problem(row)
    train(reference, other, batches(4))
    assert torch.equal(flat(weights(model)), flat(weights(other)))
    assert method.steps == reference.steps == 4
    if reference.last_step.perturbed:  # or the loop has one pass, and this protocol two
        assert method.last_step.gradient_evaluations == reference.last_step.gradient_evaluations == 2
        assert method.last_step.perturbation_norm == reference.last_step.perturbation_norm
    if row.plan == "al" and not row.varies:
        assert all(torch.equal(a, b) for a, b in zip(model.buffers(), other.buffers(), strict=True))


def test_accumulated_gradients_share_one_perturbation():
    model, method = problem(BY_NAME["sam"])
    drive(samnesia.two_step(method), model, batches(2), chunks=2)
    other, reference = problem(BY_NAME["sam"])
    for x, y in batches(2):
        for p in reference.passes():
            for part_x, part_y in zip(x.chunk(2), y.chunk(2), strict=True):
                (p.loss(other(part_x), part_y) / 2).backward()
        reference.optimizer.step()
        reference.optimizer.zero_grad()
    assert torch.equal(flat(weights(model)), flat(weights(other)))


def test_running_statistics_move_once():
    model, method = problem(BY_NAME["sam"])
    drive(samnesia.two_step(method), model, batches(3))
    assert model[2].num_batches_tracked == 3


def test_plain_steps_of_a_schedule():
    model, method = problem(BY_NAME["sam"], when=samnesia.every(3, phase=1))
    two, perturbed = samnesia.two_step(method), []
    for data in batches(4):
        drive(two, model, [data])
        perturbed.append(method.last_step.perturbed)
    assert perturbed == [False, True, False, False]
    other, reference = problem(BY_NAME["sam"], when=samnesia.every(3, phase=1))
    train(reference, other, batches(4))
    assert torch.equal(flat(weights(model)), flat(weights(other)))


@pytest.mark.parametrize("steep", [-1e6, 0.3, 1e6])
def test_an_ascent_that_decides_not_to_move(steep):
    """The second gradient is taken at the same weights."""
    runs = []
    for by_two in (True, False):
        model = network()
        method = samnesia.ae_sam(
            model, sgd(model), rho=0.1, total_steps=12, lambda_1=steep, lambda_2=steep, loss=F.cross_entropy
        )
        perturbed, two = [], samnesia.two_step(method)
        for data in batches(12, num_samples=2):
            if by_two:
                drive(two, model, [data])
            else:
                train(method, model, [data])
            perturbed.append(method.last_step.perturbed)
        runs.append((perturbed, flat(weights(model)), method.steps))
    assert runs[0][0] == runs[1][0] and runs[0][2] == 12
    assert torch.equal(runs[0][1], runs[1][1])
    assert len(set(runs[0][0])) == (2 if steep == 0.3 else 1)


def test_a_derivative_of_the_first_outputs_is_refused():
    model = network()
    with pytest.raises(ConfigurationError, match=r"cannot drive FrozenDerivative in two steps, because .*loop over"):
        samnesia.two_step(samnesia.functional_sam(model, sgd(model)))


@pytest.mark.parametrize("row", OTHERS, ids=str)
def test_other_numbers_of_gradients_are_refused(row):
    with pytest.raises(ConfigurationError, match=r"cannot drive \w+ in two steps, because .*loop over method\.passes"):
        samnesia.two_step(problem(row)[1])


def test_replayed_dropout_is_refused():
    with pytest.raises(ConfigurationError, match=r"cannot replay dropout in two steps.*loop over method\.passes"):
        samnesia.two_step(problem(BY_NAME["sam"], replay_dropout=True)[1])


def test_an_ascent_with_a_forward_pass_beside_its_gradient_is_refused():
    class Roundabout(samnesia.Ascent):
        num_gradients = 1

        def climb(self, point):
            from samnesia.perturb.parts.point import Need

            gradients = yield Need.GRADIENT
            yield Need.FORWARD
            point.move(gradients)

    model = network()
    method = samnesia.PerturbedGradient(model, sgd(model), ascent=Roundabout(), loss=F.cross_entropy)
    two, (x, y) = samnesia.two_step(method), batch()
    two.loss(model(x), y).backward()
    gradient = model[1].weight.grad
    with pytest.raises(PassesError, match="cannot drive Roundabout in two steps"):
        two.first_step()
    assert model[1].weight.grad is gradient


def test_an_objective_must_be_ascended():
    model, method = problem(BY_NAME["obf"])
    two, (x, y) = samnesia.two_step(method), batch()
    for _ in range(2):  # once used, it has to be used again on the next step
        F.cross_entropy(model(x), y).backward()
        with pytest.raises(ObjectiveNotUsedError, match=r"two_step\(method\)\.loss"):
            two.first_step()
        method.optimizer.zero_grad()
        drive(two, model, [(x, y)])


def test_the_second_step_needs_a_first():
    model, method = problem(BY_NAME["sam"])
    two, (x, y) = samnesia.two_step(method), batch()
    two.loss(model(x), y).backward()
    with pytest.raises(PassesError, match="cannot take the second step, because no first step stands before it"):
        two.second_step()
    assert method.steps == 0


def test_two_first_steps_restore_and_step_nothing():
    model, method = problem(BY_NAME["sam"])
    two, (x, y), before = samnesia.two_step(method), batch(), weights(model)
    two.loss(model(x), y).backward()
    two.first_step()
    with pytest.raises(PassesOpenError):
        two.first_step()
    assert torch.equal(flat(weights(model)), flat(before))
    with pytest.raises(PassesError, match="cannot take the second step"):
        two.second_step()
    assert torch.equal(flat(weights(model)), flat(before))
    method.optimizer.zero_grad()
    drive(two, model, [(x, y)])
    assert method.steps == 1


def test_a_flow_closed_from_outside_cannot_be_finished():
    model, method = problem(BY_NAME["sam"])
    two, (x, y), before = samnesia.two_step(method), batch(), weights(model)
    two.loss(model(x), y).backward()
    two.first_step()
    with pytest.raises(PassesOpenError):
        method.passes()
    with pytest.raises(PassesError, match="cannot take the second step"):
        two.second_step()
    assert torch.equal(flat(weights(model)), flat(before))


@pytest.mark.parametrize("end", ["close", "drop"])
def test_an_exception_between_the_halves(end):
    model, method = problem(BY_NAME["sam"])
    two, (x, y) = samnesia.two_step(method), batch()
    two.loss(model(x), y).backward()
    before, gradients = weights(model), [p.grad for p in model.parameters()]
    buffers = [b.clone() for b in model.buffers()]
    two.first_step(zero_grad=True)
    assert not torch.equal(flat(weights(model)), flat(before))
    with pytest.raises(ValueError, match="batch_size"):
        two.loss(model(x), y[:-1])
    if end == "close":
        two.close()
        two.close()
    else:
        del two
        gc.collect()
    assert torch.equal(flat(weights(model)), flat(before))
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), buffers, strict=True))
    differentiate(method, model, x, y)


def test_a_step_without_a_first_gradient():
    model, method = problem(BY_NAME["sam"])
    two, before = samnesia.two_step(method), weights(model)
    with pytest.raises(NoGradientError):
        two.first_step()
    assert torch.equal(flat(weights(model)), flat(before))


def test_a_step_that_is_not_finite_is_skipped():
    model, method = problem(BY_NAME["sam"])
    two, (x, y), before = samnesia.two_step(method), batch(), weights(model)
    (two.loss(model(x), y) * float("inf")).backward()
    two.first_step()
    two.loss(model(x), y).backward()
    two.second_step(zero_grad=True)
    assert not method.last_step.finite
    assert method.steps == 0
    assert torch.equal(flat(weights(model)), flat(before))
    assert all(p.grad is None for p in model.parameters())


def test_gradients_stay_if_they_are_not_to_be_cleared():
    model, method = problem(BY_NAME["sam"])
    two, (x, y) = samnesia.two_step(method), batch()
    two.loss(model(x), y).backward()
    two.first_step()
    two.loss(model(x), y).backward()
    two.second_step()
    assert all(p.grad is not None for p in model.parameters())


def test_without_a_loss_the_caller_computes_his_own():
    model = network()
    two, (x, y) = samnesia.two_step(samnesia.sam(model, sgd(model))), batch()
    with pytest.raises(ConfigurationError, match="built without loss="):
        two.loss(model(x), y)
