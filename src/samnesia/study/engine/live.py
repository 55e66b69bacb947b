"""What a study shows while it runs: a table with the time left on a terminal, a line per ended cell elsewhere."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from samnesia.study.design import Design, Measure
from samnesia.study.engine.jobs import Job
from samnesia.study.engine.pool import Ended
from samnesia.study.engine.remaining import Clock, spoken
from samnesia.study.engine.store import Failed, Finished, find_cell
from samnesia.study.work import Outcome

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

FRAME = 6  # lines of a terminal that are not rows of the table


class Display(Protocol):
    """Is told what happens to the cells."""

    def begun(self, job: Job) -> None:
        """A cell has begun."""

    def ended(self, ended: Ended) -> None:
        """A cell has ended, well or not."""


class Quiet:
    """Shows nothing but warnings."""

    def begun(self, job: Job) -> None:
        """Show nothing."""

    def ended(self, ended: Ended) -> None:
        """Pass on what it warned of."""
        _warn(ended)


class Lines:
    """Prints a line per ended cell."""

    def __init__(self, console: Console, measure: Measure, total: int) -> None:
        self._console, self._measure, self._total = console, measure, total
        self._count = 0

    def begun(self, job: Job) -> None:
        """Print nothing yet."""

    def ended(self, ended: Ended) -> None:
        """Print how it ended."""
        _warn(ended)
        self._count += 1
        line = f"{self._count}/{self._total} {_said(ended.job, self._measure)}"
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


@dataclass
class Row:
    """The cells of some levels, and what is known of them."""

    levels: tuple[str, ...]
    """The levels that they have in common."""
    jobs: list[Job] = field(default_factory=list)
    """All of them."""
    values: list[float] = field(default_factory=list)
    """The first measure of the finished ones, where it exists."""
    finished: int = 0
    failed: int = 0
    running: int = 0


class Live:
    """A table with a row per design cell, or where those are too many for the screen, of what they have in common."""

    def __init__(self, console: Console, design: Design, jobs: Sequence[Job]) -> None:
        self._console, self._measure = console, design.measures[0]
        self._clock = Clock(design.compared)
        self._names = _shown_factors(design, jobs, most=max(console.height - FRAME, 1))
        self._rows = {key: Row(key) for key in dict.fromkeys(self._key(job) for job in jobs)}
        self._open: dict[str, Job] = {}
        self._running: set[str] = set()
        self._lock = threading.Lock()
        for job in jobs:
            self._rows[self._key(job)].jobs.append(job)
            if not self._take(job, find_cell(job.directory)):
                self._open[job.directory.name] = job

    def begun(self, job: Job) -> None:
        """Show that it runs."""
        with self._lock:
            self._running.add(job.directory.name)
            self._rows[self._key(job)].running += 1

    def ended(self, ended: Ended) -> None:
        """Show how it ended."""
        _warn(ended)
        job = ended.job
        found = find_cell(job.directory)
        with self._lock:
            self._running.discard(job.directory.name)
            self._open.pop(job.directory.name, None)
            self._rows[self._key(job)].running -= 1
            self._rows[self._key(job)].failed += isinstance(found, Failed)
            self._take(job, found)
        if isinstance(found, Failed):
            self._console.print(_said(job, self._measure), highlight=False, markup=False, soft_wrap=True)

    def table(self) -> Table:
        """The table as it is now."""
        from rich.table import Table

        with self._lock:
            rows = list(self._rows.values())
            waiting = [(job, self._share(job)) for job in self._open.values()]
        total, finished = sum(len(row.jobs) for row in rows), sum(row.finished for row in rows)
        failed, running = sum(row.failed for row in rows), sum(row.running for row in rows)
        left = spoken(self._clock.left(waiting, max(running, 1)))
        parts = [f"{finished} of {total} runs", f"{running} running", *([f"{failed} failed"] if failed else [])]
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", caption=", ".join(parts) + _left(left))
        table.caption_justify = "left"
        for name in self._names:
            table.add_column(name, no_wrap=True)
        for heading in ("done", "running", "failed", self._measure.label):
            table.add_column(heading, justify="right")
        for row in rows:
            table.add_row(*row.levels, *self._figures(row))
        return table

    def _figures(self, row: Row) -> tuple[str, str, str, str]:
        mean = sum(row.values) / len(row.values) if row.values else None
        shown = "" if mean is None else figure(mean, self._measure.unit)
        return f"{row.finished}/{len(row.jobs)}", str(row.running or ""), str(row.failed or ""), shown

    def _take(self, job: Job, found: Finished | Failed | None) -> bool:
        """Count a cell that has finished; say whether it has."""
        if not isinstance(found, Finished):
            return False
        row, value = self._rows[self._key(job)], _value(found.outcome, self._measure)
        row.finished += 1
        row.values += [] if value is None else [value]
        self._clock.note(job, found.outcome.seconds)
        return True

    def _share(self, job: Job) -> float:
        with suppress(Exception):  # whatever an author's code does here, it ends no study
            return job.work.done(job.directory) if job.directory.name in self._running else 0.0
        return 0.0

    def _key(self, job: Job) -> tuple[str, ...]:
        return tuple(job.levels[name] for name in self._names)


@contextmanager
def display(
    design: Design, jobs: Sequence[Job], missing: int, console: Console, *, progress: bool
) -> Iterator[Display]:
    """Show how far a study is.

    Args:
        design: of the study.
        jobs: all its runs.
        missing: how many of them are to run.
        console: where it is shown.
        progress: whether to show anything: a table on a terminal, lines elsewhere.
    """
    if not progress or not missing:
        yield Quiet()
    elif not console.is_terminal:
        yield Lines(console, design.measures[0], missing)
    else:
        from rich.live import Live as RichLive

        live = Live(console, design, jobs)
        with RichLive(get_renderable=live.table, console=console, refresh_per_second=2, transient=True):
            yield live


def figure(value: float, unit: str) -> str:
    """A measured figure with its unit."""
    return f"{value:.1f} %" if unit == "%" else f"{value:.4g} {unit}".rstrip()


def _shown_factors(design: Design, jobs: Sequence[Job], *, most: int) -> list[str]:
    """The factors whose levels get rows of their own: the compared, and those that make most of the room."""
    names = [factor.name for factor in design.factors]
    some = [chosen for count in range(1, len(names) + 1) for chosen in itertools.combinations(names, count)]
    rows = {chosen: len({tuple(job.levels[name] for name in chosen) for job in jobs}) for chosen in some}
    fitting = [chosen for chosen in some if rows[chosen] <= most]
    best = max(fitting, key=lambda chosen: (design.compared in chosen, rows[chosen]), default=(design.compared,))
    return list(best)


def _said(job: Job, measure: Measure) -> str:
    found = find_cell(job.directory)
    if isinstance(found, Failed):
        return f"{job.name}: failed: {found.reason}"
    if found is None:
        return f"{job.name}: nothing came of it"
    value = _value(found.outcome, measure)
    shown = "no figure" if value is None else figure(value, measure.unit)
    return f"{job.name}: {measure.label} {shown}, {found.outcome.seconds:.1f} s"


def _value(outcome: Outcome, measure: Measure) -> float | None:
    return outcome.values.get(measure.value)


def _left(left: str) -> str:
    return f", {left} left" if left else ""


def _warn(ended: Ended) -> None:
    for sentence in ended.warnings:
        print(f"samnesia: warning: {ended.job.name}: {sentence}", file=sys.stderr)
