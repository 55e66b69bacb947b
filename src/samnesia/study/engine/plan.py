"""What a study has to run: its cells, each once, those of equal settings together."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.design import Design, Levels, Study
from samnesia.study.engine.jobs import Job
from samnesia.study.engine.store import CELLS, Finished, cell_name, find_cell
from samnesia.study.hypotheses import Hypothesis, in_scope
from samnesia.train.config import renewed
from samnesia.train.log import RESULT
from samnesia.train.parts.checks import require
from samnesia.train.plain import differences, to_plain

LONGEST = 255
"""Bytes that a file system lets a name have."""


@dataclass(frozen=True)
class Plan:
    """The runs of a study, seed by seed, so that an interrupted one holds whole pairs."""

    jobs: tuple[Job, ...]
    """What is to be in the directory at the end."""
    shared: dict[str, str]
    """Of each cell that shares its run with another one of equal settings: the name of that one."""

    @property
    def finished(self) -> list[Job]:
        """The jobs whose outcome is on disk."""
        return [job for job in self.jobs if isinstance(find_cell(job.directory), Finished)]

    @property
    def missing(self) -> list[Job]:
        """The jobs that are to run; those that have failed are tried again."""
        return [job for job in self.jobs if not isinstance(find_cell(job.directory), Finished)]

    def check(self, shared: Mapping[str, str] | None = None) -> None:
        """Refuse finished cells of other settings, and take the outcome of results that nobody has looked at.

        Args:
            shared: which cells have shared the run of which until now: such a run is a result of theirs as well.

        Raises:
            ConfigurationError: with the settings that differ, as "name: there -> asked".
        """
        jobs = {job.directory.name: job for job in self.jobs}
        for job in self.jobs:
            if find_cell(job.directory) is None and (job.directory / RESULT).exists():
                job.read()
            else:
                _check_settings(job.directory.name, job.directory, job)
        for name, run in (shared or {}).items():
            now = jobs.get(self.shared.get(name, name))
            if now is not None:
                _check_settings(name, now.directory.with_name(run), now)


def _check_settings(name: str, directory: Path, job: Job) -> None:
    """Refuse what has finished in a directory as the result of a cell, when it was run with other settings."""
    found = find_cell(directory)
    if not isinstance(found, Finished):
        return
    changed = differences(renewed(found.settings), plain_settings(job.work.settings, job.name))
    require(
        not changed,
        f"cannot go on with the study in {directory.parent.parent}, because the settings of its cell {name} have "
        f"changed since it was run ({'; '.join(changed)}); use another --out, or the settings of the first run",
    )


def make_plan(study: Study, out: Path) -> Plan:
    """The plan of a study in ``out``.

    Cells of equal settings are one run, which lies where one of them has finished already, or else at the first.

    Raises:
        ConfigurationError: for settings that JSON does not have, or that are the same for several seeds.
    """
    groups: dict[str, list[Job]] = {}
    for job in _jobs(study, out):
        text = json.dumps(plain_settings(job.work.settings, job.name), sort_keys=True)
        groups.setdefault(text, []).append(job)
    jobs, shared = [], {}
    for group in groups.values():
        first, *others = sorted(group, key=lambda job: not (job.directory / RESULT).exists())
        for other in others:
            require(
                other.seed == first.seed,
                f"cannot run the study {study.design.name}, because the work of {first.name} and that of {other.name} "
                "have the same settings, and a run of another seed must be another run; put the seed into the settings",
            )
            shared[other.directory.name] = first.directory.name
        needed = tuple(dict.fromkeys(name for job in group for name in job.needed))
        jobs.append(Job(first.directory, first.levels, first.seed, first.work, needed))
    return Plan(tuple(jobs), shared)


def plain_settings(settings: Any, name: str) -> dict[str, Any]:
    """Settings as JSON gives them back.

    Raises:
        ConfigurationError: when they are no JSON object.
    """
    try:
        plain = json.loads(json.dumps(settings, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"cannot write the settings of {name} down, because JSON has no such value ({error}); use numbers, texts, "
            "lists and dictionaries"
        ) from None
    require(isinstance(plain, dict), f"cannot use the settings of {name}, because they must be a dictionary")
    found: dict[str, Any] = plain
    return found


def _jobs(study: Study, out: Path) -> Iterator[Job]:
    design = study.design
    cells = list(design.cells())
    for seed in design.seeds:
        for levels in cells:
            name = cell_name(levels, seed)
            require(
                len(os.fsencode(name)) <= LONGEST,
                f"cannot run the study {design.name}, because a directory is named after the levels of a cell, and "
                f"{name[:40]}... has {len(os.fsencode(name))} bytes where {LONGEST} are the most; use shorter levels",
            )
            yield Job(out / CELLS / name, levels, seed, study.work(levels, seed), _needed(design, levels))


def _needed(design: Design, levels: Levels) -> tuple[str, ...]:
    """The values of a design cell that hypotheses are about."""
    concerned = [one for one in design.primary if in_scope(levels, one.scope)]
    names = dict.fromkeys(name for one in concerned for name in _measures(one))
    return tuple(dict.fromkeys(design.measure(name).value for name in names))


def _measures(hypothesis: Hypothesis) -> list[str]:
    plain = to_plain(hypothesis)
    parts = [plain, *plain.get("also", ())]
    names = ("measure", "x", "rival", "y", "given")
    return [part[name] for part in parts for name in names if part.get(name) is not None]
