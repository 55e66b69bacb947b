"""What a study is going to do, before it does it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from samnesia.study.design import Design, Study
from samnesia.study.hypotheses import Hypothesis
from samnesia.study.plan import Plan, make_plan
from samnesia.study.remaining import Clock, spoken
from samnesia.study.store import Failed, Finished, find_cell


def preview(study: Study, out: Path | None, *, workers: int) -> str:
    """Say what a study varies, asks and runs, what of it is missing in ``out``, and how long that takes.

    Args:
        study: the study.
        out: its directory; None where it has none yet.
        workers: how many cells run at a time, for the time.

    Raises:
        ConfigurationError: for a study whose cells cannot be run, or a file of ``out`` that is damaged.
    """
    plan = make_plan(study, out or Path())
    lines = [
        f"{study.design.name}: {study.design.question}",
        *_varied(study.design),
        *_counted(study.design, plan),
        *(_found(plan, study.design.compared, out, workers) if out is not None else ()),
        *_claims(study.design),
    ]
    return "\n".join(lines)


def _varied(design: Design) -> Iterator[str]:
    for factor in design.factors:
        yield f"  {factor.name}: {', '.join(factor.levels)}"
    yield f"  seeds: {_ranges(design.seeds)}" + (
        f"; tuned on {_ranges(design.tuning_seeds)}" if design.tuning_seeds else ""
    )


def _counted(design: Design, plan: Plan) -> Iterator[str]:
    cells = len(list(design.cells()))
    shared = f" ({len(plan.shared)} share a run of equal settings)" if plan.shared else ""
    yield f"{cells} design cells x {len(design.seeds)} seeds: {len(plan.jobs)} runs{shared}"


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


def _claims(design: Design) -> Iterator[str]:
    if not design.primary:
        yield "no hypotheses: everything is exploratory"
        return
    count = len(design.primary)
    yield f"{count} hypothes{'e' if count > 1 else 'i'}s, error {100 * design.alpha:g} % over all of them:"
    for one in design.primary:
        yield f"  {one.claim} ({_direction(design, one)})"


def _direction(design: Design, hypothesis: Hypothesis) -> str:
    return f"{hypothesis.direction}, smallest effect of interest {hypothesis.smallest:g}"


def _ranges(numbers: tuple[int, ...]) -> str:
    """Numbers in words, runs of them as 0 to 9."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]} to {part[-1]}" for part in parts)
