"""What a study is going to do, before it does it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from samnesia.study.design import Design, Study
from samnesia.study.engine.definition import Definition
from samnesia.study.engine.plan import Plan, make_plan
from samnesia.study.engine.remaining import Clock, spoken
from samnesia.study.engine.store import Failed, Finished, count_results, find_cell
from samnesia.study.hypotheses import Hypothesis
from samnesia.study.judging.numbers import counted, measured, ranges
from samnesia.study.judging.power import describe_power

MOST = 4  # claims that are named before power that they share


def with_seeds_there(study: Study, out: Path | None) -> Study:
    """The study as it will run in ``out``: seeds that are there already stay.

    Raises:
        ConfigurationError: when ``out`` holds another study, or its definition is damaged.
    """
    there = None if out is None else Definition.find(out)
    if there is None or out is None:
        return study
    design, _ = there.changed_to(study.design, results=count_results(out), out=out)
    return replace(study, design=design)


def preview(study: Study, out: Path | None, *, workers: int | None) -> list[str]:
    """Say what a study varies and runs, what of it is missing in ``out``, and how long that takes, in lines.

    Args:
        study: the study, with the seeds that are there.
        out: its directory; None where it has none yet.
        workers: how many cells run at a time, for the time; None is one per CPU.

    Raises:
        ConfigurationError: for a study whose cells cannot be run, or a file of ``out`` that is damaged.
    """
    design, plan = study.design, make_plan(study, out or Path())
    return [
        f"{design.name}: {design.question}",
        *_varied(design),
        *_counted(design, plan),
        *(_found(plan, design.compared, out, workers or os.cpu_count() or 1) if out is not None else ()),
    ]


def claims(design: Design) -> list[str]:
    """The hypotheses of a design, a line each."""
    count = len(design.primary)
    if not count:
        return ["no hypotheses: everything is exploratory"]
    return [
        f"{counted(count, 'hypothesis')}, error {100 * design.alpha:g} % over all of them:",
        *(f"  {one.claim} ({_direction(design, one)})" for one in design.primary),
    ]


def notes(design: Design) -> list[str]:
    """What a reader has to know of a design, a line each."""
    return [f"Note: {note}" for note in design.notes]


def power(design: Design) -> list[str]:
    """What the hypotheses can be told from, said once for all of which the same is true."""
    head, *lines = describe_power(design)
    groups: dict[tuple[str, ...], list[str]] = {}
    claim, said = "", list[str]()
    for line in [*lines, ""]:
        if line.startswith("  "):
            said.append(line)
            continue
        if said:
            groups.setdefault(tuple(said), []).append(claim)
        claim, said = line, []
    shown = [head]
    for same, of in groups.items():
        shown += (
            [] if len(groups) == 1 else [", ".join(of) if len(of) <= MOST else f"{of[0]}, and {len(of) - 1} others"]
        )
        shown += same
    return shown


def _varied(design: Design) -> Iterator[str]:
    for factor in design.factors:
        yield f"  {factor.name}: {', '.join(factor.levels)}"
    yield f"  seeds: {ranges(design.seeds)}" + (
        f"; tuned on {ranges(design.tuning_seeds)}" if design.tuning_seeds else ""
    )


def _counted(design: Design, plan: Plan) -> Iterator[str]:
    cells = len(list(design.cells()))
    shared = f" ({len(plan.shared)} share a run of equal settings)" if plan.shared else ""
    seeds, runs = counted(len(design.seeds), "seed"), counted(len(plan.jobs), "run")
    yield f"{counted(cells, 'design cell')} x {seeds}: {runs}{shared}"


def _found(plan: Plan, compared: str, out: Path, workers: int) -> Iterator[str]:
    clock, open_jobs, failed = Clock(compared), [], 0
    for job in plan.jobs:
        found = find_cell(job.directory)
        if isinstance(found, Finished):
            clock.note(job, found.outcome.seconds)
            continue
        failed += isinstance(found, Failed)
        open_jobs.append((job, 0.0))
    finished = len(plan.jobs) - len(open_jobs)
    troubles = f", {failed} of them had failed" if failed else ""
    yield f"in {out}: {finished} finished, {len(open_jobs)} missing{troubles}"
    left = clock.left(open_jobs, workers)
    if open_jobs and left is not None:
        yield f"time: about {spoken(left)} with {workers} worker{'s' if workers > 1 else ''}, by the finished runs"


def _direction(design: Design, hypothesis: Hypothesis) -> str:
    smallest = measured(hypothesis.smallest, hypothesis.unit(design))
    return f"{hypothesis.direction}, smallest effect of interest {smallest}"
