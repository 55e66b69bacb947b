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
from contextlib import suppress
from typing import Any

from samnesia.perturb.errors import ConfigurationError, TrainingCollapsedWarning
from samnesia.sentences import warnings_as_sentences
from samnesia.study.cells import ERROR, Cell
from samnesia.train.checkpoint import DIRECTORY as CHECKPOINTS
from samnesia.train.log import CONFIG, ENVIRONMENT, LOCK, METRICS, RESULT, STEPS, read_config, write_json

Train = Callable[[Cell], object]


def run_cells(cells: Sequence[Cell], train: Train, *, workers: int) -> Iterator[Cell]:
    """Run the cells and yield each when it has ended, in the order in which they end.

    A cell whose training raises gets an ``error.json`` and counts as ended. How many threads a run computes with is
    part of its configuration (one, by default), so the number of workers cannot change a result.

    Args:
        cells: what to run; a run that was killed goes on, if it is of the same configuration.
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
    for cell in cells:
        _clear(cell)
    waiting, suspects = list(cells), []
    while waiting:
        try:
            for ended in _pool(waiting, train, workers):
                waiting = [cell for cell in waiting if cell.directory != ended.directory]
                yield ended
        except BrokenProcessPool:
            # Cells that ended while the pool broke are on disk, though nobody reported them.
            yield from (cell for cell in waiting if _ended(cell))
            waiting = [cell for cell in waiting if not _ended(cell)]
            lost = [cell for cell in waiting if cell.directory.exists()] or waiting
            suspects += lost
            waiting = [cell for cell in waiting if cell not in lost]
    for cell in suspects:  # each alone, so that one that ends its worker takes no other with it
        try:
            yield from _pool([cell], train, workers)
        except BrokenProcessPool:
            _write_failure(cell, "the worker process was ended from outside, twice (out of memory?)", None)
            yield cell


def run_cell(cell: Cell, train: Train) -> None:
    """Train one cell into its directory; a failure is written to its ``error.json``."""
    _clear(cell)
    cell.directory.mkdir(parents=True, exist_ok=True)
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

    # Two workers or more, even for a last single cell: joblib would run one job in this process, and end with it.
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        parallel = joblib.Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs")
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
    with warnings_as_sentences():
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


def _clear(cell: Cell) -> None:
    """Keep an interrupted run of this very configuration, which goes on; remove what any other has left.

    Nothing else that lies there is touched.
    """
    if not cell.directory.is_dir():
        return
    (cell.directory / ERROR).unlink(missing_ok=True)
    if _can_go_on(cell):
        return
    for name in (CONFIG, ENVIRONMENT, METRICS, STEPS, LOCK):
        (cell.directory / name).unlink(missing_ok=True)
    for name in (CONFIG, ENVIRONMENT, RESULT, ERROR):  # what a kill in the middle of `write_json` leaves
        for temporary in cell.directory.glob(f".{name}.*"):
            temporary.unlink(missing_ok=True)
    shutil.rmtree(cell.directory / CHECKPOINTS, ignore_errors=True)
    with suppress(OSError):  # not empty: the trainer will refuse it in words
        cell.directory.rmdir()


def _can_go_on(cell: Cell) -> bool:
    try:
        return (cell.directory / CHECKPOINTS).is_dir() and read_config(cell.directory) == cell.config
    except ConfigurationError:
        return False


def _ended(cell: Cell) -> bool:
    return cell.finished or (cell.directory / ERROR).exists()


def _write_failure(cell: Cell, reason: str, trace: str | None) -> None:
    content: dict[str, Any] = {"method": cell.method, "seed": cell.seed, "reason": reason, "traceback": trace}
    write_json(cell.directory / ERROR, content)
