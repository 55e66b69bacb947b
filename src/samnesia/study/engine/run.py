"""Run a study: what is missing of it, and nothing twice; and read one from its directory."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from samnesia.extras import require as require_package
from samnesia.perturb.errors import ConfigurationError
from samnesia.study.design import Design, Study
from samnesia.study.engine.definition import STUDY, Change, Definition
from samnesia.study.engine.jobs import Job
from samnesia.study.engine.live import Display, display
from samnesia.study.engine.plan import Plan, make_plan
from samnesia.study.engine.pool import Here, Pool, Processes
from samnesia.study.engine.store import CELLS, clear, count_results
from samnesia.study.engine.table import make_table, write_table
from samnesia.study.work import Outcome
from samnesia.train.log import locked
from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    import pandas as pd

PACKAGES = ("joblib", "pandas", "pyarrow", "rich")
HALF_WRITTEN = re.compile(
    r"\.((study|compare|calibration)\.json|table\.parquet|report\.html|[^.]+\.svg)\.\d+|\.seen-\w+"
)
"""Names of temporary files that a killed process may leave in a study's directory, or in its figures."""


@dataclass(frozen=True)
class Results:
    """What a study's directory holds."""

    out: Path
    """The directory."""
    design: Design
    """What was varied, measured and asked."""
    table: pd.DataFrame
    """A row per design cell and seed; see :func:`samnesia.study.engine.table.make_table`."""
    outcomes: Mapping[str, Outcome]
    """What came out of each finished cell, by its directory as in the table."""
    history: tuple[Change, ...]
    """What was changed in the definition, the beginning first."""
    command: str | None
    """The command that runs what is missing."""

    @property
    def complete(self) -> bool:
        """Whether every cell has finished."""
        return bool((self.table["status"] == "finished").all())

    def failures(self) -> list[str]:
        """Why cells have failed: a sentence for each reason, with the directories of its cells."""
        reasons: dict[str, list[str]] = {}
        for row in self.table[self.table["status"] == "failed"].itertuples():
            cells = reasons.setdefault(row.reason, [])
            cells += [] if row.directory in cells else [row.directory]
        return [f"{', '.join(cells)} failed: {reason}" for reason, cells in reasons.items()]

    def check_some(self) -> None:
        """Refuse to go on with no result at all; raises ConfigurationError with the first failure."""
        if (self.table["status"] == "finished").any():
            return
        failed = self.failures()
        raise ConfigurationError(
            f"cannot report on {self.out}, because none of its cells has finished"
            + (f" (the first failure: {failed[0]})" if failed else "")
            + "; mend that, and run the same command again"
        )

    def outcome(self, seed: int, **levels: str) -> Outcome | None:
        """The outcome of a cell; None where it has not finished."""
        rows = self.table[self.table["seed"] == seed]
        for name, level in levels.items():
            rows = rows[rows[name] == level]
        return self.outcomes.get(rows["directory"].iloc[0]) if len(rows) else None


def run_study(
    study: Study,
    out: Path | str,
    *,
    workers: int | None = None,
    ray: str | None = None,
    progress: bool = True,
    seeds: Sequence[int] | None = None,
    command: str | None = None,
) -> Results:
    """Run what is missing of a study in ``out``, and write its table, also when it is interrupted.

    Cells that have finished are kept, so that the same call goes on after an interruption, and one with more seeds, or
    more levels at the end of a factor, runs only those. Cells of equal settings are run once. A cell that fails keeps
    its reason, the others go on, and the next call tries it again.

    Args:
        study: what is to run.
        out: directory of the study: new, empty, or one that this study was run in before.
        workers: cells that run at a time; None is one per CPU. With 1 they run in this process, unless ``ray`` is
            given.
        ray: address of a Ray cluster on which they run instead, or ``local``; see :mod:`samnesia.study.engine.cluster`.
        progress: show how far it is: a table on a terminal, a line per ended cell elsewhere.
        seeds: reported seeds, instead of the design's. Where there are hypotheses, seeds that the directory has
            already stay; without any, these are all that the table has, and the other runs are kept on disk.
        command: what is written down as the command that runs what is missing.

    Returns:
        What the directory holds then.

    Raises:
        ConfigurationError: for a directory that holds something else, or that another process is at work on; a
            definition, or settings of a cell, that have changed since the first result; seeds that were tuned on; or
            workers that are none.
        MissingExtraError: when a package of ``samnesia[train]``, or Ray, is not installed.
        KeyboardInterrupt: on Ctrl-C, after the workers have ended, with a sentence that says what is kept.
    """
    for module in PACKAGES:  # all at once: not after the first half hour
        require_package(module, extra="train")
    require(
        workers is None or workers >= 1,
        f"cannot run with {workers} workers, because somebody has to do the work; use 1 or more, or leave it out",
    )
    out = Path(out)
    pool = _pool(workers, ray, out)
    if seeds is not None:
        study = replace(study, design=replace(study.design, seeds=tuple(seeds)))
    make_plan(study, out)  # what it refuses, it refuses before anything is written
    claim(out)
    with locked(out, what="study"):
        _tidy(out)
        study, plan = _define(study, out, command)
        try:
            _run(plan, pool, study.design, progress=progress)
        except BaseException:
            with suppress(Exception):  # what has ended it says more
                write_table(read_results(out).table, out)
            raise
        results = read_results(out)
        write_table(results.table, out)
    return results


