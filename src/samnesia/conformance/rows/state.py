"""Saving, resuming, copying; schedulers and hooks; what is left behind."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samnesia.conformance.adapters import Subject
from samnesia.conformance.outcome import NotApplicable, Violation
from samnesia.conformance.problems import (
    TOLERANCE,
    Net,
    backward,
    batches,
    counted_steps,
    expect_close,
    expect_same,
    network,
    pass_over,
    train,
    weights,
)
from samnesia.conformance.subject import Candidate, Row

RHO = 0.1
SLACK = 0.25  # of the parameters: scalars, lengths, counters


def _resume(candidate: Candidate, optimizer: type[torch.optim.Optimizer], **options: Any) -> None:
    def begin() -> tuple[Net, Subject]:
        model = network()
        return model, candidate.build(model, rho=RHO, optimizer=optimizer, **options)

    data = batches(6)
    model, subject = begin()
    torch.manual_seed(0)
    train(subject, model, data)

    first, subject = begin()
    torch.manual_seed(0)
    train(subject, first, data[:3])
    file = io.BytesIO()
    torch.save([first.state_dict(), subject.state_dict(), torch.get_rng_state()], file)
    file.seek(0)
    second, subject = begin()
    model_state, state, random_state = torch.load(file, weights_only=True)
    second.load_state_dict(model_state)
    subject.load_state_dict(state)
    torch.set_rng_state(random_state)
    train(subject, second, data[3:])
    expect_same(weights(second), weights(model), "3 steps after resuming weights differ from those of the whole run")


def _resume_sgd(candidate: Candidate) -> None:
    _resume(candidate, torch.optim.SGD, momentum=0.9)


def _resume_adamw(candidate: Candidate) -> None:
    if not candidate.claims.has_base:
        raise NotApplicable("is an optimizer of its own, with no AdamW beneath")
    _resume(candidate, torch.optim.AdamW, lr=0.01)


def _copied(candidate: Candidate, copy_of: Callable[[Any], Any]) -> None:
    model = network()
    subject = candidate.build(model, rho=RHO, momentum=0.9)
    train(subject, model, batches(2))
    twin_model, twin = copy_of((model, subject))
    start = weights(model)
    torch.manual_seed(0)
    train(subject, model, batches(2))
    expect_same(weights(twin_model), start, "while the original was trained, the copy's weights changed")
    torch.manual_seed(0)
    train(twin, twin_model, batches(2))
    expect_same(weights(twin_model), weights(model), "two steps of the copy differ from two of the original")


def _deep_copy(candidate: Candidate) -> None:
    _copied(candidate, copy.deepcopy)


def _pickled(candidate: Candidate) -> None:
    _copied(candidate, lambda value: pickle.loads(pickle.dumps(value)))


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor of a nested state."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors_in(part)


def size(tensors: Iterable[Tensor]) -> int:
    """Bytes of the storages under tensors, each once."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def _base_state_only(candidate: Candidate) -> None:
    """Plain SGD keeps nothing: whatever is saved is the method's."""
    model = network()
    subject = candidate.build(model, rho=RHO)
    train(subject, model, batches(1))
    saved = size(tensors_in(subject.state_dict())) / size(p.data for p in model.parameters())
    if saved > candidate.claims.kept + SLACK:
        raise Violation(
            f"after a step of plain SGD the state dict holds {saved:.1f} x the parameters, where the formula needs "
            f"{candidate.claims.kept:.1f}"
        )


def _scheduler(candidate: Candidate) -> None:
    model = network()
    subject = candidate.build(model, rho=RHO)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        schedule = torch.optim.lr_scheduler.LambdaLR(subject.optimizer, lambda step: float(step < 1))
        train(subject, model, batches(1))
        schedule.step()
    if told := [str(warning.message) for warning in caught if "lr_scheduler.step()" in str(warning.message)]:
        raise Violation(f"torch warns, though the order was right: {told[0].split('. ')[0]}")
    before = weights(model)
    train(subject, model, batches(1))
    expect_close(weights(model), before, TOLERANCE, "after the scheduler set lr to 0 a step moved weights")


class Large(nn.Module):
    """Parameters beside which scalars do not count."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.Sequential(*(nn.Linear(64, 64) for _ in range(4)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        output: Tensor = self.layers(x)
        return output


def alive(*, without: Iterable[Tensor]) -> int:
    """Bytes of all tensors that Python can reach but those given."""
    known = {t.untyped_storage().data_ptr() for t in without}
    found: dict[int, int] = {}
    for value in gc.get_objects():
        if type(value) in (Tensor, nn.Parameter):  # no fakes
            storage = value.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
    return sum(nbytes for pointer, nbytes in found.items() if pointer not in known)


def _left_behind(candidate: Candidate) -> None:
    model = Large()
    generator = torch.Generator().manual_seed(2)
    x, y = torch.randn(8, 64, generator=generator), torch.randint(64, (8,), generator=generator)
    subject = candidate.build(model, rho=RHO)
    claims, seen = candidate.claims, []

    def copies() -> float:
        held = list(model.parameters())
        known = [*held, *(p.grad for p in held if p.grad is not None), x, y]
        return alive(without=known) / size(p.data for p in held)

    def differentiate(index: int) -> Tensor:
        if index == claims.passes - 1:
            seen.append(copies())
        return backward(F.cross_entropy(model(x), y))

    gc.collect()
    before = copies()
    for _ in range(2):
        subject.step(differentiate)
    gc.collect()
    peak, stays = max(seen) - before, copies() - before
    if peak > claims.copies + SLACK:
        raise Violation(f"{peak:.1f} x the parameters are alive in the last pass, where it claims {claims.copies:.1f}")
    if stays > claims.kept + SLACK:
        raise Violation(f"{stays:.1f} x the parameters stay alive after a step of plain SGD")


def _hooks(candidate: Candidate) -> None:
    model = network()
    subject = candidate.build(model, rho=RHO)
    steps = counted_steps(subject)
    for batch in batches(3):
        subject.step(pass_over(model, batch))
    if len(steps) != 3:
        raise Violation(f"a step hook on the optimizer saw {len(steps)} steps in 3")


ROWS = (
    Row(
        "50a",
        "Resuming is bit-exact with SGD and momentum",
        "Momentum is lost at every restart: the loss jumps, and preempted runs are not those that were planned.",
        _resume_sgd,
    ),
    Row(
        "50b",
        "Resuming is bit-exact with AdamW",
        "Adam's moments and step count are lost: the first steps after a restart are far too large.",
        _resume_adamw,
    ),
    Row(
        "51a",
        "A deep copy goes on alike, and on its own",
        "Population-based training, rollbacks and notebooks get a copy without its base optimizer.",
        _deep_copy,
    ),
    Row(
        "51b",
        "A pickled one goes on alike",
        "As above for what is sent to other processes.",
        _pickled,
    ),
    Row(
        "52",
        "Checkpoints hold the base optimizer's state and nothing transient",
        "Checkpoints grow by copies of the model, and tools that shard them stumble over unknown tensors.",
        _base_state_only,
    ),
    Row(
        "53",
        "A learning rate scheduler acts, and torch does not warn",
        "The schedule is written into groups that nobody reads, or every log begins with a warning that is false.",
        _scheduler,
    ),
    Row(
        "54",
        "No tensor stays behind; the peak is what is claimed",
        "Copies of the model stay in memory between steps, where the next forward needs the room.",
        _left_behind,
    ),
    Row(
        "55",
        "Hooks see one step per step",
        "Profilers, weight averages, counters and loggers in step hooks miss steps or count them twice.",
        _hooks,
    ),
)
