"""Comparisons whose ``study.json`` holds no design: the results of their cells, as a study with one factor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.cells import Study as Comparison
from samnesia.study.cells import cell_directory, read_study
from samnesia.study.design import Design, Factor, Measure
from samnesia.study.training import _values, notes
from samnesia.study.work import Outcome
from samnesia.train.log import RunResult

if TYPE_CHECKING:
    from samnesia.study.engine import Results


def is_earlier(out: Path) -> bool:
    """Whether the directory holds a comparison without a design."""
    path = out / "study.json"
    if not path.exists():
        return True
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return True
    return not isinstance(content, dict) or "design" not in content


def read_earlier(out: Path) -> Results:
    """The results of a comparison from its cells."""
    import pandas

    from samnesia.study.engine import Results

    found = read_study(out)
    rows, outcomes = [], {}
    for seed in found.seeds:
        for method in found.methods:
            directory = str(cell_directory(out, method, seed).relative_to(out))
            row: dict[str, Any] = {
                "method": method,
                "seed": seed,
                "status": "missing",
                "reason": None,
                "directory": directory,
                "config": "{}",
            }
            if (method, seed) in found.results:
                run = found.results[method, seed]
                outcomes[directory] = Outcome(_values(run), run.curves, run.seconds, run.environment, tuple(notes(run)))
                row |= {"status": "finished", "config": json.dumps(run.config.to_json())} | _values(run)
            elif (method, seed) in found.failures:
                row |= {"status": "failed", "reason": found.failures[method, seed]}
            rows.append(row)
    table = pandas.DataFrame(rows)
    numbers = [name for name in table if name not in ("method", "status", "reason", "directory", "config")]
    return Results(out, _design(found), table.astype(dict.fromkeys(numbers, "float64")), outcomes, (), found.command)


def _design(found: Comparison) -> Design:
    first, *others = found.results.values()
    for run in others:
        if (run.judged_by, run.chosen_on) != (first.judged_by, first.chosen_on):
            raise ConfigurationError(
                f"cannot compare the runs in {found.directory}, because they are judged by different figures, "
                f"{first.figure} of {first.recipe} and {run.figure} of {run.recipe}; give all of them the same splits "
                "and the same measure"
            )
    question = f"Which methods differ from {found.methods[0]} on {found.problem}?"
    points = {"last": "last epoch", "best": f"best {_adjective(first.chosen_on)} epoch"}
    measures = tuple(_measure(point, words, first) for point, words in points.items())
    return Design(found.problem, question, (Factor("method", found.methods),), measures, found.seeds)


def _measure(point: str, words: str, run: RunResult) -> Measure:
    judged = run.judged_by
    name = f"{_adjective(judged['split'])} {judged['measure']}".replace("_", " ")
    return Measure(point, f"{point}.{run.figure}", f"{name}, {words}", judged["unit"], judged["higher_is_better"])


def _adjective(split: str) -> str:
    return "training" if split == "train" else split
