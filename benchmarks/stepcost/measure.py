"""Runs the rows on a problem: first one by one for counts and memory, then interleaved for time."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

import torch

from .bench import Bench
from .floors import Row, Step
from .meters import Counts, Reading, Recorder, Stopwatch, stopwatch
from .problems import Problem

WARM_UP_STEPS = 3
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How long to measure, and by which clock.

    seconds: least time of one measurement of the floor; it sets the steps averaged in it. clock: see `meters.CLOCKS`.
    """

    device: torch.device
    rounds: int = 15
    seconds: float = 0.5
    seed: int = 0
    clock: str = "wall"


def bench(problem: Problem, settings: Settings, meter: Any, scaler: torch.amp.GradScaler | None = None) -> Bench:
    """A fresh network with the data that all rows share."""
    model = problem.model(settings.device, settings.seed)
    x, y = problem.data(settings.device, settings.seed)
    return Bench(model, x, y, meter, problem.num_classes, problem.autocast, scaler)


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
            {"name": row.name, "kind": row.kind, "floor": row.floors[-1].name, **counts, **times}
            for row, counts, times in zip(rows, counted, timed, strict=True)
        ],
    }


def count(problem: Problem, row: Row, settings: Settings) -> dict[str, Any]:
    """Operators, bytes and memory of settled steps of `row`, from a recorder that saw all steps before them.

    Of the steps of a cycle, operators, host reads and bytes are means, and memory is the largest. On CUDA also the peak
    that the allocator reports, in a run without the recorder: network, optimizer and activations included.
    """
    steps, kept = record(problem, row, settings, row.cycle)
    names = {name for step in steps for name in step.by_operator}
    by_operator = {
        name: [mean(step.by_operator.get(name, [0, 0])[place] for step in steps) for place in range(2)]
        for name in sorted(names)
    }
    counts = asdict(steps[0]) | {
        "operators": mean(step.operators for step in steps),
        "host_reads": mean(step.host_reads for step in steps),
        "bytes_moved": mean(step.bytes_moved for step in steps),
        "live_bytes": max(step.live_bytes for step in steps),
        "peak_bytes": max(step.peak_bytes for step in steps),
        "by_operator": by_operator,
    }
    for name in ("forwards", "gradients"):
        del counts[name]
    return {**counts, "kept_bytes": kept, "device_peak_bytes": _device_peak(problem, row, settings)}


def record(problem: Problem, row: Row, settings: Settings, steps: int) -> tuple[list[Counts], int]:
    """What each of `steps` settled steps did, and the bytes that stayed after the last one beside the gradient."""
    recorder = Recorder()
    subject = bench(problem, settings, recorder)
    counts = []
    with recorder:
        step = row.on(subject)
        for _ in range(_warm_up(row) + steps):
            recorder.reset()
            step()
            counts.append(recorder.counts)
        subject.model.zero_grad(set_to_none=True)
        return counts[-steps:], recorder.alive()


def _warm_up(row: Row) -> int:
    """A whole cycle: what a method does once, or seldom, it does in its first steps of each kind."""
    return max(WARM_UP_STEPS, row.cycle)


def _device_peak(problem: Problem, row: Row, settings: Settings) -> int | None:
    if settings.device.type != "cuda":
        return None
    gc.collect()
    before = torch.cuda.memory_allocated(settings.device)
    torch.cuda.reset_peak_memory_stats(settings.device)
    step = row.on(bench(problem, settings, Stopwatch()))
    for _ in range(_warm_up(row) + row.cycle):
        step()
    return torch.cuda.max_memory_allocated(settings.device) - before


@dataclass(frozen=True)
class _Timed:
    """A row that is built and warm."""

    row: Row
    step: Step
    watch: Any
    readings: list[Reading]

    def measure(self, steps: int) -> None:
        """`steps` steps or the next whole cycle, after one that is not timed: the row before left other data in the
        caches.
        """
        gc.collect()
        self.step()
        cycles = -(-steps // self.row.cycle)
        self.readings.append(self.watch.read(self.step, cycles * self.row.cycle, self.row.cycle))

    def results(self) -> dict[str, Any]:
        """Seconds of every round, gradient evaluations per step, and the floor's share that each round is held against.

        A step is held against the floor with as many gradient evaluations.
        """
        shares: list[dict[str, float]] = []
        for reading in self.readings:
            of_round: dict[str, float] = {}
            for gradients in reading.gradients:
                name = self.row.floor(gradients).name
                of_round[name] = of_round.get(name, 0.0) + 1.0 / len(reading.gradients)
            shares.append(of_round)
        return {
            "passes": mean(mean(reading.gradients) for reading in self.readings),
            "floor_shares": shares,
            "seconds": [reading.seconds for reading in self.readings],
            "outside_seconds": [reading.outside for reading in self.readings],
        }


def time_rows(problem: Problem, rows: Sequence[Row], settings: Settings, say: Say) -> tuple[list[dict[str, Any]], int]:
    """What every row took in every round, in total and outside of the parts, and the steps of a measurement.

    All rows are built first; each round then measures every row once, in an order drawn anew. The first row is the
    floor that says how many steps a measurement has.
    """
    timed = []
    for row in rows:
        watch = stopwatch(settings.device, settings.clock)
        one = _Timed(row, row.on(bench(problem, settings, watch)), watch, [])
        for _ in range(_warm_up(row)):
            one.step()
        timed.append(one)
    gc.collect()
    gc.freeze()  # so that the collection before each measurement is quick
    steps = max(1, round(settings.seconds / timed[0].watch.read(timed[0].step, 3).seconds))
    order = list(timed)
    shuffle = random.Random(settings.seed).shuffle
    for number in range(settings.rounds):
        shuffle(order)
        for one in order:
            one.measure(steps)
        say(f"{problem.title}: round {number + 1} of {settings.rounds}, {steps} steps each")
    gc.unfreeze()
    return [one.results() for one in timed], steps


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
    return subject.loss(subject.output(subject.x), subject.y)
