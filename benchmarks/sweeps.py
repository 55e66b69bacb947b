"""Where SAM's own time goes on the wide MLP: every sweep over the weights, timed inside of real steps.

    MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_MMAP_THRESHOLD_=33554432 .venv/bin/python benchmarks/sweeps.py --threads 1

The step is written out with the library's kernels, so that each can be timed by itself. "P" are bytes in copies of the
parameters that a sweep reads and writes at least; writing to memory that is not in a cache reads it first, which is not
counted. Medians over steps.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from stepcost.nets import mlp

from samnesia.perturb.tensors import Direction, Weights, assign, copies

SWEEPS = {"norm": 1, "copy": 2, "move": 3, "norm of the result": 1, "put back": 2}


def measure(steps: int, batch: int) -> tuple[dict[str, float], int]:
    """Median milliseconds of each part of a step, and the bytes of the parameters."""
    torch.manual_seed(0)
    model = mlp(3072, 2048, 2048, 10)
    inputs, labels = torch.randn(batch, 3072), torch.randint(10, (batch,))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    names, parameters = zip(*model.named_parameters(), strict=True)
    weights, times = Weights.of(names, parameters), defaultdict(list)

    def timed(name: str, part: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = part()
        times[name].append(1e3 * (time.perf_counter() - began))
        return result

    def differentiate() -> None:
        F.cross_entropy(model(inputs), labels).backward()

    for _ in range(steps):
        timed("pass", differentiate)
        gradients = [p.grad for p in parameters]
        norm = timed("norm", lambda gradients=gradients: weights.norm(gradients))
        saved = timed("copy", lambda: copies(weights.tensors))
        direction = Direction(gradients, 1 / norm, norm)
        with torch.no_grad():
            timed("move", lambda direction=direction: weights.add(direction, [0.05] * len(parameters)))
        del direction, gradients
        optimizer.zero_grad()
        timed("pass", differentiate)
        timed("norm of the result", lambda: weights.norm([p.grad for p in parameters]))
        timed("put back", lambda saved=saved: assign(weights.tensors, saved))
        del saved
        timed("base step", optimizer.step)
        optimizer.zero_grad()
    medians = {name: statistics.median(values[steps // 5 :]) for name, values in times.items()}
    return medians, sum(p.numel() * p.element_size() for p in parameters)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="SAM's sweeps over the weights of the wide MLP, one by one")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    medians, size = measure(options.steps, options.batch)
    floor = 2 * medians["pass"] + medians["base step"]
    print(f"floor {floor:.1f} ms: two passes of {medians['pass']:.1f} ms, base step {medians['base step']:.1f} ms")
    for name, count in SWEEPS.items():
        share, rate = 100 * medians[name] / floor, count * size / medians[name] / 1e6
        print(f"{name:20} {count} P  {medians[name]:5.2f} ms  {share:5.1f} % of floor  {rate:5.1f} GB/s")
    total = sum(medians[name] for name in SWEEPS)
    print(f"{'in all':20} {sum(SWEEPS.values())} P  {total:5.2f} ms  {100 * total / floor:5.1f} % of floor")


if __name__ == "__main__":
    main()
