"""The training loop: one configuration in, one result out.

The loop knows batches of inputs and targets, nothing of images, and of a method only the passes that it asks for.
All randomness comes from the seed of the configuration, so that two runs of one configuration agree bit by bit, in
this process or in a worker, whatever ran before, and a run that was killed ends as if nothing had happened.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path

import torch

from samnesia.perturb.errors import ConfigurationError, RunStopped, TrainingCollapsedWarning
from samnesia.train import log, randomness
from samnesia.train.averaging import AveragedWeights
from samnesia.train.checkpoint import Position
from samnesia.train.config import RunConfig
from samnesia.train.cutting import Part, Piece, cut
from samnesia.train.engine import Engine
from samnesia.train.keeper import Keeper
from samnesia.train.log import Row, RunResult
from samnesia.train.observers import Observer
from samnesia.train.results import finite, result_of
from samnesia.train.run import Run, optimizer_of
from samnesia.train.trackers import trackers


def train(
    config: RunConfig,
    out: Path | str | None = None,
    *,
    observers: Sequence[Observer] = (),
    stop: Callable[[], bool] = lambda: False,
) -> RunResult:
    """Train as ``config`` says, and return the result.

    Args:
        config: the run.
        out: directory of the run (see :mod:`samnesia.train.log`); it must be empty or not exist. Nothing is written
            without it.
        observers: are told of every logged step and every epoch.
        stop: asked in every step; once it is true, the step is ended, a checkpoint is written and the run stops.

    Raises:
        ConfigurationError: for values that cannot be trained with, a device or precision that is not there, a training
            set smaller than a batch, or an ``out`` that is not empty.
        RunStopped: when ``stop`` said so.

    Warns:
        TrainingCollapsedWarning: if the run ends near chance, or most steps, or most perturbed ones, were not finite.
        IdleScheduleWarning: if ``config.when`` fires on no step of the run.
    """
    out = None if out is None else Path(out)
    observers = [*trackers(config, out), *observers]
    with _ready(config) as run:
        if out is not None:
            _check_json(config)
        # Only now, when all that can be refused has been refused, does anything appear on disk.
        if out is not None and run.engine.leads:
            log.tidy(out)
            log.claim(out)
            log.write_json(out / log.CONFIG, config.to_json())
        return _finish(run, out, observers, stop)


def resume(
    out: Path | str, *, observers: Sequence[Observer] = (), stop: Callable[[], bool] = lambda: False
) -> RunResult:
    """Go on with the run in ``out`` from its latest checkpoint that is whole, or from the start if there is none.

    The weights, the log and the result become those of a run that was never interrupted, bit by bit on the same
    machine (but for times). A finished run is returned as it is.

    Raises:
        ConfigurationError: if there is no run in ``out``, or another process is at work on it.
        RunStopped: when ``stop`` said so.

    Warns:
        DamagedCheckpointWarning: for a checkpoint that is truncated or altered; the one before it is used.
    """
    out = Path(out)
    config = log.read_config(out)
    if (out / log.RESULT).exists():
        return log.read_result(out)
    observers = [*trackers(config, out), *observers]
    with _ready(config) as run:
        return _finish(run, out, observers, stop)


@contextmanager
def _ready(config: RunConfig) -> Iterator[Run]:
    with computing(config):
        problem = config.data.load(config.seed)
        if not config.evaluation.test:
            problem = replace(problem, test=None)
        run = Run(config, Engine(config.hardware), problem)
        run.evaluator.rehearse(run.module, config.loss.criterion(), problem.train)
        yield run


@contextmanager
def computing(config: RunConfig) -> Iterator[None]:
    """Threads, algorithms and random generators as a run has them; afterwards they are as they were."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(config.hardware.threads)
    if config.hardware.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which cuBLAS asks for, before its first use
        torch.use_deterministic_algorithms(True)
    try:
        with randomness.isolated(config.seed), warnings.catch_warnings():
            # torch's of a convolution with one input channel, whose strides say nothing
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


