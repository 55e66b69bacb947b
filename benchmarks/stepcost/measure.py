"""Runs the rows on a problem: first one by one for counts and memory, then interleaved for time."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from .meters import Recorder, Stopwatch, stopwatch
from .problems import Problem
from .rows import FLOORS, Bench, Row, Step, floor_of

WARM_UP_STEPS = 3
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How long to measure. seconds: least time of one measurement of the floor; it sets the steps averaged in it."""

    device: torch.device
    rounds: int = 15
    seconds: float = 0.5
    seed: int = 0


def bench(problem: Problem, settings: Settings, meter: Any, scaler: torch.amp.GradScaler | None = None) -> Bench:
    """A fresh network with the data that all rows share."""
    model = problem.model(settings.device, settings.seed)
    x, y = problem.data(settings.device, settings.seed)
    return Bench(model, x, y, meter, problem.autocast, scaler)


def measure(problem: Problem, rows: Sequence[Row], settings: Settings, say: Say) -> dict[str, Any]:
    """Everything about one problem, as it stands in the JSON file."""
    counted = [count(problem, row, settings) for row in rows]
    say(f"{problem.title}: counted")
    timed, steps = time_rows(problem, rows, settings, say)
    model = problem.model(torch.device("cpu"), settings.seed)
    return {
        "name": problem.name,
        "title": problem.title,
        "batch": problem.batch,
        "image": problem.image,
        "autocast": str(problem.autocast).removeprefix("torch.") if problem.autocast else None,
        "parameters": sum(p.numel() for p in model.parameters()),
        "parameter_bytes": sum(p.numel() * p.element_size() for p in model.parameters()),
        "tensors": sum(1 for _ in model.parameters()),
        "steps_per_measurement": steps,
        "rows": [
            {"name": row.name, "kind": row.kind, "passes": row.passes, "floor": floor_of(row), **counts, **times}
            for row, counts, times in zip(rows, counted, timed, strict=True)
        ],
    }


def count(problem: Problem, row: Row, settings: Settings) -> dict[str, Any]:
    """Operators, bytes and memory of one settled step of `row`, from a recorder that saw all steps before it.

    On CUDA also the peak that the allocator reports, in a run without the recorder: network, optimizer and activations
    included.
    """
    recorder = Recorder()
    subject = bench(problem, settings, recorder)
    with recorder:
        step = row.on(subject)
        for _ in range(WARM_UP_STEPS):
            recorder.reset()
            step()
    counts = asdict(recorder.counts)
    del subject, step, recorder
    return {**counts, "device_peak_bytes": _device_peak(problem, row, settings)}


def _device_peak(problem: Problem, row: Row, settings: Settings) -> int | None:
    if settings.device.type != "cuda":
        return None
    gc.collect()
    before = torch.cuda.memory_allocated(settings.device)
    torch.cuda.reset_peak_memory_stats(settings.device)
    step = row.on(bench(problem, settings, Stopwatch()))
    for _ in range(WARM_UP_STEPS):
        step()
    return torch.cuda.max_memory_allocated(settings.device) - before


@dataclass(frozen=True)
class _Timed:
    """A row that is built and warm."""

    step: Step
    watch: Any
    seconds: list[float]
    outside_seconds: list[float]

    def measure(self, steps: int) -> None:
        """`steps` steps, after one that is not timed: the row before left other data in the caches."""
        gc.collect()
        self.step()
        seconds, outside = self.watch.read(self.step, steps)
        self.seconds.append(seconds)
        self.outside_seconds.append(outside)


def time_rows(
    problem: Problem, rows: Sequence[Row], settings: Settings, say: Say
) -> tuple[list[dict[str, list[float]]], int]:
    """Seconds per step of every row and round, in total and outside of the parts, and the steps of a measurement.

    All rows are built first; each round then measures every row once, in an order drawn anew.
    """
    timed = []
    for row in rows:
        watch = stopwatch(settings.device)
        one = _Timed(row.on(bench(problem, settings, watch)), watch, [], [])
        for _ in range(WARM_UP_STEPS):
            one.step()
        timed.append(one)
    gc.collect()
    gc.freeze()  # so that the collection before each measurement is quick
    first = next(one for row, one in zip(rows, timed, strict=True) if row.name == FLOORS[0].name)
    steps = max(1, round(settings.seconds / first.watch.read(first.step, 3)[0]))
    order = list(timed)
    shuffle = random.Random(settings.seed).shuffle
    for number in range(settings.rounds):
        shuffle(order)
        for one in order:
            one.measure(steps)
        say(f"{problem.title}: round {number + 1} of {settings.rounds}, {steps} steps each")
    gc.unfreeze()
    return [{"seconds": one.seconds, "outside_seconds": one.outside_seconds} for one in timed], steps


def train_scaled(problem: Problem, rows: Sequence[Row], settings: Settings, *, steps: int) -> dict[str, Any]:
    """Each row trained on one batch in float16 with a gradient scaler: first and last loss, and what was skipped."""
    results = []
    for row in rows:
        scaler = torch.amp.GradScaler(settings.device.type, init_scale=2.0**16)
        subject = bench(problem, settings, Stopwatch(), scaler)
        step = row.on(subject)
        losses, skipped = [], 0
        for _ in range(steps):
            scale = scaler.get_scale()
            losses.append(float(clean_loss(subject)))
            step()
            skipped += scaler.get_scale() < scale
        results.append(
            {
                "name": row.name,
                "first_loss": losses[0],
                "last_loss": float(clean_loss(subject)),
                "skipped_steps": skipped,
                "scale": scaler.get_scale(),
                "finite_weights": all(bool(p.isfinite().all()) for p in subject.model.parameters()),
            }
        )
    return {"title": problem.title, "batch": problem.batch, "steps": steps, "rows": results}


@torch.no_grad()
def clean_loss(subject: Bench) -> torch.Tensor:
    """The loss on the batch, at the weights as they stand."""
    return subject.loss(subject.output(), subject.y)
