"""Training on fixed data, written once for one process and for a pair of them.

A step is a list of flows, a flow is a list of pieces: each flow is a loop over `passes()`, whose body runs forward and
backward on every piece. One flow of one piece is ordinary training; several flows are m-sharpness; several pieces are
accumulation under one perturbation. Losses are weighted by their share of the batch's samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

STEPS, SAMPLES, CLASSES = 3, 8, 5
TOLERANCE = 1e-12
# With the usual 1e-12 a loss weighted by one half is perturbed differently in the twelfth digit.
OPTIONS = {"epsilon": 1e-20}


@dataclass(frozen=True)
class Piece:
    x: Tensor
    y: Tensor
    weight: float
    branch: int = 0


Step = list[list[Piece]]


class Net(nn.Module):
    """A convolution and two linear layers; no first dimension is even, and `gain` leaves a second rank nothing."""

    def __init__(self, *, batch_norm: bool = False, branches: bool = False):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm2d(3) if batch_norm else nn.Identity()
        self.middle = nn.Linear(27, 7)
        self.gain = nn.Parameter(torch.full((1,), 1.5))
        self.head = nn.Linear(7, CLASSES)
        # of three heads each rank uses one, and nobody the third
        self.heads = nn.ModuleList(nn.Linear(7, CLASSES) for _ in range(2 if branches else 0))

    def forward(self, x, branch=0):
        hidden = torch.tanh(self.norm(self.conv(x))).flatten(1)
        head = self.heads[branch - 1] if branch else self.head
        return head(self.gain * torch.tanh(self.middle(hidden)))


def network(seed: int = 0, **options: Any) -> Net:
    torch.manual_seed(seed)
    return Net(**options).double()


def batches(steps: int = STEPS) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        x = torch.randn(SAMPLES, 1, 5, 5, dtype=torch.float64, generator=generator)
        yield x, torch.randint(CLASSES, (SAMPLES,), generator=generator)


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, weight_decay=0.01)


def of_rank(rank: int, sizes: tuple[int, ...], *, flows: int = 1, pieces: int = 1) -> list[Step]:
    """The steps of one rank, for losses that are averaged over ranks; `sizes` are the samples of each rank."""
    start, samples = sum(sizes[:rank]), sizes[rank]
    steps = []
    for x, y in batches():
        x, y = x[start : start + samples], y[start : start + samples]
        weight = len(sizes) / SAMPLES
        steps.append(
            [
                [
                    Piece(*part, weight * len(part[0]))
                    for part in zip(flow_x.chunk(pieces), flow_y.chunk(pieces), strict=True)
                ]
                for flow_x, flow_y in zip(x.chunk(flows), y.chunk(flows), strict=True)
            ]
        )
    return steps


def together(sizes: tuple[int, ...], *, flows: int = 1, scope: str = "batch") -> list[Step]:
    """The same steps for one process: what the ranks share in a flow is one piece, or each rank's has its own flow."""
    ranks = [of_rank(rank, sizes, flows=flows) for rank in range(len(sizes))]
    steps = []
    for of_ranks in zip(*ranks, strict=True):
        step = []
        for flow_of_ranks in zip(*of_ranks, strict=True):
            pieces = [Piece(p.x, p.y, p.weight / len(sizes)) for (p,) in flow_of_ranks]
            if scope == "batch":
                x, y = torch.cat([p.x for p in pieces]), torch.cat([p.y for p in pieces])
                pieces = [Piece(x, y, sum(p.weight for p in pieces))]
            step += [[p] for p in pieces]
        steps.append(step)
    return steps


Quiet = Callable[[int, int], AbstractContextManager[Any]]  # (index, count) -> around a flow or around a piece


