"""What one step communicates, counted on two real processes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.parallel import DistributedDataParallel

from benchmarks.communication import Collectives, Watch, backward, record, recording, summary
from samnesia.perturb.flow.sync import gradient_sync
from tests.battery import BY_NAME
from tests.distributed import problems
from tests.distributed.jobs import HALVES, shard

COUNTED_STEP = 4  # DistributedDataParallel orders its buckets until then, and perturbations are measured at step 0


def ddp(**options: Any) -> DistributedDataParallel:
    """Buckets for every other parameter of this small net."""
    return DistributedDataParallel(problems.network(batch_norm=True), bucket_cap_mb=0.0005, **options)


def fsdp(*, mesh: tuple[int, int] | None = None, reshard_after_backward: bool = True, **options: Any) -> nn.Module:
    if mesh is not None:
        options["mesh"] = init_device_mesh("cpu", mesh, mesh_dim_names=("replicas", "shards"))
    model = shard(problems.network(), **options)
    model.set_reshard_after_backward(reshard_after_backward)
    return model


def step(
    model: nn.Module, optimizer: torch.optim.Optimizer, method: Any, flows: list[list[problems.Piece]], silent: bool
) -> None:
    """One step of a method, or of plain training with None; `silent` as one accumulates under DDP."""
    for i, [piece] in enumerate(flows):
        with model.no_sync() if silent and i < len(flows) - 1 else nullcontext():
            if method is None:
                backward(F.cross_entropy(model(piece.x), piece.y))
                continue
            for p in method.passes():
                loss = p.loss(model(piece.x), piece.y)
                if p.needs_gradient:
                    backward(loss)
    optimizer.step()
    optimizer.zero_grad()


def counts(
    build: Callable[..., nn.Module],
    name: str | None,
    wrapper: dict[str, Any] | None = None,
    *,
    flows: int = 1,
    no_sync: bool = True,
    evaluate: bool = False,
    **options: Any,
) -> Collectives:
    """Collectives of the fifth step by kind; without a name, of plain training."""
    model = build(**(wrapper or {}))
    optimizer = problems.optimizer_of(model)
    method = None if name is None else BY_NAME[name](model, optimizer, **options)
    steps = 2 * problems.of_rank(dist.get_rank(), HALVES, flows=flows)
    for index, of_step in enumerate(steps[: COUNTED_STEP + 1]):
        with Watch(), recording() as found:
            step(model, optimizer, method, of_step, no_sync)
            if evaluate and index == COUNTED_STEP:
                with torch.no_grad():
                    model.eval()(of_step[0][0].x)
    return summary(found)


def overlap(name: str | None, wrapper: dict[str, Any], **options: Any) -> list[int]:
    """For each collective of the last backward, how many gradients were there when it began."""
    model = ddp(**wrapper)
    optimizer = problems.optimizer_of(model)
    method = None if name is None else BY_NAME[name](model, optimizer, **options)
    there: list[None] = []
    begun: list[int] = []

    class Watching(Watch):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if function.namespace == "c10d" and record.in_backward:
                begun.append(len(there))
            return super().__torch_dispatch__(function, types, args, kwargs)

    for parameter in model.parameters():
        parameter.register_hook(lambda _: there.append(None))
    # gradients of earlier passes, of which nothing is sent, are not to be counted
    model.module.register_forward_pre_hook(lambda *_: there.clear())
    steps = 2 * problems.of_rank(dist.get_rank(), HALVES)
    for index, of_step in enumerate(steps[: COUNTED_STEP + 1]):
        with Watching() if index == COUNTED_STEP else nullcontext():
            step(model, optimizer, method, of_step, silent=False)
    return begun


def marked(wrapper: dict[str, Any], *, branches: bool, flag_on: int | None) -> dict[str, Any]:
    """A pass under scope "rank" after a perturbation that was not finite on one rank, or on none."""
    rank = dist.get_rank()
    model = DistributedDataParallel(problems.network(branches=branches), **wrapper)
    piece = problems.of_rank(rank, HALVES)[0][0][0]
    records: dict[str, Any] = {}
    for index in range(3):  # the second is marked
        model.zero_grad()
        sync = gradient_sync(model, "rank", combines=False, accumulated=False)
        sync.open_pass(last=True)
        flag = torch.tensor(index == 1 and rank == flag_on)
        sync.mark(flag, list(model.parameters()))
        with Watch(), recording() as found:
            backward(F.cross_entropy(model(piece.x, rank if branches else 0), piece.y))
        sync.close()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        records[f"finite {index}"] = all(bool(g.isfinite().all()) for g in gradients)
        records[f"collectives {index}"] = summary(found)
        records[f"bits {index}"] = np.concatenate([problems.here(g).ravel() for g in gradients])
    records["hooks left"] = sum(len(p._backward_hooks or ()) for p in model.parameters())
    return records
