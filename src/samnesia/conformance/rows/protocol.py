"""How the optimizer is called, and how it fits into what others built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samnesia.conformance.adapters import Closure
from samnesia.conformance.outcome import NotApplicable, Violation
from samnesia.conformance.problems import (
    HIDDEN,
    TOLERANCE,
    Batch,
    backward,
    batches,
    expect_close,
    network,
    pass_over,
    train,
    weights,
)
from samnesia.conformance.subject import Candidate, Row

RHO = 0.1


def closures(candidate: Candidate) -> None:
    """`step(closure)` and the loop that the adapter knows give the same weights."""
    looped, closed = network(), network()
    torch.manual_seed(0)
    train(candidate.build(looped, rho=RHO, momentum=0.9), looped, batches(3))
    torch.manual_seed(0)
    subject = candidate.build(closed, rho=RHO, momentum=0.9)
    if isinstance(subject, Closure):
        raise NotApplicable("has one driver, the closure")
    for batch in batches(3):

        def closure(batch: Batch = batch) -> Tensor:
            subject.optimizer.zero_grad()
            return pass_over(closed, batch)(0)

        subject.closure_step(closure)
    what = "after 3 steps by step(closure) alone weights differ from those of the loop"
    expect_close(weights(closed), weights(looped), TOLERANCE, what)


def _closure_convention(candidate: Candidate) -> None:
    model = network()
    subject = candidate.build(model, rho=RHO)
    batch = batches(1)[0]
    losses: list[Tensor] = []

    def closure() -> Tensor:
        subject.optimizer.zero_grad()
        losses.append(pass_over(model, batch)(0))
        return losses[-1]

    returned = subject.closure_step(closure)
    if len(losses) != candidate.claims.passes:
        raise Violation(
            f"step(closure) with no gradient beforehand ran the closure {len(losses)} x, where a step takes "
            f"{candidate.claims.passes} gradients: a plain step, without a word"
        )
    if not isinstance(returned, Tensor) or float(returned) != float(losses[0]):
        told = f"{float(returned):.4f}" if isinstance(returned, Tensor | float) else repr(returned)
        raise Violation(f"step(closure) returned {told}, not the loss of the first pass, {float(losses[0]):.4f}")


def _calls_of_model(candidate: Candidate) -> None:
    model, forwards, asked = network(), 0, 0
    subject = candidate.build(model, rho=RHO)

    def count(*_: Any) -> None:
        nonlocal forwards
        forwards += 1

    model.register_forward_pre_hook(count)
    for batch in batches(3):

        def differentiate(index: int, batch: Batch = batch) -> Tensor:
            nonlocal asked
            asked += 1
            return pass_over(model, batch)(index)

        subject.step(differentiate)
    if forwards != asked:
        raise Violation(f"the model ran {forwards} forwards in 3 steps, of which the training script wrote {asked}")


def _compiled(candidate: Candidate) -> None:
    graphs = 0

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        nonlocal graphs
        graphs += 1
        return graph.forward

    torch._dynamo.reset()
    try:
        model = torch.compile(network(norm=nn.BatchNorm1d(HIDDEN)), backend=backend)
        assert isinstance(model, nn.Module)
        subject = candidate.build(model, rho=RHO)
        counts = []
        for x, y in batches(6):

            def differentiate(index: int, x: Tensor = x, y: Tensor = y) -> Tensor:
                return backward(F.cross_entropy(model(x), y))

            subject.step(differentiate)
            counts.append(graphs)
            for group in subject.optimizer.param_groups:
                group["lr"] *= 0.9
    finally:
        torch._dynamo.reset()
    if counts[1] > 2 or counts[-1] > counts[1]:
        raise Violation(f"torch.compile built {counts[-1]} graphs of one model in 6 steps, by step {counts}")


def _without_closures(candidate: Candidate) -> None:
    model = network()
    subject = candidate.build(model, rho=RHO)
    scaler = torch.amp.GradScaler("cpu", init_scale=1.0)
    x, y = batches(1)[0]
    before = weights(model)
    try:
        subject.scaled_step(lambda index: backward(scaler.scale(F.cross_entropy(model(x), y))), scaler)
    except NotApplicable:
        raise Violation("can be driven by a closure only, and GradScaler.step refuses closures") from None
    if torch.equal(weights(model), before):
        raise Violation("a step under a GradScaler did nothing")


ROWS = (
    Row(
        "67",
        "step(closure) and the loop give the same weights",
        "Moving a script to a trainer changes its results.",
        closures,
    ),
    Row(
        "68",
        "step(closure) keeps torch's convention: run first, once a pass, first loss returned",
        "Trainers that own the loop (Lightning, for one) take plain steps, stop, or log no loss.",
        _closure_convention,
    ),
    Row(
        "69",
        "The optimizer never calls the model",
        "Hooks, metrics and random numbers see forwards that the script did not write.",
        _calls_of_model,
    ),
    Row(
        "70",
        "torch.compile: one graph, two at most where statistics are frozen, and no more over steps",
        "Every step compiles anew: minutes instead of milliseconds.",
        _compiled,
    ),
    Row(
        "72",
        "Usable without closures",
        "torch's GradScaler and the frameworks that refuse closures cannot be used at all, fp16 for one.",
        _without_closures,
    ),
)
