"""Run cells, in this process or in a pool of processes, so that one failure or one lost worker costs one cell."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from samnesia.perturb.errors import TrainingCollapsedWarning
from samnesia.study.cells import Cell
from samnesia.train.log import write_json

Train = Callable[[Cell], object]
POOL_ROUNDS = 3  # a pool that lost a worker is built anew this often; a cell that kills its worker ends with it


def run_cells(cells: Sequence[Cell], train: Train, *, workers: int) -> Iterator[Cell]:
    """Run the cells and yield each when it has ended, in the order in which they end.

    A cell whose training raises gets an ``error.json`` and counts as ended. How many threads a run computes with is
    part of its configuration (one, by default), so the number of workers cannot change a result.

    Args:
        cells: what to run; a directory left by a run that was killed is emptied first.
        train: trains one cell into its directory. With several workers it must be picklable.
        workers: number of processes; with 1 the cells run in this process.

    Raises:
        KeyboardInterrupt: on Ctrl-C, after the workers have ended.
    """
    if workers == 1 or len(cells) == 1:
        for cell in cells:
            run_cell(cell, train)
            yield cell
        return
    remaining = list(cells)
    for _ in range(POOL_ROUNDS):
        try:
            for ended in _pool(remaining, train, workers):
                remaining = [cell for cell in remaining if cell.directory != ended.directory]
                yield ended
            return
        except BrokenProcessPool:
            # Cells that ended while the pool broke are on disk, though nobody reported them.
            yield from (cell for cell in remaining if _ended(cell))
            remaining = [cell for cell in remaining if not _ended(cell)]
    for cell in remaining:
        _write_failure(cell, "The worker process was ended from outside, again and again (out of memory?).", None)
        yield cell


def run_cell(cell: Cell, train: Train) -> None:
    """Train one cell into its emptied directory; a failure is written to its ``error.json``."""
    shutil.rmtree(cell.directory, ignore_errors=True)
    cell.directory.mkdir(parents=True)
    try:
        with warnings.catch_warnings():
            # The result says that it collapsed, and the comparison reports it after its table.
            warnings.simplefilter("ignore", TrainingCollapsedWarning)
            train(cell)
    except Exception as error:
        _write_failure(cell, f"{type(error).__name__}: {error}", traceback.format_exc())


def _pool(cells: Sequence[Cell], train: Train, workers: int) -> Iterator[Cell]:
    import joblib
    from joblib.externals.loky import get_reusable_executor

    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        parallel = joblib.Parallel(
            n_jobs=min(workers, len(cells)), return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs"
        )
        try:
            yield from parallel(joblib.delayed(_run_in_worker)(cell, train, os.getpid()) for cell in cells)
        except BaseException:
            # Not waiting for open cells: nothing of them counts, and whoever pressed Ctrl-C wants the machine back.
            get_reusable_executor().shutdown(wait=True, kill_workers=True)
            raise


def _run_in_worker(cell: Cell, train: Train, study: int) -> Cell:
    # Ctrl-C in a terminal reaches the whole process group; the study alone decides, and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with(study)
    run_cell(cell, train)
    return cell


_watches: list[threading.Thread] = []


def _end_with(study: int) -> None:
    """Let this worker end when the study's process is gone: a repeated command must not meet it at its cell."""

    def watch() -> None:
        while os.getppid() == study:
            time.sleep(0.5)
        os._exit(1)

    if not _watches:
        _watches.append(threading.Thread(target=watch, daemon=True))
        _watches[0].start()


def _ended(cell: Cell) -> bool:
    return cell.finished or (cell.directory / "error.json").exists()


def _write_failure(cell: Cell, reason: str, trace: str | None) -> None:
    content: dict[str, Any] = {"method": cell.method, "seed": cell.seed, "reason": reason, "traceback": trace}
    write_json(cell.directory / "error.json", content)
