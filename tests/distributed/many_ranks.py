"""Run as a module, in a process of its own: a few steps on 2, 8 and 64 simulated ranks, told as JSON.

For each number of ranks and each way to train: what the last step communicated, and how far the weights after it are
from those of one process with all samples (under scope "rank", with a flow of its own for each).
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import samnesia
from benchmarks.communication import count, recording, simulate, summary, train_step

STEPS = 3
OPTIONS: dict[str, Any] = {"loss": F.cross_entropy, "rho": 0.1, "epsilon": 1e-20}


def ddp(model: nn.Module) -> nn.Module:
    return DistributedDataParallel(model, bucket_cap_mb=0.0002)


def fsdp(model: nn.Module) -> nn.Module:
    for layer in (model[0], model[2]):
        fully_shard(layer)
    return fully_shard(model)


ROWS: dict[str, tuple[Callable[[nn.Module], nn.Module], Callable[..., Any] | None, str]] = {
    "ddp plain": (ddp, None, "batch"),
    "ddp sam, batch": (ddp, samnesia.sam, "batch"),
    "ddp sam, rank": (ddp, samnesia.sam, "rank"),
    "ddp gsam, rank": (ddp, samnesia.gsam, "rank"),
    "fsdp plain": (fsdp, None, "batch"),
    "fsdp sam, batch": (fsdp, samnesia.sam, "batch"),
}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def samples(world: int, step: int) -> tuple[Tensor, Tensor]:
    """One for each rank."""
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(world, 6, dtype=torch.float64, generator=generator)
    return x, torch.randint(3, (world,), generator=generator)


def weights(model: nn.Module) -> Tensor:
    return torch.cat(
        [(p.full_tensor() if hasattr(p, "full_tensor") else p).detach().ravel() for p in model.parameters()]
    )


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)


def alone(world: int, preset: Callable[..., Any] | None, scope: str) -> Tensor:
    model = network()
    optimizer = sgd(model)
    method = (preset or samnesia.unperturbed)(model, optimizer, **(OPTIONS if preset else {"loss": F.cross_entropy}))
    for step in range(STEPS):
        x, y = samples(world, step)
        for part_x, part_y in zip(x.split(1), y.split(1), strict=True) if scope == "rank" else [(x, y)]:
            for p in method.passes():
                (p.loss(model(part_x), part_y) * len(part_x) / world).backward()
        optimizer.step()
        optimizer.zero_grad()
    return weights(model)


def on_ranks(world: int) -> dict[str, dict[str, Any]]:
    template = network()
    expected = {name: alone(world, preset, scope) for name, (_, preset, scope) in ROWS.items()}

    def job(rank: int) -> dict[str, dict[str, Any]]:
        told = {}
        for name, (wrap, preset, scope) in ROWS.items():
            model = wrap(copy.deepcopy(template))
            optimizer = sgd(model)
            method = None if preset is None else preset(model, optimizer, sync=scope, **OPTIONS)
            for step in range(STEPS):
                x, y = samples(world, step)
                with recording() as found:
                    train_step(model, optimizer, method, x[rank : rank + 1], y[rank : rank + 1])
            distance = (weights(model) - expected[name]).norm() / expected[name].norm()
            told[name] = {"collectives": summary(found), "distance": distance.item()}
        return told

    ranks = simulate(world, job)
    for name in ROWS:
        ranks[0][name]["distance"] = max(of_rank[name]["distance"] for of_rank in ranks)
        if any(of_rank[name]["collectives"] != ranks[0][name]["collectives"] for of_rank in ranks):
            raise RuntimeError(f"ranks of {name!r} count different collectives")
    return ranks[0]


if __name__ == "__main__":
    torch.set_num_threads(1)
    worlds = {world: on_ranks(int(world)) for world in sys.argv[1:]}
    print(json.dumps({"worlds": worlds, "table": count(2, ("plain", "sam", "gsam"))}))
