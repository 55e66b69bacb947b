"""Images per second and peak memory of training on a GPU: ResNet-50 and ViT-S/16 in bfloat16 at 224 pixels.

    python benchmarks/throughput.py [--batch 128] [--steps 20] [--rounds 5] [--device cuda]

Each method (plain SGD or AdamW, SAM, GSAM, OBF) trains in two loops: `samnesia.train`, as a user runs it, and a bare
PyTorch loop of the same passes. Images are synthetic, one batch in pinned memory, which every step of either loop
sends to the device: reading and decoding them is not what is asked here. In a round every method and loop is built
anew, in an order drawn anew, takes steps that are not timed, and then the timed ones without a synchronization between
them; ratios are paired by round.

Writes throughput_DEVICE.json and .md into ``benchmarks/results``. `--device cpu --image-size 32 --batch 4 --steps 2
--out DIRECTORY` only shows that it works.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import re
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from stepcost.summary import Estimate, estimate
from torch import Tensor, nn

import samnesia
from samnesia.data.problem import Batch, Problem, Split
from samnesia.perturb.errors import TrainingCollapsedWarning
from samnesia.train import loop
from samnesia.train.config import (
    GSAM,
    OBF,
    SAM,
    SGD,
    AdamW,
    Constant,
    Evaluation,
    Hardware,
    Method,
    RunConfig,
    Timm,
    Unperturbed,
)
from samnesia.train.log import environment, write_json
from samnesia.train.randomness import isolated

RESULTS = Path(__file__).resolve().parent / "results"
SCHEMA = 1
CLASSES, SEED, RHO, ALPHA = 1000, 0, 0.05, 0.4
BASE = "base"
LOOPS = ("bare", "trainer")


@dataclass(frozen=True)
class Net:
    """What is trained, by timm's name, and the base optimizer that it is usually trained with."""

    title: str
    timm: str
    optimizer: SGD | AdamW


NETS = {
    "resnet50": Net("ResNet-50", "resnet50", SGD(lr=1e-3, momentum=0.9, weight_decay=1e-4)),
    "vit_s16": Net("ViT-S/16", "vit_small_patch16_224", AdamW(lr=1e-4, weight_decay=0.1)),
}


@dataclass(frozen=True)
class Way:
    """A method, as the trainer's configuration and as the bare loop builds it."""

    config: Method
    bare: Callable[[nn.Module, torch.optim.Optimizer], samnesia.PerturbedGradient] | None


METHODS = {
    BASE: Way(Unperturbed(), None),
    "SAM": Way(SAM(rho=RHO), lambda m, o: samnesia.sam(m, o, rho=RHO, loss=F.cross_entropy)),
    "GSAM": Way(
        GSAM(rho=RHO, alpha=ALPHA), lambda m, o: samnesia.gsam(m, o, rho=RHO, alpha=ALPHA, loss=F.cross_entropy)
    ),
    "OBF": Way(OBF(rho=RHO), lambda m, o: samnesia.obf(m, o, rho=RHO, loss=F.cross_entropy)),
}


class OneBatch(Split):
    """One batch, over and over."""

    def __init__(self, images: Tensor, labels: Tensor, length: int) -> None:
        self.images, self.labels, self._length = images, labels, length

    def __len__(self) -> int:
        return self._length

    def batch(self, indices: Sequence[int], epoch: int | None = None) -> Batch:
        return self.images[: len(indices)], self.labels[: len(indices)]


@dataclass(frozen=True)
class Synthetic:
    """Random images; a data part of a RunConfig."""

    batch: int
    size: int
    steps: int
    pinned: bool

    def load(self, seed: int) -> Problem:
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(self.batch, 3, self.size, self.size, generator=generator)
        labels = torch.randint(CLASSES, (self.batch,), generator=generator)
        if self.pinned:
            images, labels = images.pin_memory(), labels.pin_memory()
        split = OneBatch(images, labels, self.batch * self.steps)
        return Problem(split, None, OneBatch(images, labels, 1), CLASSES, (3, self.size, self.size))


