"""What the trainer's loop adds to a bare PyTorch loop of the same passes, on ResNet-20 with 32 x 32 images in memory.

    python benchmarks/loop_overhead.py [--batch 128] [--epochs 3] [--threads 1] [--quick --out DIRECTORY]

`samnesia.train` runs as a user runs it, with its loader, Fabric, and a line in steps.jsonl for every tenth step. It
asks after every step whether it shall stop; there, between its steps, a bare loop takes the same step, and so does a
second copy of the bare loop, in an order that changes. A bare loop indexes the same samples of the same tensors, makes
the same passes (one with SGD; with SAM those of `samnesia.sam`) and the same step. All end with the same weights.

A step of the trainer is the time between two of its questions. Ten steps, of which one is logged, make a block, and the
ratio of the times of a block is one observation. The last step of an epoch, which ends with the start of the next
epoch, is in no block and is told on its own. Beside the ratio, the time in which neither forward, backward nor the
optimizer ran is measured directly: a difference of milliseconds, not of two large times.

Writes loop_overhead_cpu.json and .md into ``benchmarks/results``. Run it on an idle machine: six minutes or so.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from stepcost.summary import Estimate, estimate
from torch import Tensor, nn
from torch.optim import optimizer as optimizers

import samnesia
from samnesia.data.draws import SHUFFLE, permutation
from samnesia.data.problem import Problem, TensorSplit
from samnesia.models.cifar import cifar_resnet
from samnesia.perturb.errors import TrainingCollapsedWarning
from samnesia.train.config import SAM, SGD, Constant, Evaluation, Hardware, Logging, RunConfig, Unperturbed
from samnesia.train.log import environment, write_json
from samnesia.train.loop import train
from samnesia.train.observers import Journal
from samnesia.train.randomness import isolated

RESULTS = Path(__file__).resolve().parent / "results"
SCHEMA = 1
CLASSES, SEED, RHO = 10, 0, 0.05
STEPS, WARM_UP, BLOCK = 31, 1, 10
"""Steps per epoch; blocks of the first epoch that are left out; steps per block, the interval of the log."""
LIMIT = 2.0  # percent
METHODS = {"SGD": Unperturbed(), "SAM": SAM(rho=RHO)}
OURS, BARE, AGAIN = "samnesia train", "bare PyTorch", "bare PyTorch, again"


@dataclass
class Clock:
    """Time since a start, and how much of it lay in forward, backward and the optimizer's step."""

    begun: float = 0.0
    entered: float = 0.0
    inside: float = 0.0

    def start(self) -> None:
        self.inside, self.begun = 0.0, time.perf_counter()

    def read(self) -> tuple[float, float]:
        """(seconds in all, seconds outside of the parts)."""
        total = time.perf_counter() - self.begun
        return total, total - self.inside

    def enter(self, *_: Any) -> None:
        self.entered = time.perf_counter()

    def leave(self, *_: Any) -> None:
        self.inside += time.perf_counter() - self.entered

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Every backward and every optimizer's step is a part. (Forwards are, of nets that `Net` builds.)"""
        backward = torch.Tensor.backward

        def timed(*arguments: Any, **options: Any) -> None:
            self.enter()
            backward(*arguments, **options)
            self.leave()

        hooks = [
            optimizers.register_optimizer_step_pre_hook(self.enter),
            optimizers.register_optimizer_step_post_hook(self.leave),
        ]
        torch.Tensor.backward = timed  # type: ignore[method-assign]
        try:
            yield
        finally:
            torch.Tensor.backward = backward  # type: ignore[method-assign]
            for hook in hooks:
                hook.remove()


