"""From the table of a study to the numbers that are reported: the content of ``compare.json``.

::

    {
      "schema": 3,
      "recipe": "digits-noisy",                 # name of the study; of a comparison, its problem
      "question": "...",
      "compared": "method",                     # the factor whose levels are called methods here
      "baseline": "sgd",                        # the first of them, to which the others are compared
      "seeds": [0, 1, ...],
      "confidence": 0.95,
      "command": "samnesia compare ...",        # makes these cells again; null when that is not known
      "judged_by": {...},                       # the measure shown first; see samnesia.study.report.judged.Judged
      "methods": [{
        "method": "sam",
        "config": {...},                        # of the method's runs, without the seed; {} where runs differ in more
        "score": {                              # the measure, in its unit; of what has no epochs, "value" alone
          "last": {"n", "mean", "low", "high", "per_seed": [...]},   # at the last epoch
          "best": {"n", "mean", "low", "high", "per_seed": [...]}    # at the best epoch
        },
        "difference": {"last": {...}, "best": {...}},            # paired, to the baseline; positive: larger
        "error_reduction": {"last": {...}, ...},                 # of the baseline's error, in percent (Fieller)
        "flipped_fitted": {"last": {...}, "best": {...}},        # share of flipped training labels in percent
        "measures": {"sharpness": {...}},       # the study's other measures by name, likewise
        "gradient_evaluations": 1600.0,         # mean per run
        "seconds": 4.2,                         # mean per run
        "steps": 800.0,                         # mean per run
        "notes": ["seed 3: ..."]                # what a reader of these runs has to know
      }],
      "contexts": [{                            # of a study with other factors; [] where there are none
        "levels": {"problem": "digits"}, "name": "digits", "methods": [...]
      }],
      "failures": [{"method", "seed", "reason"}],                # with the level of every factor
      "missing": [{"method", "seed"}],          # asked for, and neither finished nor failed
      "environments": [{...}]                   # each distinct one of the runs, without start time
    }

``per_seed`` is in the order of ``seeds``, with null for a run that does not exist; ``n`` counts the others. ``low`` and
``high`` are null where fewer than three runs exist or all give the same number, ``mean`` where no run exists. Where
there are several contexts, ``methods`` at the top are means within each seed over the contexts that have all methods.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.design import Measure
from samnesia.study.judging.reduction import error_reduction
from samnesia.study.judging.statistics import Interval, mean_interval, paired_interval
from samnesia.study.report.contexts import Context, Grid
from samnesia.study.report.judged import Judged, decimals

if TYPE_CHECKING:
    from samnesia.study.engine.run import Results

SCHEMA = 3
CONFIDENCE = 0.95
COSTS = ("gradient_evaluations", "seconds", "steps")
"""Columns of the table that say what a run has cost."""
ValuesOf = Callable[[str, str], Mapping[int, float]]
"""(method, column) -> values by seed."""


def summarize(results: Results) -> dict[str, Any]:
    """The summary of a study, of numbers, strings, lists and dicts alone; see the head of this module.

    Raises:
        ConfigurationError: when no run has finished.
    """
    grid = Grid(results.design, results.table)
    summary = _Summary(grid, results)
    contexts = [summary.context(context) for context in grid.contexts]
    several = len(contexts) > 1
    methods = summary.overall() if several else contexts[0]["methods"]
    judged = _with_decimals(summary.judged, [methods, *(context["methods"] for context in contexts)])
    design = results.design
    return {
        "schema": SCHEMA,
        "recipe": design.name,
        "question": design.question,
        "compared": design.compared,
        "baseline": grid.arms[0],
        "seeds": list(design.seeds),
        "confidence": CONFIDENCE,
        "command": results.command,
        "judged_by": vars(judged),
        "methods": methods,
        "contexts": contexts if several else [],
        "failures": [
            {**levels, "seed": seed, "reason": str(row["reason"])}
            for levels, seed, row in grid.each()
            if row["status"] == "failed"
        ],
        "missing": [{**levels, "seed": seed} for levels, seed, row in grid.each() if row["status"] == "missing"],
        "environments": _environments(results),
    }


def other_measures(grid: Grid) -> tuple[Measure, ...]:
    """The measures of the design that are not shown first, nor are that at another epoch."""
    shown = set(Judged.first(grid.design, grid.columns).columns.values())
    return tuple(measure for measure in grid.design.measures if measure.value not in shown)


def estimate_of(values: Mapping[int, float], seeds: Sequence[int]) -> dict[str, Any]:
    """The mean of values by seed with its interval, as in the summary."""
    return _fields(mean_interval(list(values.values()), CONFIDENCE) if values else None, values, seeds)


class _Summary:
    """What all blocks of methods of one summary share."""

    def __init__(self, grid: Grid, results: Results) -> None:
        self.grid, self.results = grid, results
        self.judged = Judged.first(grid.design, grid.columns)
        self.others = other_measures(grid)
        self.seeds = grid.design.seeds

    def context(self, context: Context) -> dict[str, Any]:
        def values(method: str, column: str) -> Mapping[int, float]:
            return self.grid.values(self.grid.cell(context, method), column)

        methods = [
            {
                **self.method(method, values),
                "config": self._config(self.grid.cell(context, method)),
                "notes": self._notes(self.grid.cell(context, method)),
            }
            for method in context.arms
        ]
        return {"levels": dict(context.levels), "name": context.name, "methods": methods}

    def overall(self) -> list[dict[str, Any]]:
        whole = [context for context in self.grid.contexts if context.arms == self.grid.arms]

        def values(method: str, column: str) -> Mapping[int, float]:
            return self.grid.mean_over([self.grid.cell(context, method) for context in whole], column)

        return [{**self.method(method, values), "config": {}, "notes": []} for method in self.grid.arms]

    def method(self, method: str, values: ValuesOf) -> dict[str, Any]:
        baseline = self.grid.arms[0]
        columns = self.judged.columns
        scores = {point: (values(method, column), values(baseline, column)) for point, column in columns.items()}
        row = {
            "method": method,
            "score": {point: self._mean(own) for point, (own, _) in scores.items()},
            "difference": {point: self._paired(own, base) for point, (own, base) in scores.items()},
            "error_reduction": {point: self._reduction(own, base) for point, (own, base) in scores.items()},
            "flipped_fitted": {
                point: self._mean(values(method, f"{point}.flipped_fitted")) for point in ("last", "best")
            },
            "measures": {measure.name: self._mean(values(method, measure.value)) for measure in self.others},
        }
        costs = {name: _plain_mean(values(method, name)) for name in COSTS}
        return {**row, **costs}

    def _mean(self, values: Mapping[int, float]) -> dict[str, Any]:
        return estimate_of(values, self.seeds)

    def _paired(self, values: Mapping[int, float], baseline: Mapping[int, float]) -> dict[str, Any]:
        differences = {seed: values[seed] - baseline[seed] for seed in values.keys() & baseline.keys()}
        return _fields(paired_interval(values, baseline, CONFIDENCE), differences, self.seeds)

    def _reduction(self, values: Mapping[int, float], baseline: Mapping[int, float]) -> dict[str, Any]:
        most = self.judged.most
        if most is None or any(
            self.judged.gain(most - value) < 0.0 for value in (*values.values(), *baseline.values())
        ):
            return _fields(None, {}, self.seeds)
        own, base = ({seed: abs(most - value) for seed, value in side.items()} for side in (values, baseline))
        shares = {seed: 100.0 * (1.0 - own[seed] / base[seed]) for seed in own.keys() & base.keys() if base[seed]}
        return _fields(error_reduction(own, base, CONFIDENCE), shares, self.seeds)

    def _config(self, levels: Mapping[str, str]) -> dict[str, Any]:
        for row in self.grid.finished(levels).values():
            config = json.loads(row["config"])
            return {key: value for key, value in config.items() if key != "seed"}
        return {}

    def _notes(self, levels: Mapping[str, str]) -> list[str]:
        outcomes = {seed: self.results.outcomes[row["directory"]] for seed, row in self.grid.finished(levels).items()}
        return [f"seed {seed}: {note}" for seed, outcome in outcomes.items() for note in outcome.notes]


def _fields(interval: Interval | None, values: Mapping[int, float], seeds: Sequence[int]) -> dict[str, Any]:
    mean, low, high = (interval.mean, interval.low, interval.high) if interval else (None, None, None)
    per_seed = [values.get(seed) for seed in seeds]
    return {"n": len(values), "mean": mean, "low": low, "high": high, "per_seed": per_seed}


def _with_decimals(judged: Judged, blocks: Sequence[Sequence[Mapping[str, Any]]]) -> Judged:
    levels, differences = (
        [row[name][point]["mean"] for rows in blocks for row in rows for point in judged.points]
        for name in ("score", "difference")
    )
    return replace(judged, decimals=decimals(judged.unit, levels, differences))


def _plain_mean(values: Mapping[int, float]) -> float | None:
    return math.fsum(values.values()) / len(values) if values else None


def _environments(results: Results) -> list[dict[str, Any]]:
    distinct: list[dict[str, Any]] = []
    for outcome in results.outcomes.values():
        environment = {key: value for key, value in outcome.environment.items() if key != "started"}
        if environment not in distinct:
            distinct.append(environment)
    if not results.outcomes:
        raise ConfigurationError(
            f"cannot report on the study {results.design.name}, because a report requires at least one finished run, "
            "and there is none; run it first"
        )
    return distinct
