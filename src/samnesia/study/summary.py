"""From finished cells to the numbers of a comparison: the content of ``compare.json``.

::

    {
      "schema": 2,
      "recipe": "digits-noisy",                 # the problem; a run's recipe is PROBLEM-METHOD
      "baseline": "sgd",                        # the first method, to which the others are compared
      "seeds": [0, 1, ...],
      "confidence": 0.95,
      "command": "samnesia compare ...",        # makes these cells again; null when the cells do not tell
      "judged_by": {                            # the figure that runs are judged by; see samnesia.study.judged.Judged
        "split": "test", "measure": "accuracy", "unit": "%", "higher_is_better": true,
        "chosen_on": "validation",              # the split whose measure decides which epoch is the best
        "decimals": 1                           # digits after the point with which it is written
      },
      "methods": [{
        "method": "sam",
        "config": {...},                        # of the method's runs, without the seed
        "score": {                              # the figure that runs are judged by, in its unit
          "last": {"n", "mean", "low", "high", "per_seed": [...]},   # at the last epoch
          "best": {"n", "mean", "low", "high", "per_seed": [...]}    # at the best epoch
        },
        "difference": {"last": {...}, "best": {...}},            # paired, to the baseline; positive: larger
        "flipped_fitted": {"last": {...}, "best": {...}},        # share of flipped training labels in percent
        "gradient_evaluations": 1600.0,         # mean per run
        "seconds": 4.2,                         # mean per run
        "steps": 800.0,                         # mean per run
        "notes": ["seed 3: ..."]                # runs that collapsed or skipped steps, in words
      }],
      "failures": [{"method", "seed", "reason"}],
      "missing": [{"method", "seed"}],          # asked for, and neither finished nor failed
      "environments": [{...}]                   # each distinct one of the runs, without start time
    }

``per_seed`` is in the order of ``seeds``, with null for a run that does not exist; ``n`` counts the others. ``low`` and
``high`` are null where fewer than three runs exist or all give the same number, ``mean`` where no run exists.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.cells import Study
from samnesia.study.judged import decimals
from samnesia.study.statistics import Interval, mean_interval, paired_interval
from samnesia.train.config import RunConfig
from samnesia.train.log import RunResult
from samnesia.train.parts.methods import Unperturbed

SCHEMA = 2
CONFIDENCE = 0.95
POINTS: tuple[Literal["last", "best"], ...] = ("last", "best")


def summarize(study: Study) -> dict[str, Any]:
    """The summary of a study, of numbers, strings, lists and dicts alone; see the head of this module."""
    rows = [_method(study, method) for method in study.methods]
    return {
        "schema": SCHEMA,
        "recipe": study.problem,
        "baseline": study.methods[0],
        "seeds": list(study.seeds),
        "confidence": CONFIDENCE,
        "command": study.command,
        "judged_by": _judged_by(study, rows),
        "methods": rows,
        "failures": [
            {"method": method, "seed": seed, "reason": reason} for (method, seed), reason in study.failures.items()
        ],
        "missing": [
            {"method": method, "seed": seed}
            for seed in study.seeds
            for method in study.methods
            if (method, seed) not in study.results and (method, seed) not in study.failures
        ],
        "environments": _environments(study),
    }


def _judged_by(study: Study, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first, *others = study.results.values()
    for run in others:
        if (run.judged_by, run.chosen_on) != (first.judged_by, first.chosen_on):
            raise ConfigurationError(
                f"cannot compare the runs in {study.directory}, because they are judged by different figures, "
                f"{first.figure} of {first.recipe} and {run.figure} of {run.recipe}; give all of them the same splits "
                "and the same measure"
            )
    levels, differences = (
        [row[name][point]["mean"] for row in rows for point in POINTS] for name in ("score", "difference")
    )
    return {
        **first.judged_by,
        "chosen_on": first.chosen_on,
        "decimals": decimals(first.judged_by["unit"], levels, differences),
    }


def _method(study: Study, method: str) -> dict[str, Any]:
    runs = study.runs(method)
    baseline = study.runs(study.methods[0])
    return {
        "method": method,
        "config": next((_without_seed(run.config) for run in runs.values()), {}),
        "score": {point: _mean(study.seeds, _scores(runs, point)) for point in POINTS},
        "difference": {
            point: _difference(study.seeds, _scores(runs, point), _scores(baseline, point)) for point in POINTS
        },
        "flipped_fitted": {point: _mean(study.seeds, _values(runs, point, "flipped_fitted")) for point in POINTS},
        "gradient_evaluations": _plain_mean([run.gradient_evaluations for run in runs.values()]),
        "seconds": _plain_mean([run.seconds for run in runs.values()]),
        "steps": _plain_mean([run.steps for run in runs.values()]),
        "notes": [note for seed, run in runs.items() for note in _notes(seed, run)],
    }


def _scores(runs: Mapping[int, RunResult], point: str) -> dict[int, float]:
    return {seed: value for seed, run in runs.items() for value in _values({seed: run}, point, run.figure).values()}


def _values(runs: Mapping[int, RunResult], point: str, name: str) -> dict[int, float]:
    rows = {seed: run.last if point == "last" else run.best for seed, run in runs.items()}
    return {seed: value for seed, row in rows.items() if (value := row.get(name)) is not None}


def _mean(seeds: Sequence[int], values: Mapping[int, float]) -> dict[str, Any]:
    interval = mean_interval(list(values.values()), CONFIDENCE) if values else None
    return _fields(interval, [values.get(seed) for seed in seeds])


def _difference(seeds: Sequence[int], values: Mapping[int, float], baseline: Mapping[int, float]) -> dict[str, Any]:
    per_seed = [values[seed] - baseline[seed] if seed in values and seed in baseline else None for seed in seeds]
    return _fields(paired_interval(values, baseline, CONFIDENCE), per_seed)


def _fields(interval: Interval | None, per_seed: list[float | None]) -> dict[str, Any]:
    mean, low, high = (interval.mean, interval.low, interval.high) if interval else (None, None, None)
    count = sum(value is not None for value in per_seed)
    return {"n": count, "mean": mean, "low": low, "high": high, "per_seed": per_seed}


def _plain_mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _without_seed(config: RunConfig) -> dict[str, Any]:
    return {key: value for key, value in config.to_json().items() if key != "seed"}


def _notes(seed: int, run: RunResult) -> list[str]:
    notes = []
    attempted = run.steps + run.skipped_steps
    perturbed = run.perturbed_steps
    if perturbed is None:  # written before it was counted
        perturbed = run.config.perturbed_steps(attempted // run.config.epochs)
    if not perturbed and not isinstance(run.config.method, Unperturbed):
        notes.append(f"seed {seed}: no step was perturbed, so that this run is one of the base optimizer alone.")
    if run.collapsed:
        notes.append(f"seed {seed}: {run.collapsed}")
    elif run.skipped_steps:
        notes.append(f"seed {seed}: {run.skipped_steps} of {attempted} steps were skipped, not being finite.")
    lost = [point for point in POINTS if not math.isfinite(run.score(point))]
    if lost:
        notes.append(f"seed {seed}: its {run.figure} is not finite at the {' and the '.join(lost)} epoch: left out.")
    return notes


def _environments(study: Study) -> list[dict[str, Any]]:
    distinct: list[dict[str, Any]] = []
    for run in study.results.values():
        environment = {key: value for key, value in run.environment.items() if key != "started"}
        if environment not in distinct:
            distinct.append(environment)
    return distinct
