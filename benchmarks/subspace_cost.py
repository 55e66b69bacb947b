"""What sampling along a line costs: a training step of a line over that of one net, paired by round.

    python benchmarks/subspace_cost.py [--rounds 15] [--threads 1] [--batch 128] [--net resnet-20|vit]

A step is drawing the place, forward, loss with the penalty, backward, and SGD with momentum. One net against itself is
the run's own spread. Prints medians over rounds and their ranges from the 10th to the 90th percentile.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samnesia.models.cifar import cifar_resnet
from samnesia.models.subspaces.shapes import AnyShape, Line, Simplex
from samnesia.models.subspaces.subspace import Subspace
from samnesia.models.zoo import timm_model

NETS: dict[str, Callable[[], nn.Module]] = {
    "resnet-20": lambda: cifar_resnet(3, 10, depth=20, width=16),
    "vit": lambda: timm_model("vit_tiny_patch16_224", shape=(3, 32, 32), num_classes=10, patch=4, depth=6),
}
ARMS: dict[str, AnyShape | None] = {
    "one net, again": None,
    "line, no penalty": Line(beta=0.0),
    "line": Line(),
    "line, layerwise": Line(layerwise=True),
    "simplex of 3": Simplex(n=3),
}


def stepping(build: Callable[[], nn.Module], shape: AnyShape | None) -> Callable[[Tensor, Tensor], None]:
    """A training step of a net, or of a subspace of such nets."""
    model: Any = build() if shape is None else Subspace.of(build, shape)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def step(inputs: Tensor, targets: Tensor) -> None:
        if shape is not None:
            model.draw()
        loss = F.cross_entropy(model(inputs), targets)
        if shape is not None and shape.beta:
            loss = loss + model.penalty()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="A step along a subspace over a step of one net")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--net", choices=[*NETS], default="resnet-20")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    inputs, targets = torch.randn(options.batch, 3, 32, 32), torch.randint(10, (options.batch,))
    plain = stepping(NETS[options.net], None)
    arms = {name: stepping(NETS[options.net], shape) for name, shape in ARMS.items()}
    ratios: dict[str, list[float]] = {name: [] for name in arms}
    for round_ in range(options.rounds + 2):  # the first two warm up
        floor = timed(plain, inputs, targets)
        for name, step in arms.items():
            taken = timed(step, inputs, targets)
            if round_ >= 2:
                ratios[name].append(taken / floor)
    print(
        f"{options.net}, batch {options.batch}, {options.threads} thread(s), {options.rounds} rounds: time / one net's"
    )
    for name, found in ratios.items():
        tenths = statistics.quantiles(found, n=10)
        print(f"{name:18} {statistics.median(found):.3f} [{tenths[0]:.3f}, {tenths[-1]:.3f}]")


def timed(step: Callable[[Tensor, Tensor], None], inputs: Tensor, targets: Tensor) -> float:
    """Processor seconds of this thread: other processes that share the cores are not counted."""
    began = time.thread_time()
    step(inputs, targets)
    return time.thread_time() - began


if __name__ == "__main__":
    main()
