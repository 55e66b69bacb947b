"""A study's directory: where its cells lie, and what the engine writes down of each of them.

::

    OUT/study.json                      design, command, what was changed since (samnesia.study.engine.definition)
    OUT/table.parquet                   a row per design cell and seed (samnesia.study.engine.table)
    OUT/cells/sam,steps-seed3/          a cell: its levels in the order of the factors, and its seed
        result.json                     written last by the cell's work: what exists is whole
        outcome.json                    what the engine has read of it: what tables and reports are made of
        error.json                      instead of both when the cell has failed: the reason and the traceback

``outcome.json`` is of one form whatever the work was, so that a report needs no Python of the study's author. It holds
a digest of ``result.json``, from which the engine makes it anew when it is lost.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.work import Outcome
from samnesia.train.log import RESULT, write_json
from samnesia.train.parts.checks import require

CELLS, OUTCOME, ERROR = "cells", "outcome.json", "error.json"
SCHEMA = 1


@dataclass(frozen=True)
class Finished:
    """What is on disk of a finished cell."""

    settings: dict[str, Any]
    """The settings of its work."""
    outcome: Outcome
    """What came out of it."""


@dataclass(frozen=True)
class Failed:
    """What is on disk of a failed cell."""

    settings: dict[str, Any]
    """The settings of its work."""
    reason: str
    """What went wrong, in a line."""


def cell_name(levels: Mapping[str, str], seed: int) -> str:
    """The name of a cell: its levels, in the order of the factors, and its seed."""
    return f"{','.join(levels.values())}-seed{seed}"


def find_cell(directory: Path) -> Finished | Failed | None:
    """What is on disk of the cell in ``directory``; None where it has not ended.

    Raises:
        ConfigurationError: when a file is damaged, or a result has changed since its outcome was taken.
    """
    if (directory / RESULT).exists() and (directory / OUTCOME).exists():
        return _read_outcome(directory)
    if (directory / ERROR).exists():
        plain = read_object(directory / ERROR, remedy="remove it; the same command runs the cell again")
        settings = plain.get("settings")
        return Failed(settings if isinstance(settings, dict) else {}, str(plain.get("reason")))
    return None


def count_results(out: Path) -> int:
    """How many cells in a study's directory have a result that somebody may have seen, read by the engine or not."""
    return sum(not (path.parent / ERROR).exists() for path in (out / CELLS).glob(f"*/{RESULT}"))


def write_outcome(directory: Path, settings: Mapping[str, Any], outcome: Outcome) -> None:
    """Write down what came out of the cell in ``directory``; numbers that are not finite are left out.

    Raises:
        ConfigurationError: for values that are no numbers.
    """
    content = {
        "schema": SCHEMA,
        "result": _digest(directory),
        "settings": settings,
        **asdict(outcome),
        "values": {name: _number(name, value) for name, value in outcome.values.items()},
        "curves": {name: [_number(name, value) for value in curve] for name, curve in outcome.curves.items()},
    }
    try:
        write_json(directory / OUTCOME, content)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"cannot write the outcome of {directory.name} down, because JSON has no such value ({error}); use "
            "numbers, texts, lists and dictionaries"
        ) from None


def write_failure(directory: Path, settings: Mapping[str, Any], reason: str, trace: str | None) -> None:
    """Write down why the cell in ``directory`` has failed."""
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / ERROR, {"reason": reason, "settings": settings, "traceback": trace})


def clear(directory: Path) -> None:
    """Remove what the engine has written down of a cell, before it runs again."""
    for name in (OUTCOME, ERROR):
        (directory / name).unlink(missing_ok=True)
        for temporary in directory.glob(f".{name}.*"):  # what a kill in the middle of `write_json` leaves
            temporary.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """Write a text file through a temporary one that is moved into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(content, encoding="utf-8")
    os.replace(temporary, path)


def read_object(path: Path, *, remedy: str) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        ConfigurationError: when it does not, with the remedy.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read {path}, because it is no valid JSON ({error}); {remedy}") from None
    require(isinstance(content, dict), f"cannot use {path}, because it must hold one JSON object; {remedy}")
    found: dict[str, Any] = content
    return found


def _read_outcome(directory: Path) -> Finished:
    path = directory / OUTCOME
    plain = read_object(path, remedy="remove it; the same command makes it anew")
    kinds = {"settings": dict, "values": dict, "curves": dict, "environment": dict, "notes": list}
    whole = plain.get("schema") == SCHEMA and all(isinstance(plain.get(name), kind) for name, kind in kinds.items())
    numbers = [plain["values"].values(), *plain["curves"].values()] if whole else []
    whole = whole and all(isinstance(some, Iterable) and all(map(_is_number, some)) for some in numbers)
    require(
        whole and isinstance(plain.get("seconds"), int | float),
        f"cannot use {path}, because it does not hold an outcome of schema {SCHEMA}; remove it; the same command makes "
        "it anew",
    )
    require(
        plain.get("result") == _digest(directory),
        f"cannot use {path}, because {RESULT} beside it has changed since; remove the directory {directory} and run "
        "the same command again",
    )
    outcome = Outcome(
        plain["values"], plain["curves"], float(plain["seconds"]), plain["environment"], tuple(plain["notes"])
    )
    return Finished(plain["settings"], outcome)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _digest(directory: Path) -> str:
    return hashlib.sha256((directory / RESULT).read_bytes()).hexdigest()


def _number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError):
        raise ConfigurationError(
            f"cannot use {value!r} as the value {name}, because values are numbers; return a float, or None for none"
        ) from None
    return number if math.isfinite(number) else None
