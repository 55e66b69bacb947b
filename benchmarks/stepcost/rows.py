"""The rows: the floor, the methods of samnesia, a textbook loop and the peers, each as one step on a bench."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import samnesia

from .meters import Meter, Part

LEARNING_RATE, MOMENTUM = 1e-3, 0.9
Step = Callable[[], Any]


@dataclass(eq=False)
class Bench:
    """A network, its batch and a meter; the parts of a step, each bracketed for the meter.

    A meter brackets with two calls; everything else that happens in a step is the price of the row.
    """

    model: nn.Module
    x: Tensor
    y: Tensor
    meter: Meter
    autocast: torch.dtype | None = None
    scaler: torch.amp.GradScaler | None = None
    _optimizers: list[torch.optim.Optimizer] = field(default_factory=list)

    def base(self) -> torch.optim.Optimizer:
        """The base optimizer. Its step is bracketed inside of every hook that a method may add later."""
        return self.follow(torch.optim.SGD(self.model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM))

    def follow(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Bracket the steps of `optimizer`: its first hook after the step, and (`ready`) its last one before it."""
        optimizer.register_step_post_hook(lambda *_: self.meter.leave())
        self._optimizers.append(optimizer)
        return optimizer

    def ready(self) -> None:
        """To be called when everything that adds hooks was built."""
        for optimizer in self._optimizers:
            optimizer.register_step_pre_hook(lambda *_: self.meter.enter(Part.BASE_STEP))

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The training loss; a method calls it when it likes."""
        self.meter.enter(Part.LOSS)
        loss = F.cross_entropy(output.float(), target)
        self.meter.leave()
        return loss

    def output(self) -> Tensor:
        """The network's, in the precision of the problem."""
        if self.autocast is None:
            return self.model(self.x)
        with torch.autocast(self.x.device.type, self.autocast):
            return self.model(self.x)

    def forward_backward(
        self, criterion: Callable[[Tensor, Tensor], Tensor] | None = None, *, last: bool, backward: bool = True
    ) -> Tensor:
        """One pass."""
        self.meter.enter(Part.LAST_FORWARD if last else Part.FORWARD)
        output = self.output()
        self.meter.leave()
        loss = (criterion or self.loss)(output, self.y)
        if backward:
            self.meter.enter(Part.BACKWARD)
            (loss if self.scaler is None else self.scaler.scale(loss)).backward()
            self.meter.leave()
        return loss.detach()

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """The base step, through the gradient scaler where there is one."""
        if self.scaler is None:
            optimizer.step()
        else:
            self.scaler.step(optimizer)
            self.scaler.update()


@dataclass(frozen=True)
class Row:
    """A way to take a step. passes: forward-backward passes of the floor that it is compared with."""

    name: str
    kind: str
    passes: int
    build: Callable[[Bench], Step]

    def on(self, bench: Bench) -> Step:
        """Build optimizer and method on `bench`."""
        step = self.build(bench)
        bench.ready()
        return step


def floor(passes: int) -> Callable[[Bench], Step]:
    """Nothing but the passes and the base step."""

    def build(bench: Bench) -> Step:
        optimizer = bench.base()

        def step() -> None:
            for index in range(passes):
                optimizer.zero_grad(set_to_none=True)
                bench.forward_backward(last=index == passes - 1)
            bench.step(optimizer)

        return step

    return build


def ours(preset: Callable[..., samnesia.PerturbedGradient], **options: Any) -> Callable[[Bench], Step]:
    """A method of samnesia in the loop that README shows."""

    def build(bench: Bench) -> Step:
        optimizer = bench.base()
        method = preset(bench.model, optimizer, loss=bench.loss, **options)

        def step() -> None:
            for p in method.passes():
                bench.forward_backward(p.loss, last=p.last, backward=p.needs_gradient)
            bench.step(optimizer)
            optimizer.zero_grad(set_to_none=True)

        return step

    return build


def textbook(bench: Bench, rho: float = 0.05) -> Step:
    """SAM as one writes it first: parameter by parameter, put back by subtraction (so not bit by bit)."""
    optimizer = bench.base()
    parameters = list(bench.model.parameters())

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        bench.forward_backward(last=False)
        with torch.no_grad():
            norm = torch.stack([p.grad.norm() for p in parameters]).norm()
            moves = [p.grad * (rho / (norm + 1e-12)) for p in parameters]
            for p, move in zip(parameters, moves, strict=True):
                p.add_(move)
        optimizer.zero_grad(set_to_none=True)
        bench.forward_backward(last=True)
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

        def closure(*, last: bool = True) -> Tensor:
            optimizer.zero_grad()
            return bench.forward_backward(last=last)

        def step() -> None:
            closure(last=False)
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
        passes = 0

        def closure() -> tuple[None, Tensor]:
            nonlocal passes
            passes += 1
            base.zero_grad()
            with torch.enable_grad():
                return None, bench.forward_backward(last=passes == 2)

        def step() -> None:
            nonlocal passes
            passes = 0
            optimizer.step(closure)

        return step

    return build


FLOORS = (Row("floor, 2 passes", "floor", 2, floor(2)), Row("floor, 1 pass", "floor", 1, floor(1)))
AGAIN = (
    Row("floor, 2 passes, again", "floor", 2, floor(2)),
    Row("floor, 1 pass, again", "floor", 1, floor(1)),
)
OURS = (
    Row("sam", "samnesia", 2, ours(samnesia.sam)),
    Row("asam", "samnesia", 2, ours(samnesia.asam)),
    Row("gsam", "samnesia", 2, ours(samnesia.gsam)),
    Row("obf", "samnesia", 2, ours(samnesia.obf, rho=0.05)),
    Row("random_perturbation", "samnesia", 1, ours(samnesia.random_perturbation)),
    Row("unperturbed", "samnesia", 1, ours(samnesia.unperturbed)),
)
OTHERS = (
    Row("textbook SAM", "textbook", 2, textbook),
    Row("pytorch-optimizer SAM", "peer", 2, peer_sam()),
    Row("pytorch-optimizer SAM, foreach", "peer", 2, peer_sam(foreach=True)),
    Row("pytorch-optimizer SAM, adaptive", "peer", 2, peer_sam(adaptive=True)),
    Row("pytorch-optimizer GSAM", "peer", 2, peer_gsam()),
    Row("pytorch-optimizer GSAM, foreach", "peer", 2, peer_gsam(foreach=True)),
)
ROWS = FLOORS + AGAIN + OURS + OTHERS


def floor_of(row: Row) -> str:
    """Name of the floor with as many passes."""
    return FLOORS[0].name if row.passes == 2 else FLOORS[1].name
