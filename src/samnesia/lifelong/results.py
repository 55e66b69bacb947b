"""What came out of a sequence of tasks, in the shape of a run.

An epoch of the result's curves is a training: of a task, or of all together. A row holds

* ``epoch``, ``learning_rate`` and the ``train_…`` figures of its run, in the end;
* ``test_accuracy``, ``test_loss`` and others: means over the tasks that were trained by then (validation likewise);
* ``test_accuracy_task3``: the accuracy on the fourth task, be it trained already or not;
* ``test_forgetting``, ``test_backward_transfer``, ``test_learning_accuracy``: see :mod:`samnesia.lifelong.measures`,
  by the tasks so far; null where there is none.

The best row is the last one: there is no choice of an earlier task.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from samnesia.data.problem import Problem
from samnesia.lifelong.config import LifelongConfig
from samnesia.lifelong.measures import (
    average_forgetting,
    backward_transfer,
    learning_accuracy,
)
from samnesia.train.log import Row, RunResult
from samnesia.train.parts.methods import method_name

Looks = dict[str, list[float | None]]
"""Figures by name, as in ``test_accuracy``: a number for each task."""
MEASURES = {
    "forgetting": average_forgetting,
    "backward_transfer": backward_transfer,
    "learning_accuracy": learning_accuracy,
}


def rows_of(looks: Sequence[Looks], runs: Sequence[RunResult], *, measure: str, together: bool) -> list[Row]:
    """Return a row for each training so far.

    Args:
        looks: figures on all tasks, after each training.
        runs: the trainings.
        measure: that tasks are judged by, such as accuracy.
        together: whether all tasks are trained at once.
    """
    rows = []
    for number, (look, run) in enumerate(zip(looks, runs, strict=True)):
        tasks = len(next(iter(look.values())))
        so_far = tasks if together else number + 1
        row: Row = {"epoch": number, "learning_rate": run.last["learning_rate"]}
        row |= {name: value for name, value in run.last.items() if name.startswith("train_")}
        row |= {name: _mean(values[:so_far]) for name, values in look.items()}
        for name, values in look.items():
            split, _, figure = name.partition("_")
            if figure == measure:
                row |= {f"{name}_task{task}": value for task, value in enumerate(values)}
                row |= _judged(split, [earlier[name] for earlier in looks[: number + 1]], so_far, together=together)
        rows.append(row)
    return rows


def _judged(split: str, matrix: Sequence[Sequence[float | None]], so_far: int, *, together: bool) -> Row:
    """What is made of the accuracies on the tasks so far."""
    known = [[value for value in row[:so_far] if value is not None] for row in matrix]
    if together or any(len(row) < so_far for row in known):
        return {f"{split}_{name}": None for name in MEASURES}
    return {f"{split}_{name}": of(known) for name, of in MEASURES.items()}


def result_of(
    config: LifelongConfig,
    runs: Sequence[RunResult],
    rows: Sequence[Row],
    problem: Problem,
    started: str,
    *,
    added: int,
) -> RunResult:
    """Return the result of a sequence, in the shape of a run's.

    Args:
        config: the sequence.
        runs: its trainings.
        rows: a row for each.
        problem: one of its tasks.
        started: when it began, in ISO 8601.
        added: gradient evaluations beside those of training, in batches.
    """
    last = runs[-1]

    def total(name: str) -> Any:
        counts = [getattr(run, name) for run in runs]
        return None if None in counts else sum(counts)

    collapsed = next((run.collapsed for run in runs if run.collapsed), None)
    return dataclasses.replace(
        last,
        recipe=config.recipe,
        method=method_name(config.training.method),
        seed=config.seed,
        config=dataclasses.replace(config.training, recipe=config.recipe),
        environment={**last.environment, "started": started},
        curves={name: [row[name] for row in rows] for name in rows[0]},
        last=rows[-1],
        best=rows[-1],
        steps=total("steps"),
        skipped_steps=total("skipped_steps"),
        perturbed_steps=total("perturbed_steps"),
        skipped_perturbed_steps=total("skipped_perturbed_steps"),
        gradient_evaluations=total("gradient_evaluations") + added,
        seconds=total("seconds"),
        report={name: _mean([run.report[name] for run in runs]) for name in last.report},
        collapsed=collapsed,
        chosen_on=problem.chosen_on,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there and len(there) == len(values) else None