@dataclass(frozen=True)
class Net:
    """A ResNet whose forwards the clock knows; a model part of a RunConfig."""

    clock: Clock
    depth: int
    width: int

    def build(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        net = cifar_resnet(shape[0], num_outputs, depth=self.depth, width=self.width)
        net.register_forward_pre_hook(self.clock.enter)
        net.register_forward_hook(self.clock.leave)
        return net


@dataclass(frozen=True)
class Noise:
    """Random images and labels in memory; a data part of a RunConfig."""

    samples: int
    size: int

    def load(self, seed: int) -> Problem:
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(self.samples, 3, self.size, self.size, generator=generator)
        labels = torch.randint(CLASSES, (self.samples,), generator=generator)
        split = TensorSplit(images, labels)
        # a bit of it to evaluate on: one epoch ends with that, outside of what is measured
        return Problem(split, None, TensorSplit(images[:64], labels[:64]), CLASSES, (3, self.size, self.size))


class BareLoop:
    """The loop that one writes by hand, one step at a time."""

    def __init__(self, config: RunConfig) -> None:
        with isolated(config.seed):  # as the trainer makes it
            problem = config.data.load(config.seed)
            self.model = config.model.build(problem.shape, problem.num_outputs).train()
        self.images, self.labels = problem.train.inputs, problem.train.labels
        self.optimizer = config.optimizer.build(self.model)
        self.seed, self.batch = config.seed, config.batch_size
        self.take = self.sam if isinstance(config.method, SAM) else self.sgd
        self.method = samnesia.sam(self.model, self.optimizer, rho=RHO)
        self.batches = self.endless()

    def endless(self) -> Iterator[Tensor]:
        epoch = 0
        while True:
            order = permutation(len(self.labels), key=(self.seed, SHUFFLE, epoch))  # the trainer's
            yield from torch.from_numpy(order).split(self.batch)
            epoch += 1

    def sgd(self, x: Tensor, y: Tensor) -> None:
        F.cross_entropy(self.model(x), y).backward()

    def sam(self, x: Tensor, y: Tensor) -> None:
        for _ in self.method.passes():
            F.cross_entropy(self.model(x), y).backward()

    def step(self) -> None:
        batch = next(self.batches)
        self.take(self.images[batch], self.labels[batch])
        self.optimizer.step()
        self.optimizer.zero_grad()


@dataclass
class Interleaved:
    """Asked by the trainer before each step whether to stop; lets the bare loops take that step, and times all."""

    clock: Clock
    loops: dict[str, BareLoop]
    times: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {OURS: [], BARE: [], AGAIN: []})
    asked: int = 0

    def __call__(self) -> bool:
        if self.asked:
            self.times[OURS].append(self.clock.read())
        names = [BARE, AGAIN] if self.asked % 2 else [AGAIN, BARE]
        for name in names:
            self.clock.start()
            self.loops[name].step()
            self.times[name].append(self.clock.read())
        self.asked += 1
        self.clock.start()
        return False


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """The times of one method's steps, and whether the three loops did the same."""
    clock = Clock()
    config = RunConfig(
        recipe="loop_overhead",
        data=Noise(STEPS * options.batch, options.size),
        model=Net(clock, options.depth, options.width),
        optimizer=SGD(lr=0.01, momentum=0.9, weight_decay=5e-4),
        schedule=Constant(),
        method=METHODS[name],
        epochs=options.epochs,
        batch_size=options.batch,
        evaluation=Evaluation(train=False, every_epochs=options.epochs),
        logging=Logging(every_steps=BLOCK),
        hardware=Hardware(accelerator="cpu", threads=options.threads),
        seed=SEED,
    )
    print(f"{name}: {options.epochs} epochs of {STEPS} steps, in three loops", file=sys.stderr, flush=True)
    loops = {BARE: BareLoop(config), AGAIN: BareLoop(config)}
    interleaved = Interleaved(clock, loops)
    with tempfile.TemporaryDirectory() as folder, clock.watching(), warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingCollapsedWarning)  # nobody learns random labels
        result = train(config, observers=[Journal(Path(folder))], stop=interleaved)
        lines = len((Path(folder) / "steps.jsonl").read_text().splitlines())
    norms = [
        float(sum(p.detach().double().square().sum() for p in loop.model.parameters()) ** 0.5)
        for loop in loops.values()
    ]
    steps = [step for step in range(options.epochs * STEPS) if step % STEPS != STEPS - 1]
    seams = [step for step in range((options.epochs - 1) * STEPS) if step % STEPS == STEPS - 1]
    rows = {
        row: {
            "seconds": [times[step][0] for step in steps],
            "outside_seconds": [times[step][1] for step in steps],
            "epoch_end_seconds": [times[step][0] for step in seams],
        }
        for row, times in interleaved.times.items()
    }
    return {
        "method": name,
        "passes": 1 if isinstance(config.method, Unperturbed) else 2,
        "parameters": result.parameters,
        "logged_steps": lines,
        "weight_norms": {OURS: result.weight_norm, **dict(zip(loops, norms, strict=True))},
        "rows": rows,
    }


def blocks(values: list[float]) -> list[float]:
    """Sums over blocks of steps, without those at the start."""
    sums = [sum(values[i : i + BLOCK]) for i in range(0, len(values) - BLOCK + 1, BLOCK)]
    return sums[WARM_UP:]


def ratio(found: dict[str, Any], row: str, of: str = BARE) -> Estimate:
    """Time of a block over that of the bare loop."""
    pairs = zip(blocks(found["rows"][row]["seconds"]), blocks(found["rows"][of]["seconds"]), strict=True)
    return estimate(a / b for a, b in pairs)


def added(found: dict[str, Any], row: str) -> Estimate:
    """Time outside of forward, backward and optimizer beyond the bare loop's, in percent of the bare loop's time."""
    own, bare = found["rows"][row], found["rows"][BARE]
    columns = (own["outside_seconds"], bare["outside_seconds"], bare["seconds"])
    return estimate(100 * (a - b) / c for a, b, c in zip(*map(blocks, columns), strict=True))


