"""Two worker processes in one gloo group, started when first needed, ended when a job hangs."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from samnesia.conformance.outcome import NotApplicable, Violation, first_line

SIZE = 2
START = 120.0  # seconds until both processes are there: they import torch and the subject's own packages
LIMIT = 60.0  # seconds of a job, which takes one or two: a busy machine is no hang
GRACE = 2.0  # seconds in which the other rank may still answer after a failure

Answer = tuple[str, Any]  # "done" and the result, or "fail" or "n/a" and the text


class Pair:
    """The two processes. `run` is all there is to do with them; `close` ends them."""

    def __init__(self, limit: float = LIMIT) -> None:
        self.limit = limit
        self._workers: list[tuple[multiprocessing.process.BaseProcess, Connection]] = []

    def run(self, job: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What `job(*arguments)` returns on rank 0 and on rank 1.

        Raises Violation with the first failure of a rank, or saying that they hung; NotApplicable if a rank does.
        """
        if not self.started:
            self._start()
        try:
            for _, connection in self._workers:
                connection.send((job, arguments))
            answers = self._collect(self.limit)
        except BaseException:
            self.close()
            raise
        wrong = [(rank, *answer) for rank, answer in sorted(answers.items()) if answer[0] != "done"]
        if wrong or len(answers) < SIZE:
            self.close()  # the other process may wait inside a collective for ever
        if not wrong and len(answers) < SIZE:
            raise Violation(f"hung: {SIZE - len(answers)} of two processes had not ended after {self.limit:.0f} s")
        for rank, kind, text in wrong:
            raise NotApplicable(text) if kind == "n/a" else Violation(f"rank {rank} {text}")
        return [answers[rank][1] for rank in range(SIZE)]

    @property
    def started(self) -> bool:
        """Whether the processes are there."""
        return bool(self._workers)

    def close(self) -> None:
        """End both processes."""
        for process, connection in self._workers:
            connection.close()
            process.kill()  # there is nothing in it worth saving
            process.join()
            process.close()
        self._workers = []

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        with tempfile.TemporaryDirectory(prefix="samnesia-conformance-") as directory:
            store = Path(directory, "store").as_uri()
            for rank in range(SIZE):
                ours, theirs = context.Pipe()
                process = context.Process(target=_work, args=(theirs, store, rank), daemon=True)
                process.start()
                theirs.close()  # so that the death of the process is an end of file here
                self._workers.append((process, ours))
            answers = self._collect(START)
        if [answer[0] for answer in answers.values()] != ["done"] * SIZE:
            self.close()
            raise RuntimeError(f"cannot start two processes for the distributed rows: {answers or 'no answer'}")

    def _collect(self, limit: float) -> dict[int, Answer]:
        """The answers of the ranks that gave one in time, or within a grace of the other's failure."""
        answers: dict[int, Answer] = {}
        until = time.monotonic() + limit
        while len(answers) < SIZE:
            silent = {connection: rank for rank, (_, connection) in enumerate(self._workers) if rank not in answers}
            ready = wait(list(silent), timeout=max(0.0, until - time.monotonic()))
            if not ready:
                break
            for connection in ready:
                assert isinstance(connection, Connection)
                try:
                    answer = connection.recv()
                except (EOFError, ConnectionError):
                    answer = ("fail", "ended: its process died")
                answers[silent[connection]] = answer
                if answer[0] != "done":
                    until = min(until, time.monotonic() + GRACE)
        return answers


def _work(connection: Connection, store: str, rank: int) -> None:
    """A worker: answer jobs until the parent closes the connection or is gone."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=SIZE, timeout=timedelta(seconds=START))
    connection.send(("done", None))
    while True:
        try:
            job, arguments = connection.recv()
        except EOFError:
            return
        try:
            torch.manual_seed(0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answer = ("done", job(*arguments))
        except NotApplicable as reason:
            answer = ("n/a", str(reason))
        except Violation as violation:
            answer = ("fail", f"finds: {violation}")
        except Exception as error:
            answer = ("fail", f"raised {first_line(error)}")
        connection.send(answer)
