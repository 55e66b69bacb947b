"""What may be wrapped, what is refused, and what a checkpoint of sharded training holds."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DistributedDataParallel

import samnesia
from samnesia.perturb.errors import SamnesiaError
from tests.distributed import problems
from tests.distributed.jobs import HALVES, shard


def part_sharded() -> nn.Module:
    model = problems.network()
    fully_shard(model.conv)
    return model


def part_sharded_rest_frozen() -> nn.Module:
    model = problems.network()
    fully_shard(model.conv)
    for module in (model.middle, model.head):
        module.requires_grad_(False)
    model.gain.requires_grad_(False)
    return model


def fsdp1() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own words on FSDP1, and on CPU
        return FullyShardedDataParallel(problems.network(), device_id=torch.device("cpu"))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "bare": problems.network,
    "ddp": lambda: DistributedDataParallel(problems.network()),
    "static graph": lambda: DistributedDataParallel(problems.network(), static_graph=True),
    "fsdp": lambda: shard(problems.network()),
    "fsdp1": fsdp1,
    "part sharded": part_sharded,
    "part sharded, rest frozen": part_sharded_rest_frozen,
}


def words(model_name: str, scope: str) -> str | None:
    """The refusal of, or the warning about, a method for the model; None if there is neither."""
    model = MODELS[model_name]()
    trainable = [p for p in model.parameters() if p.requires_grad]
    try:
        samnesia.sam(model, torch.optim.SGD(trainable, lr=0.1), sync=scope)
    except (SamnesiaError, Warning) as error:
        return f"{type(error).__name__}: {error}"
    return None


def checkpointed(base: str) -> dict[str, Any]:
    """Optimizer state as distributed checkpoints see it, beside that of plain training, and the method's step count."""
    keys, counts = [], []
    for perturb in (False, True):
        model = shard(problems.network())
        optimizer = getattr(torch.optim, base)(model.parameters(), lr=0.01)
        method = (samnesia.gsam if perturb else samnesia.unperturbed)(model, optimizer, loss=F.cross_entropy)
        get_optimizer_state_dict(model, optimizer)  # before any step
        counts.append(method.steps)
        problems.train(model, optimizer, method, problems.of_rank(dist.get_rank(), HALVES))
        state = get_optimizer_state_dict(model, optimizer)
        counts.append(method.steps)
        keys.append({name: sorted(of_parameter) for name, of_parameter in state["state"].items()})
        keys.append({k for group in state["param_groups"] for k in group})

        resumed = shard(problems.network())
        new_optimizer = getattr(torch.optim, base)(resumed.parameters(), lr=0.01)
        new_method = samnesia.gsam(resumed, new_optimizer)
        new_method.load_state_dict(method.state_dict())
        set_optimizer_state_dict(resumed, new_optimizer, state)
        counts.append(new_method.steps)
    return {"keys": keys, "counts": counts}
