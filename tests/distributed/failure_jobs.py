"""What goes wrong in a step, on one rank or on both, and what stands afterwards."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from samnesia.perturb.errors import UnfinishedPassesWarning
from tests.battery import BY_NAME
from tests.distributed import problems
from tests.distributed.jobs import HALVES, shard, unreduced, unsynced


class Interrupted(Exception):
    pass


def in_ddp(**options: Any) -> DistributedDataParallel:
    return DistributedDataParallel(problems.network(), **options)


WRAPPERS: dict[str, Callable[[], nn.Module]] = {
    "ddp": in_ddp,
    "ddp bucket views": lambda: in_ddp(gradient_as_bucket_view=True),
    "ddp batch norm": lambda: DistributedDataParallel(problems.network(batch_norm=True)),
    "fsdp": lambda: shard(problems.network()),
}


def attempt_in_vain(
    model: nn.Module, optimizer: Any, method: Any, flow: list[problems.Piece], after_backward: bool
) -> None:
    """A flow that is interrupted in its last pass must leave everything as it found it."""
    parameters = problems.parameters(optimizer)
    before = [problems.here(p) for p in parameters]
    gradients = [None if p.grad is None else problems.here(p.grad) for p in parameters]
    buffers = problems.buffers(model)
    wanted_sync = getattr(model, "require_backward_grad_sync", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfinishedPassesWarning)
        try:
            for p in method.passes():
                loss = p.loss(model(flow[0].x), flow[0].y)
                if p.last and not after_backward:
                    raise Interrupted
                if p.needs_gradient:
                    loss.backward()
                if p.last:
                    raise Interrupted
        except Interrupted:
            pass
    assert getattr(model, "require_backward_grad_sync", None) == wanted_sync
    for name, buffer in problems.buffers(model).items():
        np.testing.assert_array_equal(buffer, buffers[name])
    for p, weight, gradient in zip(parameters, before, gradients, strict=True):
        np.testing.assert_array_equal(problems.here(p), weight)
        assert (p.grad is None) == (gradient is None)
        if gradient is not None:
            np.testing.assert_array_equal(problems.here(p.grad), gradient)


def interrupted(wrapper: str, name: str, *, after_backward: bool, **options: Any) -> dict[str, Any]:
    """Train with two flows a step, each tried in vain before it is let through."""
    model = WRAPPERS[wrapper]()
    optimizer = problems.optimizer_of(model)
    method = BY_NAME[name](model, optimizer, **problems.OPTIONS, **options)
    quiet = unreduced(model, True) if wrapper == "fsdp" else unsynced(model, True)
    return problems.train(
        model,
        optimizer,
        method,
        problems.of_rank(dist.get_rank(), HALVES, flows=2),
        around_flow=quiet,
        before_flow=lambda flow: attempt_in_vain(model, optimizer, method, flow, after_backward),
    )


def overflow(wrapper: str, name: str, *, in_pass: int, scaled: bool, **options: Any) -> list[dict[str, Any]]:
    """Three steps; in the second, one pass of rank 1 has an infinite loss. By closure, or by hand with a scaler."""
    model = WRAPPERS[wrapper]()
    optimizer = problems.optimizer_of(model)
    method = BY_NAME[name](model, optimizer, **problems.OPTIONS, **options)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, enabled=scaled)
    records = []
    for index, [[piece]] in enumerate(problems.of_rank(dist.get_rank(), HALVES)):
        calls = []

        def loss_of_pass(index: int = index, piece: problems.Piece = piece, calls: list[None] = calls) -> torch.Tensor:
            loss = method.criterion(model(piece.x), piece.y)
            broken = index == 1 and dist.get_rank() == 1 and len(calls) == in_pass
            calls.append(None)
            return loss * float("inf") if broken else loss

        def closure(loss_of_pass: Callable[[], torch.Tensor] = loss_of_pass) -> torch.Tensor:
            optimizer.zero_grad()
            loss = loss_of_pass()
            loss.backward()
            return loss

        if scaled:
            optimizer.zero_grad()
            for _ in method.passes():
                scaler.scale(loss_of_pass()).backward()
            scaler.step(optimizer)
            scaler.update()
        else:
            method.step(closure)
        records.append(
            {
                "weights": problems.weights(optimizer),
                "finite": method.last_step.finite,
                "steps": method.steps,
                "scale": scaler.get_scale(),
            }
        )
    return records
