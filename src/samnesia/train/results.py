"""What came out of a run, and what it was computed with."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch

from samnesia.train import log
from samnesia.train.log import Row, RunResult
from samnesia.train.parts.methods import method_name
from samnesia.train.run import Run
from samnesia.train.totals import collapse


def best_row(run: Run) -> Row:
    """The earliest row with the best value of the measure that epochs are chosen by."""
    measure, described = next(iter(run.config.loss.measures(run.problem.num_outputs).items()))
    sign = 1.0 if described.higher_is_better else -1.0

    def value(row: Row) -> float:
        figure = row[f"{run.problem.chosen_on}_{measure}"]
        return -math.inf if figure is None else sign * figure

    return max(run.rows, key=value)  # max returns the first of equals


def result_of(run: Run, started: str) -> RunResult:
    """Return what came out of a run that began at ``started`` (ISO 8601)."""
    config, problem, rows, totals = run.config, run.problem, run.rows, run.totals
    measure, described = next(iter(config.loss.measures(problem.num_outputs).items()))
    result = RunResult(
        recipe=config.recipe,
        method=method_name(config.method),
        seed=config.seed,
        config=config,
        environment={**environment(run), "started": started},
        parameters=run.num_parameters(),
        curves={name: [row[name] for row in rows] for name in rows[0]},
        last=rows[-1],
        best=best_row(run),
        steps=totals.steps,
        skipped_steps=totals.skipped,
        perturbed_steps=totals.perturbed,
        skipped_perturbed_steps=totals.skipped_perturbed,
        gradient_evaluations=totals.gradient_evaluations,
        seconds=run.seconds,
        report={name: totals.mean(name) for name in ("perturbation_norm", "cosine", "gradient_norm")},
        weight_norm=finite(run.weight_norm()),
        collapsed=None,
        judged_by={
            "split": problem.judged_on,
            "measure": measure,
            "unit": described.unit,
            "higher_is_better": described.higher_is_better,
        },
        chosen_on=problem.chosen_on,
    )
    return dataclasses.replace(result, collapsed=collapse(result, problem.num_outputs))


def environment(run: Run) -> dict[str, Any]:
    """Return what a run was computed with and on."""
    engine = run.engine
    return {
        **log.environment(),
        "threads": run.config.hardware.threads,
        "device": torch.cuda.get_device_name(engine.device) if engine.device.type == "cuda" else engine.device.type,
        "precision": engine.precision,
        "processes": engine.ranks,
        **({"data": dict(run.problem.made_from)} if run.problem.made_from else {}),
    }


def finite(value: float | None) -> float | None:
    """Return the value, or None where it is not finite: JSON has no other numbers."""
    return value if value is not None and math.isfinite(value) else None
