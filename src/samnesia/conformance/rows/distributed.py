"""Two processes: DistributedDataParallel and fully_shard against one process with the whole batch."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samnesia.conformance.problems import (
    TOLERANCE,
    Net,
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
STEPS = 3


def in_one_process(candidate: Candidate) -> Tensor:
    """Weights after the same training by one process."""
    model = network()
    subject = candidate.build(model, rho=RHO, momentum=0.9)
    torch.manual_seed(0)
    train(subject, model, batches(STEPS))
    return weights(model)


def half(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """This rank's share of a batch."""
    import torch.distributed as dist

    x, y = (part.chunk(dist.get_world_size())[dist.get_rank()] for part in batch)
    return x, y


def _train_ddp(origin: Any) -> Tensor:
    from torch.nn.parallel import DistributedDataParallel

    model = DistributedDataParallel(network())
    with Candidate.of(origin) as candidate:
        subject = candidate.build(model, rho=RHO, momentum=0.9)
        torch.manual_seed(0)
        for batch in batches(STEPS):
            subject.step(pass_over(model, half(batch)))
    return weights(model)


def _data_parallel(candidate: Candidate) -> None:
    expected = in_one_process(candidate)
    for rank, actual in enumerate(candidate.pair.run(_train_ddp, candidate.origin)):
        what = f"under DDP, after {STEPS} steps, weights of rank {rank} differ from those of one process"
        expect_close(actual, expected, TOLERANCE, what)


class Branch(nn.Module):
    """The network, with the head of its rank."""

    def __init__(self, net: Net, branch: int) -> None:
        super().__init__()
        self.net, self.branch = net, branch

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        output: Tensor = self.net(x, self.branch)
        return output


def _train_branches(origin: Any) -> Tensor:
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    model = DistributedDataParallel(Branch(network(heads=3), dist.get_rank()), find_unused_parameters=True)
    with Candidate.of(origin) as candidate:
        subject = candidate.build(model, rho=RHO)
        torch.manual_seed(0)
        for batch in batches(STEPS):
            subject.step(pass_over(model, half(batch)))
    return weights(model)


def _unlike_branches(candidate: Candidate) -> None:
    ranks = candidate.pair.run(_train_branches, candidate.origin)
    expect_close(ranks[1], ranks[0], TOLERANCE, f"after {STEPS} steps with unlike branches weights of the ranks differ")


def sharded() -> Net:
    """The network under fully_shard, layers and root."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = network()
    mesh = init_device_mesh("cpu", (2,))
    for layer in (model.trunk, *model.heads):
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def _train_sharded(origin: Any, lr: float) -> Tensor:
    model = sharded()
    with Candidate.of(origin) as candidate:
        subject = candidate.build(model, rho=RHO, lr=lr, momentum=0.9)
        torch.manual_seed(0)
        for x, y in map(half, batches(STEPS)):

            def differentiate(index: int, x: Tensor = x, y: Tensor = y) -> Tensor:
                return backward(F.cross_entropy(model(x), y))

            subject.step(differentiate)
    return weights(model)


def _fully_sharded(candidate: Candidate) -> None:
    expected = in_one_process(candidate)
    for rank, actual in enumerate(candidate.pair.run(_train_sharded, candidate.origin, 0.1)):
        what = f"under fully_shard, after {STEPS} steps, weights of rank {rank} differ from those of one process"
        expect_close(actual, expected, TOLERANCE, what)


def _sharded_at_rate_zero(candidate: Candidate) -> None:
    expected = weights(network())
    for actual in candidate.pair.run(_train_sharded, candidate.origin, 0.0):
        what = f"under fully_shard, after {STEPS} steps at lr = 0 and rho = {RHO}, weights drifted"
        expect_close(actual, expected, TOLERANCE, what)


ROWS = (
    Row(
        "60",
        "DDP equals one process",
        "The result depends on how many processes share the batch, or ranks drift apart.",
        _data_parallel,
    ),
    Row(
        "61",
        "Parameters used on one rank only do not hang",
        "Models with experts or heads per task stop for ever, without a message, on the cluster.",
        _unlike_branches,
    ),
    Row(
        "62a",
        "Fully sharded (FSDP2) equals one process",
        "Large models train something else than small ones, silently.",
        _fully_sharded,
    ),
    Row(
        "62b",
        "Fully sharded weights do not drift at lr = 0",
        "The perturbation is never taken back: weights walk away by rho a step.",
        _sharded_at_rate_zero,
    ),
)