class Meter:
    """Called before every step: times those from `first` to the end, and takes the device's peak memory over them."""

    def __init__(self, device: torch.device, first: int, steps: int) -> None:
        self.device, self.first, self.steps = device, first, steps
        self.seconds, self.peak_bytes, self.calls = 0.0, 0, 0

    def __call__(self) -> bool:
        if self.calls == self.first:
            self._settle()
            if self.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(self.device)
            self.seconds = -time.perf_counter()
        elif self.calls == self.first + self.steps:
            self._settle()
            self.seconds += time.perf_counter()
            if self.device.type == "cuda":
                self.peak_bytes = torch.cuda.max_memory_allocated(self.device)
        self.calls += 1
        return False

    def _settle(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@dataclass(frozen=True)
class Settings:
    device: torch.device
    image_size: int
    batch: int
    steps: int
    warm_up: int
    rounds: int
    threads: int

    def config(self, net: Net, way: Way) -> RunConfig:
        """One epoch of all steps, and one more: its beginning is the end of the last that is timed."""
        steps = self.warm_up + self.steps + 1
        cuda = self.device.type == "cuda"
        return RunConfig(
            recipe="throughput",
            data=Synthetic(self.batch, self.image_size, steps, pinned=cuda),
            model=Timm(name=net.timm),
            optimizer=net.optimizer,
            schedule=Constant(),
            method=way.config,
            epochs=1,
            batch_size=self.batch,
            evaluation=Evaluation(train=False),
            hardware=Hardware(accelerator=self.device.type, precision="bf16-mixed", threads=self.threads),
            seed=SEED,
        )

    def meter(self) -> Meter:
        return Meter(self.device, self.warm_up, self.steps)


def in_trainer(net: Net, way: Way, settings: Settings) -> tuple[Meter, float]:
    """The meter and the norm of the weights after `samnesia.train`."""
    meter = settings.meter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingCollapsedWarning)  # nobody learns random labels
        result = loop.train(settings.config(net, way), stop=meter)
    return meter, float(result.weight_norm or 0.0)


