"""Where jobs are done: in this process, or in processes of this machine. A lost process costs at most its cell."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Protocol

from samnesia.study.engine.jobs import Job, do_packed, pack

LOST = "the worker process was ended from outside, twice (out of memory?)"
ENVIRONMENT = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
"""One thread in each process; a training run has its own number of them in its configuration."""


@dataclass(frozen=True)
class Ended:
    """A job that has ended: its outcome, or the reason of its failure, is on disk."""

    job: Job
    """The job."""
    warnings: tuple[str, ...] = ()
    """What it warned of, in sentences."""


class Pool(Protocol):
    """Does jobs; how many at a time is its own affair."""

    def run(self, jobs: Iterable[Job]) -> Generator[Ended]:
        """Do the jobs, taking each when it is about to begin, and yield each when it has ended, in any order.

        A job that raises, or whose process is lost twice, ends with the reason of its failure on disk. When this is
        closed, or interrupted by Ctrl-C, nothing that it has started lives on.
        """


@dataclass(frozen=True)
class Here:
    """This process: one job after the other."""

    def run(self, jobs: Iterable[Job]) -> Generator[Ended]:
        """Do the jobs."""
        for job in jobs:
            yield Ended(job, job.do())


@dataclass(frozen=True)
class Processes:
    """Processes of this machine."""

    workers: int
    """How many jobs are done at a time."""

    def run(self, jobs: Iterable[Job]) -> Generator[Ended]:
        """Do the jobs; one whose process was lost is repeated after the others, alone: it may take others with it."""
        lost: list[Job] = []
        yield from self._run(jobs, self.workers, lost)
        for job in lost:
            again: list[Job] = []
            yield from self._run([job], 1, again)
            if again:
                job.fail(LOST)
                yield Ended(job)

    def _run(self, jobs: Iterable[Job], workers: int, lost: list[Job]) -> Generator[Ended]:
        waiting = iter(jobs)
        free: list[Any] = []
        running: dict[Future[tuple[str, ...]], tuple[Job, Any]] = {}
        try:
            while True:
                while len(running) < workers and (job := next(waiting, None)) is not None:
                    packed = pack(job)
                    # A pool of one process each: when one is lost, the others do not notice.
                    worker = free.pop() if free else _worker()
                    running[_submit(worker, packed)] = job, worker
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    job, worker = running.pop(future)
                    try:
                        ended = Ended(job, future.result())
                    except BrokenProcessPool:
                        worker.shutdown(wait=True, kill_workers=True)
                        lost.append(job)
                        continue
                    except Exception as error:  # before it could begin: its code is not to be found there, say
                        job.fail(f"{type(error).__name__}: {error}")
                        ended = Ended(job)
                    free.append(worker)
                    yield ended
        finally:
            # Not waiting for open cells: nothing of them counts, and whoever pressed Ctrl-C wants the machine back.
            for worker in (*free, *(worker for _, worker in running.values())):
                worker.shutdown(wait=True, kill_workers=True)


def _worker() -> Any:
    from joblib.externals.loky import ProcessPoolExecutor

    return ProcessPoolExecutor(max_workers=1, initializer=_begin, initargs=(os.getpid(),), env=ENVIRONMENT)


def _submit(worker: Any, packed: bytes) -> Future[tuple[str, ...]]:
    # A terminal's Ctrl-C reaches all processes of the command; the study alone decides. A worker inherits the mask, and
    # is therefore quiet while it starts, too.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        future: Future[tuple[str, ...]] = worker.submit(do_packed, packed)
        return future
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(study: int) -> None:
    """Let this process ignore Ctrl-C, and end when the study's is gone: a repeated command must not meet it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == study:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
