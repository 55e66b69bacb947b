"""`last_step`: what it says is what happened."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from tests.battery import BY_NAME, METHODS, STEADY
from tests.problems import batch, differentiate, flat, gradients, loss_of, network, sgd, train, weights

X, Y = batch()


def clean_loss(model, x=X, y=Y):
    with torch.no_grad():
        return float(F.cross_entropy(model(x), y))


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_the_report_of_a_step(row):
    model = network()
    method = row(model, sgd(model))
    start, before = flat(weights(model)), clean_loss(model)
    for p in method.passes():
        point = flat(weights(model))
        loss = loss_of(p, model, X, Y)
        if p.needs_gradient:
            loss.backward()
    report = method.last_step
    assert report.gradient_evaluations == row.gradients
    assert report.micro_batches == 1
    assert report.perturbed is (row.begins == 0)
    assert report.perturbation_norm == pytest.approx(float((point - start).norm()), rel=1e-12)
    assert report.gradient_norm == pytest.approx(float(flat(gradients(model)).norm()), rel=1e-12)
    assert report.finite is True
    if row.begins == 0:
        assert report.rho == method.rho and report.cosine == pytest.approx(1.0, abs=1e-12)
    else:
        assert report.cosine is None and report.perturbation_norm == 0.0
    if not row.starts_moved:
        assert report.loss == pytest.approx(before, rel=1e-12)


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_the_report_of_micro_batches_is_about_all_of_them(row):
    model = network()
    method = row(model, sgd(model))
    losses, norms = [], []
    start = flat(weights(model))
    for rows in (slice(0, 4), slice(4, 8)):
        losses.append(clean_loss(model, X[rows], Y[rows]))
        for p in method.passes():
            point = flat(weights(model))
            loss = loss_of(p, model, X[rows], Y[rows])
            if p.needs_gradient:
                loss.backward()
        norms.append(float((point - start).norm()))
    report = method.last_step
    assert report.micro_batches == 2
    assert report.gradient_evaluations == 2 * row.gradients
    assert report.perturbation_norm == pytest.approx(sum(norms) / 2, rel=1e-12)
    assert report.gradient_norm == pytest.approx(float(flat(gradients(model)).norm()), rel=1e-12)
    if not row.starts_moved:
        assert report.loss == pytest.approx(sum(losses) / 2, rel=1e-12)
    method.optimizer.step()
    method.optimizer.zero_grad()
    train(method, model, [(X, Y)])
    assert method.last_step.micro_batches == 1


def test_a_plain_step_reports_one_evaluation_and_no_perturbation():
    model = network()
    method = BY_NAME["gsam"](model, sgd(model), when=samnesia.every(2))
    seen = []
    for _ in range(3):
        train(method, model, [(X, Y)])
        report = method.last_step
        seen.append((report.perturbed, report.gradient_evaluations, report.rho, report.perturbation_norm > 0))
    assert seen == [(True, 2, 0.1, True), (False, 1, 0.0, False), (True, 2, 0.1, True)]


def test_without_p_loss_the_loss_is_unknown_and_a_closure_tells_it():
    model = network()
    method = samnesia.sam(model, sgd(model))
    for _ in method.passes():
        F.cross_entropy(model(X), Y).backward()
    assert method.last_step.loss is None
    method.optimizer.zero_grad()
    before = clean_loss(model)

    def closure():
        method.optimizer.zero_grad()
        loss = F.cross_entropy(model(X), Y)
        loss.backward()
        return loss

    method.step(closure)
    assert method.last_step.loss == pytest.approx(before, rel=1e-12)


def test_before_the_first_step_nothing_has_happened():
    model = network()
    report = samnesia.sam(model, sgd(model)).last_step
    assert not report.perturbed and report.loss is None and report.gradient_norm is None and report.cosine is None
    assert report.gradient_evaluations == report.micro_batches == 0
    assert report.rho == report.perturbation_norm == 0.0


@pytest.mark.parametrize("row", [row for row in STEADY if row.begins == 0], ids=str)
def test_a_gradient_that_is_not_finite_in_any_pass_shows(row):
    for index in range(row.passes):
        model = network()
        method = row(model, sgd(model))
        needed = []
        for p in method.passes():
            loss = loss_of(p, model, X, Y)
            if p.needs_gradient:
                (loss * torch.nan if p.index == index else loss).backward()
            needed.append(p.needs_gradient)
        assert method.last_step.finite is not needed[index]


def test_rounding_that_bends_the_perturbation_shows_in_the_cosine():
    """Steps of 1e-8 on weights of 1 and more are not representable in float32."""
    model = nn.Linear(4, 3)
    with torch.no_grad():
        model.weight.fill_(3.0)
    method = samnesia.sam(model, sgd(model), rho=3e-7, loss=F.cross_entropy)
    differentiate(method, model, X.float(), Y)
    assert method.last_step.cosine < 0.99
    assert method.last_step.perturbation_norm != pytest.approx(3e-7, rel=1e-3)
    differentiate(samnesia.sam(model, sgd(model), rho=0.1, loss=F.cross_entropy), model, X.float(), Y)


def test_the_report_holds_numbers_only_when_asked():
    """Recording does not wait for a device: tensors stay tensors until read.

    In host memory, where nothing has to be waited for, it is asked once whether the direction is finite.
    """
    model = network()
    method = BY_NAME["sam"](model, sgd(model))
    reads = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if "_local_scalar_dense" in str(function):
                reads.append(function)
            return function(*args, **(kwargs or {}))

    with Watch():
        for p in method.passes():
            loss_of(p, model, X, Y).backward()
        assert len(reads) == 1
        assert method.last_step.loss is not None
        assert len(reads) == 2