def in_bare_loop(net: Net, way: Way, settings: Settings) -> tuple[Meter, float]:
    """Likewise after the loop that one writes by hand."""
    config, meter, device = settings.config(net, way), settings.meter(), settings.device
    with isolated(config.seed):  # the trainer's weights and images
        problem = config.data.load(config.seed)
        model = config.model.build(problem.shape, problem.num_outputs).to(device).train()
    optimizer = config.optimizer.build(model)
    method = None if way.bare is None else way.bare(model, optimizer)
    images, labels = problem.train.batch(range(settings.batch))
    for _ in range(len(problem.train) // settings.batch):
        meter()
        x, y = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        if method is None:
            with torch.autocast(device.type, torch.bfloat16):
                loss = F.cross_entropy(model(x).float(), y)
            loss.backward()
        else:
            for p in method.passes():
                with torch.autocast(device.type, torch.bfloat16):
                    loss = p.loss(model(x).float(), y)
                loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return meter, float(sum(p.detach().double().square().sum() for p in model.parameters()) ** 0.5)


def measure(name: str, methods: Sequence[str], settings: Settings, say: Callable[[str], None]) -> dict[str, Any]:
    """Everything about one net, as it stands in the JSON file."""
    net, runs = NETS[name], {"bare": in_bare_loop, "trainer": in_trainer}
    rows = {
        (method, kind): {"method": method, "loop": kind, "seconds": [], "peak_bytes": [], "weight_norm": None}
        for method in methods
        for kind in LOOPS
    }
    order, shuffle = list(rows), random.Random(SEED).shuffle
    for number in range(settings.rounds):
        shuffle(order)
        for method, kind in order:
            _free(settings.device)
            meter, norm = runs[kind](net, METHODS[method], settings)
            row = rows[method, kind]
            row["seconds"].append(meter.seconds / settings.steps)
            row["peak_bytes"].append(meter.peak_bytes)
            row["weight_norm"] = norm
        say(f"{net.title}: round {number + 1} of {settings.rounds}")
    optimizer = type(net.optimizer).__name__
    return {"name": name, "title": net.title, "optimizer": optimizer, "rows": list(rows.values())}


def _free(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def ratios(own: Sequence[float], base: Sequence[float]) -> Estimate:
    """own / base, paired by round."""
    return estimate(a / b for a, b in zip(own, base, strict=True))


def table(net: dict[str, Any], batch: int) -> str:
    """All methods and loops of one net, in Markdown."""
    rows = {(row["method"], row["loop"]): row for row in net["rows"]}
    lines = ["| method | loop | images/s | of the base optimizer's | of the bare loop's | peak, MiB | of the base's |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for (method, kind), row in rows.items():
        base, bare = rows[BASE, kind], rows[method, "bare"]
        shares = [
            "1" if other is row else ratios(other["seconds"], row["seconds"]).text(3) for other in (base, bare)
        ]  # of images per second: the inverse of the times
        peak, base_peak = max(row["peak_bytes"]), max(base["peak_bytes"])
        memory = [f"{peak / 2**20:.0f}", f"{peak / base_peak:.3f}"] if base_peak else ["", ""]
        name = net["optimizer"] if method == BASE else method
        rate = batch / median(row["seconds"])
        lines.append(f"| {name} | {kind} | {rate:.1f} | {shares[0]} | {shares[1]} | {memory[0]} | {memory[1]} |")
    return "\n".join(lines)


def report(result: dict[str, Any]) -> str:
    """The page beside the JSON file."""
    settings, found = result["settings"], result["environment"]
    cuda = f", CUDA {found['cuda']}" if found["cuda"] else ""
    parts = [
        f"# Throughput on {result['device']}",
        "",
        f"Synthetic images of {settings['image_size']} pixels, batches of {settings['batch']}, bfloat16 autocast on "
        f"float32 weights. Medians [95 % bootstrap intervals] over {settings['rounds']} interleaved rounds of "
        f"{settings['steps']} steps, paired by round. Made by `{result['command']}` at commit {found['commit']} on "
        f"{result['started']} with Python {found['python']}, torch {found['torch']}{cuda}, timm {found['timm']}, "
        f"Lightning {found['lightning']}; {found['hardware']}, load average {found['load']:.1f} at the start.",
        "",
        "How to read it: [benchmarks/README.md](../README.md).",
    ]
    for net in result["nets"]:
        parts += ["", f"## {net['title']}", "", table(net, settings["batch"])]
    return "\n".join(parts) + "\n"


def parser() -> argparse.ArgumentParser:
    own = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    own.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS))
    own.add_argument("--methods", nargs="+", choices=list(METHODS)[1:], default=list(METHODS)[1:])
    own.add_argument("--image-size", type=int, default=224, help="pixels")
    own.add_argument("--batch", type=int, default=128)
    own.add_argument("--steps", type=int, default=20, help="that are timed, in every round")
    own.add_argument("--warm-up", type=int, default=5, help="steps before them")
    own.add_argument("--rounds", type=int, default=5)
    own.add_argument("--threads", type=int, default=1, help="of torch on the CPU")
    own.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    own.add_argument("--out", type=Path, help="directory of JSON file and table (default: benchmarks/results)")
    return own


def main(argv: list[str] | None = None) -> None:
    words = sys.argv[1:] if argv is None else argv
    options = parser().parse_args(words)
    if min(options.steps, options.rounds, options.threads, options.batch - 1) < 1 or options.warm_up < 0:
        sys.exit("cannot measure without a step, a round, a thread or two images; ask for more")
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("cannot measure on CUDA, because torch sees no CUDA device here; try --device cpu --image-size 32")
    if options.device == "cpu" and (options.out or RESULTS).resolve() == RESULTS:
        sys.exit(
            "cannot put a run on the CPU into benchmarks/results, because it only shows that this works; give --out"
        )
    device = torch.device(options.device)
    names = ("image_size", "batch", "steps", "warm_up", "rounds", "threads")
    settings = {name: getattr(options, name) for name in names}
    started, load = datetime.now(UTC).isoformat(timespec="seconds"), round(os.getloadavg()[0], 2)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    found = environment() | {"timm": version("timm"), "lightning": version("lightning"), "load": load}
    result = {
        "schema": SCHEMA,
        "command": shlex.join(["python", "benchmarks/throughput.py", *words]),
        "started": started,
        "device": name,
        "environment": found | {"cuda": torch.version.cuda if device.type == "cuda" else None},
        "settings": settings,
        "nets": [measure(net, [BASE, *options.methods], Settings(device, **settings), _say) for net in options.nets],
    }
    out = options.out or RESULTS
    out.mkdir(parents=True, exist_ok=True)
    stem = "throughput_" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    write_json(out / f"{stem}.json", result)
    (out / f"{stem}.md").write_text(report(result), encoding="utf-8")
    print(report(result))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
