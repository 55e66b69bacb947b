"""Cells of a study on disk: one directory per run, finished when, and only when, its ``result.json`` exists.

::

    OUT/study.json                      what was asked for last: problem, methods (baseline first), seeds, command
    OUT/cells/sam-seed3/config.json     written by the trainer, with metrics.jsonl and, last, result.json
    OUT/cells/sam-seed3/error.json      instead of result.json when the run failed: the reason and the traceback

A cell is addressed by method and seed alone, so adding seeds or methods runs only what is missing.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import RunConfig
from samnesia.train.log import RESULT, RunResult, read_result, write_json
from samnesia.train.parts.methods import Unperturbed
from samnesia.train.plain import differences

ERROR = "error.json"
_NAME = re.compile(r"(?P<method>.+)-seed(?P<seed>\d+)")


@dataclass(frozen=True)
class Cell:
    """One run of a study: where it goes and what it is."""

    method: str
    seed: int
    config: RunConfig
    directory: Path

    @property
    def finished(self) -> bool:
        """True when the run's result is on disk, whole."""
        return (self.directory / RESULT).exists()


@dataclass(frozen=True)
class Study:
    """What the cells of a directory hold; results and failures are addressed by (method, seed)."""

    directory: Path
    problem: str
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    command: str | None
    results: Mapping[tuple[str, int], RunResult]
    failures: Mapping[tuple[str, int], str]

    def runs(self, method: str) -> dict[int, RunResult]:
        """The finished runs of a method by seed, in the order of the seeds."""
        return {seed: self.results[method, seed] for seed in self.seeds if (method, seed) in self.results}


def cell_directory(out: Path, method: str, seed: int) -> Path:
    """The directory of one cell."""
    return out / "cells" / f"{method}-seed{seed}"


def check_unchanged(cells: Iterable[Cell]) -> None:
    """Refuse cells that are finished with another configuration than the one asked for now.

    Raises:
        ConfigurationError: with the entries that differ, as "name: there -> asked".
    """
    for cell in cells:
        if not cell.finished:
            continue
        found_differences = differences(_read_cell(cell.directory, None).config.to_json(), cell.config.to_json())
        if found_differences:
            raise ConfigurationError(
                f"cannot add to the study in {cell.directory.parent.parent} with this configuration, because a "
                f"comparison requires equal settings in all its cells, and {cell.directory.name} was run with others "
                f"({'; '.join(found_differences)}); use another --out, or the settings of the first run."
            )


def check_alike(out: Path, asked: Iterable[Cell] = ()) -> None:
    """Refuse finished cells, and cells asked for, that differ in more than method and seed.

    Raises:
        ConfigurationError: with the entries that differ, as "name: there -> asked".
    """
    found = {(method, seed): path for method, seed, path in sorted(_find_cells(out)) if (path / RESULT).exists()}
    configs = {key: _read_cell(path, None).config for key, path in found.items()}
    configs.update({(cell.method, cell.seed): cell.config for cell in asked})
    _check_alike(out, configs)


def _check_alike(out: Path, configs: Mapping[tuple[str, int], RunConfig]) -> None:
    if not configs:
        return
    first, *others = configs
    for other in others:
        found_differences = differences(
            _shared(configs[first], first[0]).to_json(), _shared(configs[other], other[0]).to_json()
        )
        if found_differences:
            names = [f"{method}-seed{seed}" for method, seed in (first, other)]
            raise ConfigurationError(
                f"cannot compare the runs in {out}, because a comparison requires equal settings but for method and "
                f"seed, and {names[0]} and {names[1]} differ ({'; '.join(found_differences)}); use another --out for "
                "one of them"
            )


def _shared(config: RunConfig, method: str) -> RunConfig:
    """The configuration with method and seed taken out, for the eye of a comparison."""
    return replace(config, recipe=_problem_of(config.recipe, method), method=Unperturbed(), seed=0)


def _problem_of(recipe: str, method: str) -> str:
    """What is left of a recipe's name, PROBLEM-METHOD or FILE:METHOD, without the method."""
    for ending in (f"-{method}", f":{method.replace('-', '_')}"):
        if recipe.endswith(ending):
            return recipe.removesuffix(ending)
    return recipe


