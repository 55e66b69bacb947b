"""Processes that `torchrun` has started, and that fork a child for every job: so runs can be killed, cheaply and often.

A job is a module-level function that every rank calls with the same arguments. Its child finds what torchrun's workers
find in the environment, but for the port, as a group of processes that was killed leaves its rendezvous unusable.
"""

import contextlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from multiprocessing.connection import Client, Listener, wait
from pathlib import Path

from samnesia.perturb.errors import TrainingCollapsedWarning

LIMIT = 120.0
GRACE = 2.0  # seconds in which the other ranks may still tell what they saw of a failure
REPOSITORY = Path(__file__).parents[3]
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}


class JobFailed(Exception):
    """A job raised on some rank, was killed, or did not end; the text holds the tracebacks."""


def torchrun(*options, module, arguments=()):
    """Start torchrun's agent, in a process group of its own."""
    command = [sys.executable, "-m", "torch.distributed.run", *options, "-m", module, *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env={**os.environ, **ENVIRONMENT},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Ranks:
    """What torchrun has started; `close` ends it."""

    def __init__(self, *options, count=2):
        self._directory = tempfile.TemporaryDirectory(prefix="samnesia-ranks-")
        address = str(Path(self._directory.name, "socket"))
        options = options or ("--standalone", f"--nproc-per-node={count}")
        with Listener(address, "AF_UNIX") as listener:
            self.agent = torchrun(*options, module="tests.train.distributed.ranks", arguments=[address])
            listener._listener._socket.settimeout(1.0)
            connections = [self._accept(listener) for _ in range(count)]
        by_rank = {connection.recv(): connection for connection in connections}
        self._connections = [by_rank[rank] for rank in sorted(by_rank)]

    def _accept(self, listener):
        until = time.monotonic() + LIMIT
        while self.agent.poll() is None and time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                return listener.accept()
        self.agent.kill()
        raise JobFailed(f"the processes did not start: {self.agent.communicate()[0]}")

    def start(self, job, *arguments, **named):
        """The job under way."""
        port = free_port()
        for connection in self._connections:
            connection.send((port, job, arguments, named))
        return Job(self._connections, [connection.recv() for connection in self._connections])

    def run(self, job, *arguments, **named):
        """What `job` returns on each rank. Raises JobFailed."""
        return self.start(job, *arguments, **named).results()

    def close(self):
        for connection in self._connections:
            connection.close()
        self.agent.communicate(timeout=LIMIT)
        self._directory.cleanup()


class Job:
    """A job on its way: the pids of its processes, and their answers."""

    def __init__(self, connections, pids):
        self._connections, self.pids, self._answers = connections, pids, {}

    def ended(self, seconds):
        """Wait so long; whether all ranks have answered."""
        return self._collect(seconds)

    def kill(self):
        """End all processes, wherever they are; whether any of them was still at work."""
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._collect(LIMIT)
        return any(kind == "died" for kind, _ in self._answers.values())

    def results(self):
        """What the job returned on each rank. Raises JobFailed."""
        self._collect(LIMIT)
        self.kill()  # who waits for one that has failed waits for ever
        answers = [self._answers[rank] for rank in range(len(self.pids))]
        if any(kind != "done" for kind, _ in answers):
            raise JobFailed("\n".join(f"rank {rank}: {kind} {what}" for rank, (kind, what) in enumerate(answers)))
        return [what for _, what in answers]

    def _collect(self, seconds):
        until = time.monotonic() + seconds
        while len(self._answers) < len(self._connections):
            open_ones = {c: rank for rank, c in enumerate(self._connections) if rank not in self._answers}
            ready = wait(list(open_ones), timeout=max(0.0, until - time.monotonic()))
            if not ready:
                return False
            for connection in ready:
                answer = self._answers[open_ones[connection]] = connection.recv()
                if answer[0] != "done":
                    until = min(until, time.monotonic() + GRACE)
        return True


def _serve(address):
    """What torchrun runs: a process that imports everything once, and forks a child for each job."""
    import lightning.fabric  # noqa: F401
    import torch

    import tests.train.distributed.jobs  # noqa: F401

    torch.set_num_threads(1)
    with Client(address, "AF_UNIX") as parent:
        parent.send(int(os.environ["RANK"]))
        while True:
            try:
                port, job, arguments, named = parent.recv()
            except EOFError:
                return
            reading, writing = multiprocessing.Pipe(duplex=False)
            child = os.fork()
            if not child:
                _work(writing, port, job, arguments, named)
            writing.close()
            parent.send(child)
            try:
                answer = reading.recv()
            except EOFError:
                answer = ("died", "")
            os.waitpid(child, 0)
            parent.send(answer)


def _work(answer, port, job, arguments, named):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "False"}
    try:
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=TrainingCollapsedWarning)
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")  # of [n, 1, 3, 3]
        answer.send(("done", job(*arguments, **named)))
    except BaseException:
        answer.send(("raised", traceback.format_exc()))
    finally:
        os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1])
