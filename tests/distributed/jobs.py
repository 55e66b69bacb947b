"""What the workers run: the training of problems.py under DistributedDataParallel and fully_shard."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch.distributed as dist
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
