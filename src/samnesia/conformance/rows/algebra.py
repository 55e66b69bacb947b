"""What must hold of the numbers alone."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from samnesia.conformance import textbook
from samnesia.conformance.outcome import NotApplicable, Violation
from samnesia.conformance.problems import (
    TOLERANCE,
    Batch,
    backward,
    batches,
    expect_close,
    expect_finite,
    expect_same,
    network,
    pass_over,
    perturbation,
    train,
    train_plainly,
    weights,
)
from samnesia.conformance.subject import Candidate, Row
from samnesia.conformance.textbook import Formula, Tensors


def formula_of(candidate: Candidate) -> Formula:
    """The formula that the subject claims to follow."""
    if candidate.claims.formula is None:
        raise NotApplicable("claims no formula; give Claims(formula=samnesia.conformance.sam), say, to have it checked")
    return candidate.claims.formula


def train_by_formula(
    formula: Formula,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: list[Batch],
    rho: Mapping[str, float],
) -> None:
    """Steps of `optimizer` with the gradients of a textbook."""
    parameters = dict(model.named_parameters())
    for x, y in data:

        def gradient_of(values: Tensors, x: Tensor = x, y: Tensor = y) -> Tensors:
            leaves = {name: value.detach().requires_grad_() for name, value in values.items()}
            loss = F.cross_entropy(functional_call(model, leaves, (x,)), y)
            return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))

        gradient = formula({name: p.detach() for name, p in parameters.items()}, gradient_of, rho)
        for name, p in parameters.items():
            p.grad = gradient[name]
        optimizer.step()
        optimizer.zero_grad()


def equal_radii(model: nn.Module, rho: float) -> dict[str, float]:
    """One radius for every name."""
    return {name: rho for name, _ in model.named_parameters()}


def _rate_zero(candidate: Candidate) -> None:
    model = network().float()
    subject = candidate.build(model, lr=0.0, momentum=0.9, rho=0.1)
    before, ((x, y),) = weights(model), batches(1)
    train(subject, model, [(x.float(), y)] * 100)
    expect_same(weights(model), before, "after 100 steps at lr = 0 float32 weights differ from those before")


def _radius_zero(candidate: Candidate) -> None:
    if not candidate.claims.has_base:
        raise NotApplicable("is an optimizer of its own, with no base optimizer to be equal to")
    model, plain = network(), network()
    train(candidate.build(model, rho=0.0, momentum=0.9, weight_decay=0.01), model, batches(5))
    base = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    train_plainly(plain, base, batches(5))
    expect_close(
        weights(model), weights(plain), TOLERANCE, "at rho = 0, after 5 steps, weights differ from plain SGD's"
    )


class Quadratic(nn.Module):
    """The loss w' H w / 2 with curvatures from 0.5 to 4."""

    def __init__(self) -> None:
        super().__init__()
        self.hessian = torch.diag(torch.linspace(0.5, 4.0, 5, dtype=torch.float64))
        self.weight = nn.Parameter(torch.linspace(-1.0, 2.0, 5, dtype=torch.float64))

    def forward(self) -> Tensor:
        """The loss."""
        return self.weight @ self.hessian @ self.weight / 2


def _quadratic(candidate: Candidate) -> None:
    if candidate.claims.formula is not textbook.sam:
        raise NotApplicable("the closed form is that of SAM, which the subject does not claim to follow")
    model, rho = Quadratic(), 0.3
    w, hessian = weights(model), model.hessian
    gradient = hessian @ w
    expected = w - 0.1 * hessian @ (w + rho * gradient / gradient.norm())
    candidate.build(model, rho=rho).step(lambda index: backward(model()))
    expect_close(weights(model), expected, TOLERANCE, "one step on w'Hw/2 differs from w - lr H(w + rho g/|g|)")


def _follows_formula(candidate: Candidate) -> None:
    formula = formula_of(candidate)
    model, by_hand, rho = network(), network(), 0.2
    train(candidate.build(model, rho=rho, momentum=0.9, weight_decay=0.01), model, batches(5))
    base = torch.optim.SGD(by_hand.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    train_by_formula(formula, by_hand, base, batches(5), equal_radii(by_hand, rho))
    expect_close(weights(model), weights(by_hand), TOLERANCE, "after 5 steps weights differ from the claimed formula's")


def _decay_outside(candidate: Candidate) -> None:
    seen = []
    for decay in (0.0, 10.0):
        model = network()
        torch.manual_seed(0)
        subject = candidate.build(model, rho=0.1, weight_decay=decay)
        seen.append(perturbation(subject, model, pass_over(model, batches(1)[0])))
    expect_close(
        seen[1], seen[0], TOLERANCE, "with weight decay 10 the perturbation (rho = 0.1) differs from that without"
    )


def _number_of_passes(candidate: Candidate) -> None:
    model, steps = network(), 12
    subject, calls = candidate.build(model), 0

    for batch in batches(steps):

        def counted(index: int, batch: Batch = batch) -> Tensor:
            nonlocal calls
            calls += 1
            return pass_over(model, batch)(index)

        subject.step(counted)
    expected = steps * candidate.claims.passes
    if calls != expected:
        raise Violation(f"took {calls} gradients in {steps} steps, where it claims {expected}")


def _objective_falls(candidate: Candidate) -> None:
    model = network()
    subject = candidate.build(model)
    x, y = batches(1, samples=16)[0]

    def loss() -> float:
        with torch.no_grad():
            return float(F.cross_entropy(model(x), y))

    before = loss()
    train(subject, model, [(x, y)] * 40)
    expect_finite(model, "after 40 steps")
    if not loss() < 0.95 * before:
        raise Violation(f"the loss of one batch went from {before:.3f} to {loss():.3f} in 40 steps with rho = 0.05")


ROWS = (
    Row(
        "1",
        "lr = 0 leaves every weight bit for bit as it was",
        "The perturbation is taken back inexactly: weights wander on their own, more in low precision, and checksums, "
        "frozen layers and the reproduction of a run are lost.",
        _rate_zero,
    ),
    Row(
        "2",
        "rho = 0 is the base optimizer",
        "No run can be compared with its baseline, because something other than the perturbation differs as well.",
        _radius_zero,
    ),
    Row(
        "3",
        "One step on a quadratic is the closed form",
        "It is called SAM and computes something else; radii of papers mean nothing for it.",
        _quadratic,
    ),
    Row(
        "4",
        "Equals its formula, written slowly, over steps with momentum and weight decay",
        "Results under this name are those of another method.",
        _follows_formula,
    ),
    Row(
        "8",
        "Weight decay does not enter the perturbation",
        "With strong decay and small gradients the perturbation points along the weights, not along the loss.",
        _decay_outside,
    ),
    Row(
        "9",
        "Takes exactly the gradients that it says",
        "Steps are dropped or paid twice without a word: cost and schedule are not those that were planned.",
        _number_of_passes,
    ),
    Row(
        "10",
        "The loss of one batch falls",
        "Training does not train.",
        _objective_falls,
    ),
)