def _finish(run: Run, out: Path | None, observers: Sequence[Observer], stop: Callable[[], bool]) -> RunResult:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    leads = run.engine.leads
    with log.locked(out, what="run") if out is not None and leads else nullcontext():
        keeper = Keeper(run, out)
        keeper.take_up()
        observers = [*keeper.journals, *observers] if leads else []
        try:
            for observer in observers:
                observer.begin(run.config, run.plan.steps, run.position)
            batches = run.batches(range(run.position.epoch, run.config.epochs), run.position.step)
            while run.position.epoch < run.config.epochs:
                train_epoch(run, batches, keeper, observers, stop)
                _end_epoch(run, keeper, observers)
            result = result_of(run, started)
            if out is not None and leads:
                log.write_json(out / log.RESULT, result.to_json())
        finally:
            for observer in observers:
                observer.end()
    if result.collapsed is not None and leads:
        warnings.warn(result.collapsed, TrainingCollapsedWarning, stacklevel=4)
    return result


def train_epoch(
    run: Run,
    batches: Iterator[list[Piece]],
    keeper: Keeper,
    observers: Sequence[Observer] = (),
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train on what is left of the epoch: nothing, if the run was stopped before its evaluation."""
    run.model.train()
    for pieces in islice(batches, run.plan.steps - run.position.step):
        chunks = _chunks(run, pieces)
        samples = sum(part.samples for parts in chunks for part in parts)
        total, stopped, accumulated = run.engine.total(samples, stop(), len(chunks) > 1)
        if accumulated and len(chunks) == 1:
            run.engine.add_to_nothing(run.module)
        record = run.recorder.line(run.module, run.steps_done)
        line = _step(run, chunks, total)
        run.position = Position(run.position.epoch, run.position.step + 1)
        for observer in observers:
            if record is not None:
                observer.record(record)
            if line is not None:
                observer.step(line)
        if stopped:
            keeper.save()
            raise RunStopped(f"stopped in epoch {run.position.epoch} after step {run.position.step}; {keeper.where()}")
        keeper.after_step()


def _chunks(run: Run, pieces: list[Piece]) -> list[list[Part]]:
    """This rank's samples of a batch: a list of parts for each perturbation."""
    engine, step = run.engine, run.position.step
    chunks = cut(
        pieces,
        chunk=run.chunk,
        device_batch=run.config.device_batch,
        least=run.plan.parts(step) if engine.in_parts else 0,
        counts=run.plan.counts(step, engine.rank),
    )
    if not chunks:
        raise ConfigurationError(
            f"cannot train on step {run.position.step} of epoch {run.position.epoch}, because all its samples are "
            "damaged; mend them"
        )
    return chunks


def _step(run: Run, chunks: list[list[Part]], total: float) -> Row | None:
    """Take one optimizer step on this rank's part of a batch of ``total`` samples; return its line if it is logged."""
    config, method, optimizer, step = run.config, run.method, run.optimizer, run.steps_done
    randomness.seed_step(config.seed, run.engine.rank, step)
    run.draw()
    rate = config.learning_rate(step, run.plan.steps)
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("rate", 1.0)
    if config.when.fresh_state and step == run.window.first:
        optimizer_of(run).state.clear()
    scaler = run.engine.scaler
    scale = 1.0 if scaler is None else float(scaler.get_scale())  # before the step, which may change it
    attacks = run.attacker.evaluations(step)
    _pass(run, run.attacker.attacked(run.module, chunks, run.position.epoch, step), total)
    report = method.last_step
    usable = report.finite
    run.totals.note(report, finite=usable, scale=scale, attacks=attacks)
    line = None
    if config.logging.every_steps and step % config.logging.every_steps == 0:
        line = {"step": step, "epoch": run.position.epoch, **_line(run, rate, scale, attacks)}
    optimizer.zero_grad()
    if method.steps <= step:  # skipped, but behind us: epochs and intervals of the schedule go on
        method.load_state_dict({**method.state_dict(), "steps": step + 1, "micro_batch": 0})
    if usable and run.initial:
        torch._foreach_lerp_(run.floating(), run.initial, config.shrink_perturb * rate / config.optimizer.lr)
    if run.average is not None:  # after skipped steps too: an epoch may end with one
        run.average.update(step)
    return line


def _pass(run: Run, chunks: list[list[Part]], total: float) -> None:
    """Run the method's passes, with a perturbation for each chunk, weighted by its samples; take the step."""
    engine, method = run.engine, run.method
    step = partial(_take, run)
    for chunk in chunks:
        parts = [engine.move(part) for part in chunk]
        with engine.accumulating(run.model, more=chunk is not chunks[-1]):
            for p in method.passes() if method.inner is None else method.stepping(step):
                for layer in run.aware:
                    layer.ascending = p.ascent
                for part in parts:
                    inputs, targets = p.batch(part.inputs, part.targets)
                    with engine.accumulating(run.model, more=part is not parts[-1]):
                        with torch.set_grad_enabled(p.needs_gradient):
                            # ranks are averaged, samples are summed: each counts 1 / total
                            loss = p.loss(run.model(inputs), targets, samples=part.numbers)
                            loss = loss * (part.samples * engine.ranks / total)
                        if p.needs_gradient:
                            engine.fabric.backward(loss)
    if method.inner is None:
        step()


def _take(run: Run) -> None:
    """One step of the optimizer with the gradient that stands there, unless it is not finite."""
    config, optimizer, usable = run.config, run.optimizer, run.method.last_step.finite
    if usable and config.clip_norm is not None:
        run.engine.fabric.clip_gradients(run.model, optimizer, max_norm=config.clip_norm, error_if_nonfinite=False)
    if usable or run.engine.scaler is not None:  # a scaler skips the step itself, and lowers its scale
        optimizer.step()


def _line(run: Run, rate: float, scale: float, attacks: int) -> Row:
    report = run.method.last_step
    norm = report.gradient_norm
    return {
        "loss": finite(report.loss),
        "learning_rate": rate,
        "rho": list(report.radii),
        "perturbation_norm": finite(report.perturbation_norm),
        "cosine": finite(report.cosine),
        "gradient_norm": finite(None if norm is None else norm / scale),
        "gradient_evaluations": attacks + report.gradient_evaluations // max(1, report.micro_batches),
        "finite": report.finite,
    }


def _end_epoch(run: Run, keeper: Keeper, observers: Sequence[Observer]) -> None:
    """Evaluate, log and save after an epoch."""
    epoch, steps = run.position.epoch, run.plan.steps
    last = epoch + 1 == run.config.epochs
    row: Row | None = None
    if last or (epoch + 1) % run.config.evaluation.every_epochs == 0:
        rate = run.config.learning_rate((epoch + 1) * steps - 1, steps)
        if run.subspace is not None:  # what training has left are means over places
            run.estimate_statistics()
        row = {"epoch": epoch, "learning_rate": rate, **run.evaluator.row(run.module)}
        if run.average is not None:
            row |= _row_of_average(run, run.average, row, last=last)
        run.rows.append(row)
        for observer in observers:
            observer.epoch(row)
    run.position = Position(epoch + 1)
    keeper.after_epoch()


def _row_of_average(run: Run, average: AveragedWeights, row: Row, *, last: bool) -> Row:
    """The figures of the averaged weights; where BatchNorm's statistics must come anew, after the last epoch only."""
    figures: Row = {name: None for name in row if name not in ("epoch", "learning_rate")}
    anew = average.statistics_anew or run.subspace is not None
    if average.seen and (last or not anew):
        with average.applied():
            if anew:
                run.estimate_statistics()
                average.take_over()
            figures = run.evaluator.row(run.module)
    return {f"average_{name}": value for name, value in figures.items()}


def _check_json(config: RunConfig) -> None:
    try:
        json.dumps(config.to_json(), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"cannot write the configuration down, because JSON has no such value ({error}); change it"
        ) from None
