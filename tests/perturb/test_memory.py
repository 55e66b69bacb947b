"""Every method: how many copies of the parameters it holds, and that none stays behind."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.stepcost.meters import Ledger
from tests.battery import METHODS
from tests.problems import loss_of, sgd, train

WIDTH = 64
X, Y = torch.randn(2, WIDTH, dtype=torch.float64), torch.tensor([0, 1])


def model_and_size():
    """Large layers and a batch of two, so that nothing but weights and gradients counts."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH)).double()
    return model, sum(p.numel() * p.element_size() for p in model.parameters())


KNOWN = [row for row in METHODS if not row.decides]  # what the third step is
MOMENTUM = 1  # the optimizer's own copy


def settled(row):
    """Before a third step: the optimizer and the method remember what they do from step to step."""
    model, size = model_and_size()
    method = row(model, sgd(model))
    ledger = Ledger()
    with ledger:
        train(method, model, [(X, Y)] * 2)
    return method, model, ledger, size


@pytest.mark.parametrize("row", KNOWN, ids=str)
def test_copies_of_the_parameters_that_live_during_the_last_pass(row):
    """Beside gradients and activations, which plain training holds as well."""
    method, model, ledger, size = settled(row)
    with ledger:
        for p in method.passes():
            before_forward = ledger.alive()
            loss = loss_of(p, model, X, Y)
            if p.needs_gradient:
                loss.backward()
            after_backward = ledger.alive()
    assert before_forward / size == pytest.approx(MOMENTUM + row.copies, abs=0.1)
    assert after_backward / size == pytest.approx(MOMENTUM + row.copies + 1, abs=0.2)


@pytest.mark.parametrize("row", KNOWN, ids=str)
def test_copies_during_a_last_pass_under_accumulation(row):
    """The gradient of earlier micro-batches is set aside, one more, and what these made the method remember."""
    method, model, ledger, size = settled(row)
    with ledger:
        for _ in range(2):
            for p in method.passes():
                before_forward = ledger.alive()
                loss_of(p, model, X, Y).backward()
    assert before_forward / size == pytest.approx(MOMENTUM + row.copies + 1 + row.waits - row.keeps, abs=0.2)


@pytest.mark.parametrize("row", KNOWN, ids=str)
def test_the_gradient_alone_stays_after_the_passes(row):
    """And what the method remembers, though the last pass and its loss are still at hand."""
    method, model, ledger, size = settled(row)
    with ledger:
        for p in method.passes():
            loss = loss_of(p, model, X, Y)
            loss.backward()
        assert p.last and loss.requires_grad
        assert ledger.alive() / size == pytest.approx(MOMENTUM + 1 + row.waits, abs=0.1)
        method.optimizer.step()
        method.optimizer.zero_grad()
        assert ledger.alive() / size == pytest.approx(MOMENTUM + row.keeps, abs=0.1)


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_nothing_stays_after_a_flow_that_was_left(row):
    model, size = model_and_size()
    method = row(model, sgd(model))
    with Ledger() as ledger:
        for p in method.passes():
            loss = loss_of(p, model, X, Y)
            if p.last:
                break
            loss.backward()
        assert p.last and loss.requires_grad
        assert ledger.alive() / size < 0.1


def test_memory_does_not_grow_with_steps():
    model, _ = model_and_size()
    method = METHODS[1](model, sgd(model))
    alive = []
    with Ledger() as ledger:
        for _ in range(6):
            for p in method.passes():
                loss_of(p, model, X, Y).backward()
            method.optimizer.step()
            method.optimizer.zero_grad()
            alive.append(ledger.alive())
    assert alive[1:] == [alive[1]] * 5


def test_the_ledger_counts():
    """Or the tests above would show nothing."""
    with Ledger() as ledger:
        kept = [torch.zeros(100, dtype=torch.float64)]
        view = kept[0][:50]
        assert ledger.alive() == 800
        kept.append(kept[0] + 1)
        assert ledger.alive() == 1600
        del kept
        assert ledger.alive() == 800
        del view
        assert ledger.alive() == 0
        loss = F.mse_loss(torch.ones(10, requires_grad=True).exp(), torch.zeros(10))
        assert ledger.alive() > 40, "what autograd keeps counts too"
        del loss
