"""What the workers run: the training of problems.py under DistributedDataParallel and fully_shard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from tests.battery import BY_NAME
from tests.distributed import problems

HALVES = (4, 4)


def unsynced(ddp: DistributedDataParallel, silent: bool) -> problems.Quiet:
    """`no_sync` around all but the last, as one accumulates under DDP."""
    return lambda index, count: ddp.no_sync() if silent and index < count - 1 else nullcontext()


def ddp_train(
    name: str,
    *,
    sizes: tuple[int, int] = HALVES,
    flows: int = 1,
    pieces: int = 1,
    no_sync: bool = True,
    ddp: dict[str, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    model = DistributedDataParallel(problems.network(), **(ddp or {}))
    optimizer = problems.optimizer_of(model)
    method = BY_NAME[name](model, optimizer, **problems.OPTIONS, **options)
    return problems.train(
        model,
        optimizer,
        method,
        problems.of_rank(dist.get_rank(), sizes, flows=flows, pieces=pieces),
        around_flow=unsynced(model, no_sync),
        around_piece=unsynced(model, no_sync),
    )


def shard(model: nn.Module, *, nested: bool = True, **options: Any) -> nn.Module:
    """`fully_shard` for each layer and the root, or for the root alone."""
    for layer in (model.conv, model.middle, model.head) if nested else ():
        fully_shard(layer, **options)
    return fully_shard(model, **options)


def unreduced(model: nn.Module, silent: bool) -> problems.Quiet:
    """No reduction in all but the last, as one accumulates under fully_shard."""

    @contextmanager
    def quiet(index: int, count: int) -> Iterator[None]:
        model.set_requires_gradient_sync(not silent or index == count - 1)
        yield

    return quiet


def ddp_branches(name: str, **options: Any) -> dict[str, Any]:
    """Rank r uses head r, and nobody the third."""
    model = DistributedDataParallel(problems.network(branches=True), find_unused_parameters=True)
    optimizer = problems.optimizer_of(model)
    method = BY_NAME[name](model, optimizer, **problems.OPTIONS, **options)
    rank = dist.get_rank()
    steps = [
        [[replace(piece, branch=rank) for piece in flow] for flow in step] for step in problems.of_rank(rank, HALVES)
    ]
    return problems.train(model, optimizer, method, steps)


def ddp_after_plain(name: str, **options: Any) -> dict[str, Any]:
    """The first of two micro-batches by an unsynced backward of the user's own, the second by passes()."""
    model = DistributedDataParallel(problems.network())
    optimizer = problems.optimizer_of(model)
    method = BY_NAME[name](model, optimizer, **problems.OPTIONS, **options)
    steps = problems.of_rank(dist.get_rank(), HALVES, flows=2)
    plain = [step.pop(0) for step in steps]

    def accumulate(_: list[problems.Piece]) -> None:
        with model.no_sync():
            problems.backward(model, method, plain.pop(0))

    return problems.train(model, optimizer, method, steps, before_flow=accumulate)


def ddp_noise(name: str, scope: str) -> dict[str, Any]:
    """The perturbation itself, and its reported size."""
    model = DistributedDataParallel(problems.network())
    optimizer = problems.optimizer_of(model)
    method = BY_NAME[name](model, optimizer, sync=scope)
    before = problems.weights(optimizer)
    [[[piece]], *_] = problems.of_rank(dist.get_rank(), HALVES)
    for p in method.passes():
        if p.last:
            perturbation = problems.weights(optimizer) - before
        loss = p.loss(model(piece.x), piece.y)
        if p.needs_gradient:
            loss.backward()
    return {"perturbation": perturbation, "norm": method.last_step.perturbation_norm}


def ddp_buffers(name: str | None, *, flows: int = 1, **options: Any) -> dict[str, Any]:
    """Buffers after every step and at the start of every step's first forward; without a name, of plain training."""
    model = DistributedDataParallel(problems.network(batch_norm=True))
    optimizer = problems.optimizer_of(model)
    method = BY_NAME[name or "unperturbed"](model, optimizer, **options)
    entered: list[Any] = []
    after = []
    for step in problems.of_rank(dist.get_rank(), HALVES, flows=flows):
        first = [True]

        def note(*_: Any, first: list[bool] = first) -> None:
            if first.pop():
                entered.append(problems.buffers(model))
            first.append(False)

        with model.module.norm.register_forward_pre_hook(note):
            for i, [piece] in enumerate(step):
                with unsynced(model, True)(i, len(step)):
                    if name is None:
                        (method.loss(model(piece.x), piece.y) * piece.weight).backward()
                        continue
                    for p in method.passes():
                        loss = p.loss(model(piece.x), piece.y) * piece.weight
                        if p.needs_gradient:
                            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        after.append(problems.buffers(model))
    return {"entered": entered, "after": after, "weights": problems.weights(optimizer)}


@torch.no_grad()
def evaluation(model: nn.Module) -> None:
    model(next(problems.batches())[0])


def fsdp_train(
    name: str,
    *,
    sizes: tuple[int, int] = HALVES,
    nested: bool = True,
    mesh: tuple[int, int] | None = None,
    flows: int = 1,
    pieces: int = 1,
    no_sync: bool = True,
    reshard_after_backward: bool = True,
    evaluate: bool = False,
    **options: Any,
) -> dict[str, Any]:
    hybrid = {"mesh": init_device_mesh("cpu", mesh, mesh_dim_names=("replicas", "shards"))} if mesh else {}
    model = shard(problems.network(), nested=nested, **hybrid)
    model.set_reshard_after_backward(reshard_after_backward)
    optimizer = problems.optimizer_of(model)
    if evaluate:  # a forward without gradients leaves the weights of the root gathered
        optimizer.register_step_post_hook(lambda *_: evaluation(model))
        evaluation(model)
    method = BY_NAME[name](model, optimizer, **problems.OPTIONS, **options)
    handed_over = []
    optimizer.register_step_pre_hook(
        lambda *_: handed_over.extend(isinstance(p.grad, DTensor) for p in problems.parameters(optimizer))
    )
    result = problems.train(
        model,
        optimizer,
        method,
        problems.of_rank(dist.get_rank(), sizes, flows=flows, pieces=pieces),
        around_flow=unreduced(model, no_sync) if flows > 1 else problems.loud,
        around_piece=unreduced(model, no_sync) if pieces > 1 else problems.loud,
    )
    assert all(handed_over) and handed_over
    return result
