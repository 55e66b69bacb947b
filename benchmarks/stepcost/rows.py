"""The rows of the first methods: those of samnesia, a textbook loop and the peers, each as one step on a bench."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import samnesia

from .bench import LEARNING_RATE, MOMENTUM, Bench
from .floors import ONE, TWO, Row, Step, rows_of

Loop = Callable[[Bench, samnesia.PerturbedGradient], None]


def passes(bench: Bench, method: samnesia.PerturbedGradient) -> None:
    """The loop that README shows."""
    for p in method.passes():
        bench.forward_backward(p.loss, backward=p.needs_gradient)
    bench.step(method.optimizer)
    method.optimizer.zero_grad(set_to_none=True)


def ours(
    preset: Callable[..., samnesia.PerturbedGradient],
    *,
    loop: Loop = passes,
    own: Callable[[Bench], dict[str, Any]] | None = None,
    **options: Any,
) -> Callable[[Bench], Step]:
    """A method of samnesia. `own`: what it has to know of the bench."""

    def build(bench: Bench) -> Step:
        of_bench = own(bench) if own else {}
        method = preset(bench.model, bench.base(), loss=bench.loss, **of_bench, **options)
        return lambda: loop(bench, method)

    return build


def textbook(bench: Bench, rho: float = 0.05) -> Step:
    """SAM as one writes it first: parameter by parameter, put back by subtraction (so not bit by bit)."""
    optimizer = bench.base()
    parameters = list(bench.model.parameters())

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        bench.forward_backward()
        with torch.no_grad():
            norm = torch.stack([p.grad.norm() for p in parameters]).norm()
            moves = [p.grad * (rho / (norm + 1e-12)) for p in parameters]
            for p, move in zip(parameters, moves, strict=True):
                p.add_(move)
        optimizer.zero_grad(set_to_none=True)
        bench.forward_backward()
        with torch.no_grad():
            for p, move in zip(parameters, moves, strict=True):
                p.sub_(move)
        optimizer.step()

    return step


def peer_sam(**options: Any) -> Callable[[Bench], Step]:
    """pytorch-optimizer's SAM in the loop that its documentation shows."""

    def build(bench: Bench) -> Step:
        from pytorch_optimizer import SAM

        settings = {"lr": LEARNING_RATE, "momentum": MOMENTUM}
        optimizer = SAM(bench.model.parameters(), torch.optim.SGD, rho=0.05, **options, **settings)
        bench.follow(optimizer.base_optimizer)

        def closure() -> Tensor:
            optimizer.zero_grad()
            return bench.forward_backward()

        def step() -> None:
            closure()
            optimizer.step(closure)

        return step

    return build


def peer_gsam(**options: Any) -> Callable[[Bench], Step]:
    """pytorch-optimizer's GSAM with a constant radius; its closure returns output and loss."""

    def build(bench: Bench) -> Step:
        from pytorch_optimizer import GSAM
        from pytorch_optimizer.lr_scheduler import ProportionScheduler

        base = bench.base()
        constant = torch.optim.lr_scheduler.ConstantLR(base, factor=1.0)
        radius = ProportionScheduler(constant, max_lr=LEARNING_RATE, min_lr=0.0, max_value=0.05, min_value=0.05)
        optimizer = GSAM(bench.model.parameters(), base, bench.model, radius, alpha=0.4, **options)

        def closure() -> tuple[None, Tensor]:
            base.zero_grad()
            with torch.enable_grad():
                return None, bench.forward_backward()

        return lambda: optimizer.step(closure)

    return build


FLOORS = rows_of([TWO, ONE])
AGAIN = rows_of([TWO, ONE], again=True)
OURS = (
    Row("sam", "samnesia", (TWO,), ours(samnesia.sam)),
    Row("asam", "samnesia", (TWO,), ours(samnesia.asam)),
    Row("gsam", "samnesia", (TWO,), ours(samnesia.gsam)),
    Row("obf", "samnesia", (TWO,), ours(samnesia.obf, rho=0.05)),
    Row("random_perturbation", "samnesia", (ONE,), ours(samnesia.random_perturbation)),
    Row("unperturbed", "samnesia", (ONE,), ours(samnesia.unperturbed)),
)
OTHERS = (
    Row("textbook SAM", "textbook", (TWO,), textbook),
    Row("pytorch-optimizer SAM", "peer", (TWO,), peer_sam()),
    Row("pytorch-optimizer SAM, foreach", "peer", (TWO,), peer_sam(foreach=True)),
    Row("pytorch-optimizer SAM, adaptive", "peer", (TWO,), peer_sam(adaptive=True)),
    Row("pytorch-optimizer GSAM", "peer", (TWO,), peer_gsam()),
    Row("pytorch-optimizer GSAM, foreach", "peer", (TWO,), peer_gsam(foreach=True)),
)
ROWS = FLOORS + AGAIN + OURS + OTHERS