def write_study(out: Path, problem: str, *, methods: Sequence[str], seeds: Sequence[int], command: str) -> None:
    """Write down what was asked for, so that the report keeps the order of the methods and the seeds."""
    content = {"recipe": problem, "methods": list(methods), "seeds": list(seeds), "command": command}
    write_json(out / "study.json", content)


def read_study(out: Path) -> Study:
    """Read the cells of a study; without ``study.json``, every cell counts and SGD, where there is one, comes first.

    Raises:
        ConfigurationError: when there is no finished cell, or a file that is not what it should be.
    """
    found = sorted(_find_cells(out))
    asked = _read_asked(out / "study.json")
    command = asked["command"] if asked else None
    results = {(method, seed): _read_cell(path, command) for method, seed, path in found if (path / RESULT).exists()}
    _check_alike(out, {key: run.config for key, run in results.items()})
    failures = {
        (method, seed): str(read_json(path / ERROR).get("reason"))
        for method, seed, path in found
        if (path / ERROR).exists() and (method, seed) not in results
    }
    if asked:
        problem, methods, seeds = asked["recipe"], tuple(asked["methods"]), tuple(asked["seeds"])
    else:
        methods = tuple(sorted({method for method, _ in results}, key=lambda method: (method != "sgd", method)))
        seeds = tuple(sorted({seed for _, seed in results}))
        problem = _problem(results)
    order = [(method, seed) for seed in seeds for method in methods]
    results = {key: results[key] for key in order if key in results}
    failures = {key: failures[key] for key in order if key in failures}
    if not results:
        first = next(iter(failures.items()), None)
        reason = f" (the first failure, of {first[0][0]} with seed {first[0][1]}: {first[1]})" if first else ""
        raise ConfigurationError(
            f"cannot report on {out}, because a report requires at least one finished run, a directory "
            f"cells/METHOD-seedN with a result.json, and there is none{reason}; run samnesia compare with this --out."
        )
    return Study(out, problem, methods, seeds, command, results, failures)


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object.

    Raises:
        ConfigurationError: when the file does not hold one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"cannot read {path} as JSON ({error}), because a cell requires the files as the run wrote them; "
            "remove the damaged directory and run again."
        ) from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"cannot use {path}, because it must hold one JSON object; remove it and run again.")
    return content


def _read_asked(path: Path) -> dict[str, Any] | None:
    remedy = "remove this one file; samnesia compare writes it anew"
    if not path.exists():
        return None
    try:
        asked = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"cannot read {path}, because it is no valid JSON ({error}); {remedy}") from None
    listed = isinstance(asked, dict) and all(isinstance(asked.get(name), list) for name in ("methods", "seeds"))
    whole = (
        listed
        and isinstance(asked.get("recipe"), str)
        and isinstance(asked.get("command"), str | None)
        and bool(asked["methods"])
        and all(isinstance(method, str) for method in asked["methods"])
        and all(type(seed) is int for seed in asked["seeds"])
    )
    if not whole:
        raise ConfigurationError(
            f"cannot use {path}, because it does not hold recipe, methods, seeds and command of a study; {remedy}"
        )
    content: dict[str, Any] = asked
    return {"command": None, **content}


def _read_cell(path: Path, command: str | None) -> RunResult:
    try:
        return read_result(path)
    except ConfigurationError as error:
        again = command or "the samnesia compare that made it"
        raise ConfigurationError(f"{error}: remove the directory {path} and run {again}") from None


def write_text(path: Path, content: str) -> None:
    """Write a text file through a temporary one that is moved into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(content, encoding="utf-8")
    os.replace(temporary, path)


def _find_cells(out: Path) -> Iterable[tuple[str, int, Path]]:
    for path in (out / "cells").glob("*-seed*"):
        name = _NAME.fullmatch(path.name)
        if name and path.is_dir():
            yield name["method"], int(name["seed"]), path


def _problem(results: Mapping[tuple[str, int], RunResult]) -> str:
    return next((_problem_of(run.recipe, method) for (method, _), run in results.items()), "")