def loud(index: int, count: int) -> AbstractContextManager[Any]:
    return nullcontext()


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    method: Any,
    steps: list[Step],
    *,
    around_flow: Quiet = loud,
    around_piece: Quiet = loud,
    before_flow: Callable[[list[Piece]], None] = lambda flow: None,
) -> dict[str, np.ndarray]:
    """Train; what stood after every step, as arrays of shape [steps, ...]."""
    if method.inner is not None:
        return train_inside(model, optimizer, method, steps)
    records = []
    for step in steps:
        before = [here(p) for p in parameters(optimizer)]
        for i, flow in enumerate(step):
            with around_flow(i, len(step)):
                before_flow(flow)
                for p in method.passes():
                    for j, piece in enumerate(flow):
                        with around_piece(j, len(flow)):
                            loss = p.loss(model(piece.x, piece.branch), piece.y) * piece.weight
                            if p.needs_gradient:
                                loss.backward()
        for p, value in zip(parameters(optimizer), before, strict=True):
            np.testing.assert_array_equal(here(p), value)
        record = {"gradients": gradients(optimizer)}
        optimizer.step()
        optimizer.zero_grad()
        report = method.last_step
        record |= {
            "weights": weights(optimizer),
            "perturbation_norm": report.perturbation_norm,
            "gradient_norm": report.gradient_norm,
            "evaluations": report.gradient_evaluations,
        }
        records.append(record)
    return {key: np.array([record[key] for record in records]) for key in records[0]}


def train_inside(
    model: nn.Module, optimizer: torch.optim.Optimizer, method: Any, steps: list[Step]
) -> dict[str, np.ndarray]:
    """The same with a method that steps the optimizer by itself: one flow a step."""
    records = []
    for [flow] in steps:
        for p in method.stepping():
            for piece in flow:
                (p.loss(model(piece.x, piece.branch), piece.y) * piece.weight).backward()
        record = {"gradients": gradients(optimizer), "weights": weights(optimizer)}
        optimizer.zero_grad()
        report = method.last_step
        record |= {
            "perturbation_norm": report.perturbation_norm,
            "gradient_norm": report.gradient_norm,
            "evaluations": report.gradient_evaluations,
        }
        records.append(record)
    return {key: np.array([record[key] for record in records]) for key in records[0]}


def backward(model: nn.Module, method: Any, flow: list[Piece]) -> None:
    """Plain training."""
    for piece in flow:
        (method.loss(model(piece.x), piece.y) * piece.weight).backward()


def alone(
    row: Any, steps: list[Step], *, branches: bool = False, plain: Sequence[list[Piece]] = (), **options: Any
) -> dict[str, np.ndarray]:
    """`train` in this process, each step after a plain backward on one of `plain`, if any."""
    model = network(branches=branches)
    optimizer = optimizer_of(model)
    method, before = row(model, optimizer, **OPTIONS, **options), iter(plain)
    return train(model, optimizer, method, steps, before_flow=lambda flow: backward(model, method, next(before, [])))


def full(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach()
    tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return tensor.numpy(force=True).ravel().copy()


def here(tensor: Tensor) -> np.ndarray:
    """This rank's part."""
    tensor = tensor.detach()
    return (tensor.to_local() if hasattr(tensor, "to_local") else tensor).numpy(force=True).copy()


def parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """As the optimizer holds them: the model may show gathered ones in their place."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def weights(optimizer: torch.optim.Optimizer) -> np.ndarray:
    return np.concatenate([full(p) for p in parameters(optimizer)])


def gradients(optimizer: torch.optim.Optimizer) -> np.ndarray:
    """All gradients, zero where there is none."""
    return np.concatenate([full(torch.zeros_like(p) if p.grad is None else p.grad) for p in parameters(optimizer)])


def buffers(model: nn.Module) -> dict[str, np.ndarray]:
    return {name.removeprefix("module."): full(buffer) for name, buffer in model.named_buffers()}


def distance(actual: np.ndarray, expected: np.ndarray) -> float:
    """Largest relative distance of any step."""
    actual, expected = (np.reshape(a, (len(a), -1)) for a in (actual, expected))
    assert actual.shape == expected.shape
    return float((np.linalg.norm(actual - expected, axis=1) / np.linalg.norm(expected, axis=1)).max())


def assert_equal(actual: dict[str, np.ndarray], expected: dict[str, np.ndarray], *keys: str) -> None:
    for key in keys or ("gradients", "weights"):
        assert distance(actual[key], expected[key]) < TOLERANCE, key
