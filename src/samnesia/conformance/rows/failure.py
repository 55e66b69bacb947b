"""What is left after something went wrong in the middle of a step."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samnesia.conformance.adapters import Differentiate
from samnesia.conformance.outcome import Violation, first_line
from samnesia.conformance.problems import (
    HIDDEN,
    TOLERANCE,
    Batch,
    Net,
    attempt,
    backward,
    batches,
    counted_steps,
    expect_close,
    expect_finite,
    expect_same,
    network,
    pass_over,
    train,
    weights,
)
from samnesia.conformance.subject import Candidate, Row

RHO = 0.1
SCALE = 1024.0


class Failure(Exception):
    """What goes wrong, for example for want of memory."""


class Interruption(KeyboardInterrupt):
    """Ctrl-C, told apart from the one that the user of the suite presses."""


def failing(model: nn.Module, batch: Batch, at: int, error: BaseException) -> Differentiate:
    """A pass over a batch that fails, after its backward, in pass `at`."""

    def differentiate(index: int) -> Tensor:
        loss = pass_over(model, batch)(index)
        if index == at:
            raise error
        return loss

    return differentiate


def _overflow(candidate: Candidate, at: int) -> None:
    candidate.needs_passes(at + 1)
    model = network()
    subject = candidate.build(model, rho=RHO, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", init_scale=SCALE, growth_interval=10**6)
    x, y = batches(1)[0]
    steps = counted_steps(subject)

    def differentiate(index: int, *, spoilt: bool) -> Tensor:
        loss = F.cross_entropy(model(x), y) * (float("inf") if spoilt and index == at else 1.0)
        backward(scaler.scale(loss))
        return loss

    before = weights(model)
    subject.scaled_step(lambda index: differentiate(index, spoilt=True), scaler)
    expect_finite(model, f"after an overflow in pass {at + 1}")
    what = f"after an overflow in pass {at + 1} weights differ from those before"
    expect_close(weights(model), before, TOLERANCE, what)
    if scaler.get_scale() != SCALE / 2:
        raise Violation(f"the scale went from {SCALE:.0f} to {scaler.get_scale():.0f}; one overflow halves it once")
    if steps:
        raise Violation("step hooks saw a step that the scaler skipped")
    subject.scaled_step(lambda index: differentiate(index, spoilt=False), scaler)
    expect_finite(model, "after the next step")
    if torch.equal(weights(model), before):
        raise Violation("the step after the one with the overflow did nothing")


def _overflow_in_first(candidate: Candidate) -> None:
    _overflow(candidate, 0)


def _overflow_in_last(candidate: Candidate) -> None:
    _overflow(candidate, 1)


def _after_failure(candidate: Candidate, error: BaseException) -> None:
    model = network()
    subject = candidate.build(model, rho=RHO)
    before = weights(model)
    last = candidate.claims.passes - 1
    try:
        subject.step(failing(model, batches(1)[0], last, error))
    except (Failure, Interruption):
        pass
    else:
        raise Violation(f"{type(error).__name__} in pass {last + 1} did not reach the caller")
    error.__traceback__ = None  # as when the caller's `except` has ended
    subject.abandon()
    what = f"after an error in pass {last + 1} (rho = {RHO}) weights differ from those before the step"
    expect_close(weights(model), before, TOLERANCE, what)
    train(subject, model, batches(1))
    expect_finite(model, "after the next step")


def _exception(candidate: Candidate) -> None:
    _after_failure(candidate, Failure("out of memory"))


def _interrupt(candidate: Candidate) -> None:
    _after_failure(candidate, Interruption())


def _checkpoint_inside(candidate: Candidate) -> None:
    model = network()
    subject = candidate.build(model, rho=RHO)
    before, saved = weights(model), []
    batch, last = batches(1)[0], candidate.claims.passes - 1

    def differentiate(index: int) -> Tensor:
        if index == last and attempt(lambda: saved.append(model.state_dict())) is None:
            saved[-1] = {name: tensor.clone() for name, tensor in saved[-1].items()}
        return pass_over(model, batch)(index)

    subject.step(differentiate)
    if saved:
        vector = torch.cat([saved[0][name].flatten() for name, _ in model.named_parameters()])
        what = f"model.state_dict() in pass {last + 1} gave no error, and weights that are off"
        expect_same(vector, before, what)


def _step_inside(candidate: Candidate) -> None:
    model = network()
    subject = candidate.build(model, rho=RHO)
    batch, last = batches(1)[0], candidate.claims.passes - 1
    errors: list[Exception | None] = []

    def differentiate(index: int) -> Tensor:
        loss = pass_over(model, batch)(index)
        if index == last:
            errors.append(attempt(lambda: subject.optimizer.step()))
        return loss

    subject.step(differentiate)
    if errors == [None]:
        raise Violation(f"optimizer.step() in pass {last + 1}, on perturbed weights, gave no error")
    expect_finite(model, "after the step")


def _statistics_released(candidate: Candidate) -> None:
    model = network(norm=nn.BatchNorm1d(HIDDEN))
    subject = candidate.build(model, rho=RHO)
    batch, last = batches(1)[0], candidate.claims.passes - 1
    for _ in range(2):
        error = Failure("out of memory")
        attempt(lambda: subject.step(failing(model, batch, last, error)))  # noqa: B023 (called at once)
        error.__traceback__ = None
        subject.abandon()
    norm = model.norm
    assert isinstance(norm, nn.BatchNorm1d) and norm.running_mean is not None
    before = norm.running_mean.clone()
    if norm.momentum != 0.1 or not norm.training or not norm.track_running_stats:
        raise Violation(f"after two errors in pass {last + 1} BatchNorm is left with momentum {norm.momentum}")
    model(batch[0])
    if torch.equal(norm.running_mean, before):
        raise Violation(f"after two errors in pass {last + 1} running statistics do not move any more")


def _bad_radius(candidate: Candidate) -> None:
    error = attempt(lambda: candidate.build(network(), rho=-0.1))
    if error is None:
        raise Violation("a radius of -0.1 was taken without a word")
    if isinstance(error, AssertionError):
        raise Violation(f"a radius of -0.1 is refused by an assert, which python -O removes ({first_line(error)})")


def loss_of_zero(candidate: Candidate) -> None:
    """The same gradients with another constant in the loss."""
    trained = []
    for target in (0.0, 1.0):
        model = network()
        subject = candidate.build(model, rho=RHO)
        torch.manual_seed(0)
        for x, y in batches(2):

            def differentiate(
                index: int, model: Net = model, x: Tensor = x, y: Tensor = y, target: float = target
            ) -> Tensor:
                loss = F.cross_entropy(model(x), y)
                return backward(loss - loss.detach() + target)

            subject.step(differentiate)
        trained.append(weights(model))
    what = "with losses of exactly 0.0, after 2 steps, weights differ from those with the same gradients"
    expect_close(trained[0], trained[1], TOLERANCE, what)


ROWS = (
    Row(
        "32",
        "An overflow in pass 1 under a GradScaler is one skipped step",
        "The first fp16 overflow, which happens by design while the scale is found, turns the weights into NaN.",
        _overflow_in_first,
    ),
    Row(
        "33",
        "An overflow in pass 2 under a GradScaler is one skipped step",
        "As above, at the perturbed weights, where losses are larger.",
        _overflow_in_last,
    ),
    Row(
        "35a",
        "An exception in the last pass leaves the weights as before the step",
        "After an out-of-memory error that the script catches, or in a notebook, training goes on from weights that "
        "are rho away.",
        _exception,
    ),
    Row(
        "35b",
        "Ctrl-C in the last pass leaves the weights as before the step",
        "The checkpoint written on interruption, or the notebook's model, is rho away from what was trained.",
        _interrupt,
    ),
    Row(
        "36a",
        "A checkpoint inside a step holds the true weights, or is refused",
        "A checkpoint by timer or callback saves weights + perturbation, and nobody notices.",
        _checkpoint_inside,
    ),
    Row(
        "36b",
        "optimizer.step() inside a pass is refused",
        "A loop that steps once too often trains from perturbed weights.",
        _step_inside,
    ),
    Row(
        "37",
        "Running statistics go on after errors",
        "BatchNorm stays frozen for the rest of the run: training looks fine, evaluation is off.",
        _statistics_released,
    ),
    Row(
        "38",
        "A negative rho is refused, and not by an assert",
        "A slip in a sweep's configuration trains another method, at least under python -O.",
        _bad_radius,
    ),
    Row(
        "39",
        "A loss of exactly 0.0 is an ordinary step",
        "Surrogate losses, whose value is 0 while their gradient is not, lose their steps.",
        loss_of_zero,
    ),
)