def report(result: dict[str, Any]) -> str:
    """The page beside the JSON file."""
    settings, found = result["settings"], result["environment"]
    lines = [
        "# Loop overhead",
        "",
        f"ResNet-{settings['depth']}, {settings['size']} x {settings['size']} images in memory, batches of "
        f"{settings['batch']}, float32. Medians [95 % bootstrap intervals] over n blocks of {BLOCK} interleaved steps. "
        f"Made by `{result['command']}` at commit {found['commit']} on {result['started']} with Python "
        f"{found['python']}, torch {found['torch']}, Lightning {found['lightning']}; {found['hardware']}, "
        f"{settings['threads']} thread{'s' * (settings['threads'] > 1)}, load average {found['load']:.1f} at the "
        "start.",
        "",
        "How to read it: [benchmarks/README.md](../README.md).",
    ]
    for method in result["methods"]:
        n = len(blocks(method["rows"][BARE]["seconds"]))
        lines += [
            "",
            f"## {method['method']}, n = {n}",
            "",
            "| loop | step, ms | time / bare | outside the passes, ms | added to bare, % |",
            "|---|---|---|---|---|",
        ]
        for name, row in method["rows"].items():
            time_of, outside = (1e3 * median(blocks(row[key])) / BLOCK for key in ("seconds", "outside_seconds"))
            cells = ["1", ""] if name == BARE else [ratio(method, name).text(4), added(method, name).text(2)]
            lines.append(f"| {name} | {time_of:.2f} | {cells[0]} | {outside:.2f} | {cells[1]} |")
        lines += ["", verdict(method)]
    return "\n".join(lines) + "\n"


def verdict(method: dict[str, Any]) -> str:
    """What the figures say of the limit."""
    total, spread, direct = ratio(method, OURS), ratio(method, AGAIN), added(method, OURS)
    own, bare = (method["rows"][name]["epoch_end_seconds"] for name in (OURS, BARE))
    norms = list(method["weight_norms"].values())
    same = all(abs(norm - norms[0]) <= 1e-6 * norms[0] for norm in norms)
    within = "within" if direct.high <= LIMIT and total.low - 1 <= LIMIT / 100 else "NOT within"
    seam = (
        f" The end of an epoch adds {1e3 * median(a - b for a, b in zip(own, bare, strict=True)):.1f} ms."
        if own
        else ""
    )
    return (
        f"The trainer's loop takes {100 * (total.median - 1):+.2f} % [{100 * (total.low - 1):+.2f}, "
        f"{100 * (total.high - 1):+.2f}] of the bare loop's time, where two bare loops differ by "
        f"{100 * (spread.median - 1):+.2f} % [{100 * (spread.low - 1):+.2f}, {100 * (spread.high - 1):+.2f}]; measured "
        f"directly, it adds {direct.text(2)} %: {within} the limit of {LIMIT:g} %.{seam} All loops ended with the same "
        f"weights: {'yes' if same else 'NO'}."
    )


def parser() -> argparse.ArgumentParser:
    own = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    own.add_argument("--batch", type=int, default=128)
    own.add_argument("--epochs", type=int, default=3, help=f"of {STEPS} steps")
    own.add_argument("--threads", type=int, default=1, help="of torch")
    own.add_argument("--quick", action="store_true", help="a net of no size: only shows that the command works")
    own.add_argument("--out", type=Path, help="directory of JSON file and table (default: benchmarks/results)")
    return own


def main(argv: list[str] | None = None, say: Callable[[str], None] = print) -> None:
    words = sys.argv[1:] if argv is None else argv
    options = parser().parse_args(words)
    if options.epochs < 2 or options.batch < 2 or options.threads < 1:
        sys.exit("cannot measure fewer than 2 epochs, 2 samples or 1 thread; ask for more")
    if options.quick and (options.out or RESULTS).resolve() == RESULTS:
        sys.exit("cannot put a quick run into benchmarks/results, because the whole one stands there; give --out")
    options.depth, options.width, options.size = (8, 2, 8) if options.quick else (20, 16, 32)
    started, load = datetime.now(UTC).isoformat(timespec="seconds"), round(os.getloadavg()[0], 2)
    result = {
        "schema": SCHEMA,
        "command": shlex.join(["python", "benchmarks/loop_overhead.py", *words]),
        "started": started,
        "environment": {**environment(), "lightning": version("lightning"), "load": load},
        "settings": {name: getattr(options, name) for name in ("batch", "epochs", "threads", "depth", "width", "size")},
        "methods": [measure(name, options) for name in METHODS],
    }
    out = options.out or RESULTS
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "loop_overhead_cpu.json", result)
    (out / "loop_overhead_cpu.md").write_text(report(result), encoding="utf-8")
    say(report(result))


if __name__ == "__main__":
    main()