def read_results(out: Path | str) -> Results:
    """Read a study from its directory, while it runs or afterwards; its author's Python is not needed.

    Raises:
        ConfigurationError: when there is no study in ``out``, or a file is damaged.
        MissingExtraError: when pandas is not installed.
    """
    require_package("pandas", extra="train")
    out = Path(out)
    found = Definition.find(out)
    if found is None:
        raise ConfigurationError(
            f"cannot read a study from {out}, because there is no {STUDY} in it; name the directory that was given as "
            "--out"
        )
    table, finished = make_table(out, found.design, found.shared)
    outcomes = {directory: cell.outcome for directory, cell in finished.items()}
    return Results(out, found.design, table, outcomes, found.history, found.command)


def _pool(workers: int | None, ray: str | None, out: Path) -> Pool:
    if ray is not None:
        from samnesia.study.engine.cluster import Cluster, load_ray

        load_ray()  # what is not installed, is missed before anything is written
        return Cluster(ray, out, workers)
    import joblib

    processes = workers or joblib.cpu_count()
    return Here() if processes == 1 else Processes(processes)


def check_place(out: Path) -> None:
    """Refuse what is no place for a study: raises ConfigurationError for a file, or a directory of something else."""
    require(not out.exists() or out.is_dir(), f"cannot write a study to {out}, because it is a file; use another --out")
    require(
        not out.is_dir() or not any(out.iterdir()) or (out / CELLS).is_dir(),
        f"cannot write a study to {out}, because the directory is not empty and holds no study that could be "
        "continued; use another --out",
    )


def claim(out: Path) -> None:
    """Create the directory of a study, where it is not there already; raises ConfigurationError as check_place."""
    check_place(out)
    (out / CELLS).mkdir(parents=True, exist_ok=True)


def _tidy(out: Path) -> None:
    """Remove what a study that was killed has left half written."""
    for temporary in (*out.glob(".*"), *out.glob("figures/.*")):
        if HALF_WRITTEN.fullmatch(temporary.name):
            temporary.unlink(missing_ok=True)


def _define(study: Study, out: Path, command: str | None) -> tuple[Study, Plan]:
    """The study with the seeds that are there already, and its plan; both are written down if they may be."""
    there = Definition.find(out)
    design = study.design
    history: tuple[Change, ...] = ()
    shared: Mapping[str, str] = {}
    if there is not None:
        shared = there.shared
        design, history = there.changed_to(study.design, results=count_results(out), out=out)
    study = replace(study, design=design)
    plan = make_plan(study, out)
    plan.check(shared)
    if not history:
        history = (Change.now(count_results(out), "defined", design.seeds),)
    Definition(design, command, plan.shared, history).write(out)
    return study, plan


def _run(plan: Plan, pool: Pool, design: Design, *, progress: bool) -> None:
    from rich.console import Console

    console, missing = Console(), plan.missing
    kept = len(plan.jobs) - len(missing)
    if progress and kept:
        console.print(f"{kept} of {len(plan.jobs)} runs are finished already and kept.", highlight=False)
    try:
        with (
            _quiet_about_memory(),
            display(design, plan.jobs, len(missing), console, progress=progress) as shown,
            closing(pool.run(_begun(missing, shown))) as ends,
        ):
            for ended in ends:
                shown.ended(ended)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted: {len(plan.finished)} of {len(plan.jobs)} runs are finished and kept; the same command does "
            "the rest."
        ) from None


def _begun(jobs: Iterable[Job], shown: Display) -> Iterator[Job]:
    """The jobs, each shown as begun when a pool takes it; what an earlier failure has left is removed."""
    for job in jobs:
        if job.directory.is_dir():
            clear(job.directory)
        shown.begun(job)
        yield job


@contextmanager
def _quiet_about_memory() -> Iterator[None]:
    """Say nothing of a process that the pool replaces for the memory that it holds: no work is lost."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given to the executor")
        yield
