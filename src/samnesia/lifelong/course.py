"""One task after the other: a configuration in, a result and a directory out.

::

    DIR/lifelong.json            the whole configuration
    DIR/metrics.jsonl            a line per training: accuracies on all tasks, and what is made of them
    DIR/result.json              written last; a run's (samnesia.train.log), with the matrices under "lifelong"
    DIR/tasks/000/run/           the run of a task, as samnesia train leaves it
    DIR/tasks/000/anchors.safetensors    what EWC holds the next tasks to
    DIR/tasks/000/after.json     accuracies on all tasks after it: written when the task is over

The trainer does each task, from the weights of the one before. A killed sequence goes on where it was: inside of a task
from its last checkpoint, as the trainer does, bit by bit.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any

from samnesia.data.problem import Problem
from samnesia.lifelong.config import LIFELONG, LifelongConfig, read
from samnesia.lifelong.results import Looks, result_of, rows_of
from samnesia.perturb.errors import ConfigurationError, RunStopped
from samnesia.processes import alone
from samnesia.train import log
from samnesia.train.config import RunConfig
from samnesia.train.engine import Engine
from samnesia.train.evaluation import Evaluator
from samnesia.train.loaded import Loaded, load
from samnesia.train.log import Row, RunResult
from samnesia.train.loop import computing, train
from samnesia.train.loop import resume as resume_run
from samnesia.train.observers import Observer
from samnesia.train.plain import differences

TASKS, RUN, AFTER, ANCHORS = "tasks", "run", "after.json", "anchors.safetensors"


class Watch:
    """Told of each training. Overrides what it wants to know."""

    def begin(self, config: LifelongConfig, done: int) -> None:
        """The sequence begins, or goes on after so many trainings."""

    def observers(self, number: int) -> list[Observer]:
        """Who looks on during a training."""
        return []

    def trained(self, number: int, row: Row) -> None:
        """A training is over: see :mod:`samnesia.lifelong.results` for what a row holds."""


def learn(
    config: LifelongConfig,
    out: Path | str,
    *,
    watch: Watch | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> RunResult:
    """Learn the tasks one after the other, and return the result, which is that of a run.

    Args:
        config: the sequence.
        out: directory; must be empty, or not exist.
        watch: is told of every training.
        stop: asked in every step; once it is true, a checkpoint is written and the sequence stops.

    Raises:
        ConfigurationError: for what cannot be trained, or an ``out`` that is not empty.
        RunStopped: when ``stop`` said so.
    """
    out = Path(out)
    course = _Course(config, out)
    course.check()
    log.tidy(out)
    log.claim(out, what="a sequence of tasks")
    log.write_json(out / LIFELONG, config.to_json())
    return course.finish(watch or Watch(), stop)


def resume(out: Path | str, *, watch: Watch | None = None, stop: Callable[[], bool] = lambda: False) -> RunResult:
    """Go on with the sequence in ``out``; a finished one is returned as it is.

    It ends as one that was never interrupted, bit by bit (but for times).

    Raises:
        ConfigurationError: if there is none in ``out``, or another process is at work on it.
        RunStopped: when ``stop`` said so.
    """
    out = Path(out)
    config = read(out)
    if (out / log.RESULT).exists():
        return log.read_result(out)
    course = _Course(config, out)
    course.check()
    return course.finish(watch or Watch(), stop)


class _Course:
    """A sequence of tasks in a directory."""

    def __init__(self, config: LifelongConfig, out: Path) -> None:
        self._config, self._out = config, out.resolve()

    def check(self) -> None:
        """Refuse what cannot be learned, before anything is written."""
        if not alone():
            raise ConfigurationError(
                "cannot learn a sequence of tasks with several processes, because importances and accuracies of all "
                "tasks are computed by one; start one process"
            )
        _, measure = self._measure
        if not measure.higher_is_better:
            raise ConfigurationError(
                "cannot judge a sequence of tasks by a loss, because forgetting is what is lost of an accuracy; give "
                "the loss a measure of which more is better"
            )
        _ = self._tasks

    def finish(self, watch: Watch, stop: Callable[[], bool]) -> RunResult:
        """Do what is left."""
        started = datetime.now(UTC).isoformat(timespec="seconds")
        with log.locked(self._out, what="sequence of tasks"):
            log.tidy(self._out)
            done = [number for number in range(self._config.runs) if (self._place(number) / AFTER).exists()]
            watch.begin(self._config, len(done))
            runs: list[RunResult] = []
            looks: list[Looks] = []
            for number in range(self._config.runs):
                fresh = not (self._place(number) / AFTER).exists()
                runs.append(self._train(number, watch.observers(number), stop))
                if fresh:
                    self._conclude(number)
                looks.append(self._after(number))
                rows = self._rows(looks, runs)
                self._write_rows(rows)
                if fresh:
                    watch.trained(number, rows[-1])
            result = result_of(self._config, runs, rows, self._first_problem, started, added=self._added)
            content = result.to_json() | {"lifelong": self._described(looks)}
            log.write_json(self._out / log.RESULT, content)
        return result

    @cached_property
    def _tasks(self) -> list[Problem]:
        """All tasks, without a memory and, where the run never looks at it, without the test."""
        with computing(self._config.training):
            tasks = self._config.task(0).all(self._config.seed)
        if not self._config.training.evaluation.test:
            tasks = [replace(task, test=None) for task in tasks]
        return tasks

    @property
    def _first_problem(self) -> Problem:
        return self._tasks[0]

    @property
    def _measure(self) -> tuple[str, Any]:
        """The measure that tasks are judged by, and its name."""
        return next(iter(self._config.training.loss.measures(self._first_problem.num_outputs).items()))

    @property
    def _added(self) -> int:
        """Gradient evaluations, in batches, for the importances of EWC: those after the last task are not needed."""
        ewc, batch = self._config.ewc, self._config.training.batch_size
        if ewc is None:
            return 0
        sizes = [len(task.train) for task in self._tasks[:-1]]
        return sum(ceil(min(size, ewc.samples or size) / batch) for size in sizes)

    def _place(self, number: int) -> Path:
        return self._out / TASKS / f"{number:03d}"

    def _run(self, number: int) -> RunConfig:
        """The run of a training."""
        before = self._place(number - 1) if number else None
        anchors = None if before is None or self._config.ewc is None else before / ANCHORS
        return self._config.run(number, None if before is None else before / RUN, anchors)

    def _train(self, number: int, observers: Sequence[Observer], stop: Callable[[], bool]) -> RunResult:
        """Train, go on with a training, or read what came out of it."""
        config, directory = self._run(number), self._place(number) / RUN
        if (self._place(number) / AFTER).exists():
            return log.read_result(directory)
        try:
            if _is_of(directory, config):
                return resume_run(directory, observers=observers, stop=stop)
            shutil.rmtree(directory, ignore_errors=True)  # killed before it had begun, or from another place
            return train(config, directory, observers=observers, stop=stop)
        except RunStopped:
            raise RunStopped(f"stopped in task {number}; go on with: samnesia resume {self._out}") from None

    def _conclude(self, number: int) -> None:
        """Measure all tasks, and what the next ones are held to; written when all of it is there."""
        with computing(self._config.training):
            loaded = load(self._place(number) / RUN)
            engine = Engine(self._config.training.hardware)
            loaded.model.to(engine.device)
            looks = self._looks(loaded, engine)
            if self._config.ewc is not None and number + 1 < self._config.runs:
                self._anchor(number, loaded, engine)
        log.write_json(self._place(number) / AFTER, looks)

    def _looks(self, loaded: Loaded, engine: Engine) -> Looks:
        """Figures of each split and task: by name, a list with a number for each task."""
        config = replace(loaded.config, evaluation=replace(loaded.config.evaluation, train=False))
        rows = [Evaluator(config, engine, task).row(loaded.model) for task in self._tasks]
        return {name: [row[name] for row in rows] for name in rows[0] if all(name in row for row in rows)}

    def _anchor(self, number: int, loaded: Loaded, engine: Engine) -> None:
        """Write the anchors of the next task."""
        from samnesia.lifelong.fisher import anchors_with, fisher_diagonal
        from samnesia.train.consolidation import read_anchors, write_anchors
        from samnesia.train.drawn import Drawn

        ewc = self._config.ewc
        assert ewc is not None  # only called then
        samples = Drawn(
            self._tasks[number].train,
            "train",
            ewc.samples,
            seed=self._config.seed,
            batch_size=loaded.config.evaluation.batch_size,
            dtype=next(loaded.model.parameters()).dtype,
            device=engine.device,
            workers=loaded.config.hardware.workers,
        )
        importance = fisher_diagonal(loaded.model, loaded.criterion, samples)
        before = read_anchors(self._place(number - 1) / ANCHORS) if number else []
        write_anchors(self._place(number) / ANCHORS, anchors_with(before, loaded.model, importance, ewc))

    def _after(self, number: int) -> Looks:
        path = self._place(number) / AFTER
        try:
            content: Looks = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigurationError(
                f"cannot read {path}, because it is no valid JSON ({error}); remove it, and go on with: samnesia "
                f"resume {self._out}"
            ) from None
        return content

    def _rows(self, looks: Sequence[Looks], runs: Sequence[RunResult]) -> list[Row]:
        return rows_of(looks, runs, measure=self._measure[0], together=self._config.together)

    def _write_rows(self, rows: Sequence[Row]) -> None:
        """Write the log anew: it is short, and a reader sees the old one or the whole new one."""
        lines = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
        temporary = self._out / f".{log.METRICS}.writing"
        temporary.write_text(lines, encoding="utf-8")
        temporary.replace(self._out / log.METRICS)

    def _described(self, looks: Sequence[Looks]) -> dict[str, Any]:
        measure = self._measure[0]
        ends = {name: name.removesuffix(f"_{measure}") for name in looks[0] if name.endswith(f"_{measure}")}
        matrices = {split: [look[name] for look in looks] for name, split in ends.items() if split in SPLITS}
        return {"config": self._config.to_json(), "measure": measure, "matrix": matrices}


SPLITS = ("validation", "test")


def _is_of(directory: Path, config: RunConfig) -> bool:
    """Whether a directory holds this run."""
    try:
        return not differences(log.read_config(directory).to_json(), config.to_json())
    except ConfigurationError:
        return False
