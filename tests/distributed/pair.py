"""Two worker processes in one gloo group, started once, that run jobs sent to them.

A job is a module-level function; both ranks call it with the same arguments, and the parent gets both results. A job
that raises on any rank, or that does not end in time, is reported with every traceback there is; its two processes may
then wait for each other for ever, so they are ended and the next job starts new ones.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

SIZE = 2
LIMIT = 60.0  # seconds for a job, start of the processes included
GRACE = 1.0  # seconds in which the other rank may still tell what it saw of a failure


class JobFailed(Exception):
    """A job raised on some rank, or did not end; the text holds the tracebacks."""


class Pair:
    """The two processes. `run` is all there is to do with them; `close` ends them."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="samnesia-pair-")
        self._processes: list[multiprocessing.process.BaseProcess] = []
        self._connections: list[Connection] = []
        self.starts = 0

    def run(self, job: Callable[..., Any], *arguments: Any, limit: float = LIMIT, **named: Any) -> list[Any]:
        """What `job` returns on rank 0 and on rank 1. Raises JobFailed."""
        if not self._processes:
            self._start()
        answers: dict[int, tuple[bool, Any]] = {}
        try:
            for connection in self._connections:
                connection.send((job, arguments, named))
            self._collect(answers, limit)
        except BaseException:
            self._end()
            raise
        if len(answers) < SIZE or not all(done for done, _ in answers.values()):
            self._end()
            raise JobFailed(_describe(answers, limit))
        return [answers[rank][1] for rank in range(SIZE)]

    def close(self) -> None:
        """End both processes and remove the rendezvous files."""
        self._end()
        self._directory.cleanup()

    def _collect(self, answers: dict[int, tuple[bool, Any]], limit: float) -> None:
        """Read answers until both ranks have given one, or time is up, or a failure has had its grace."""
        until = time.monotonic() + limit
        while len(answers) < SIZE:
            open_ones = {c: rank for rank, c in enumerate(self._connections) if rank not in answers}
            ready = wait(list(open_ones), timeout=max(0.0, until - time.monotonic()))
            if not ready:
                return
            for connection in ready:
                try:
                    answer = connection.recv()
                except EOFError:
                    answer = (False, "the process died")
                answers[open_ones[connection]] = answer
                if not answer[0]:
                    until = min(until, time.monotonic() + GRACE)

    def _start(self) -> None:
        self.starts += 1
        context = multiprocessing.get_context("spawn")
        store = Path(self._directory.name, f"store-{self.starts}").as_uri()
        for rank in range(SIZE):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, store, rank), daemon=True)
            process.start()
            theirs.close()  # so that the death of the process is an end of file here
            self._processes.append(process)
            self._connections.append(ours)

    def _end(self) -> None:
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.kill()  # it may wait inside a collective; there is nothing in it worth saving
        for process in self._processes:
            process.join()
            process.close()
        self._processes, self._connections = [], []


def _describe(answers: dict[int, tuple[bool, Any]], limit: float) -> str:
    lines = []
    for rank in range(SIZE):
        done, what = answers.get(
            rank, (False, f"no answer within {limit} s, or within {GRACE} s of the other's failure")
        )
        lines.append(f"rank {rank}: " + ("done" if done else what))
    return "\n".join(lines)


def _work(connection: Connection, store: str, rank: int) -> None:
    """A worker: answer jobs until the parent closes the connection or is gone."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=SIZE, timeout=timedelta(seconds=LIMIT))
    while True:
        try:
            job, arguments, named = connection.recv()
        except EOFError:
            break
        try:
            torch.manual_seed(0)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                answer = (True, job(*arguments, **named))
        except BaseException:
            answer = (False, traceback.format_exc())
        connection.send(answer)
    dist.destroy_process_group()
