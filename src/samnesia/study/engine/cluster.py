"""Jobs on a Ray cluster, or on a Ray of this machine: the same jobs, with the same ends, as in processes here.

A cluster's machines must have samnesia installed, in one version, and see the study's directory at the same path; both
are tried before anything runs. Results travel through that directory alone. Each of the jobs that run at a time has its
share of all CPUs and GPUs, and sees no other GPU; two may share one.
"""

from __future__ import annotations

import gc
import math
import os
import signal
import socket
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from samnesia.extras import require as require_package
from samnesia.perturb.errors import ConfigurationError
from samnesia.study.engine.jobs import Job, do_packed, pack
from samnesia.study.engine.pool import LOST, Ended
from samnesia.train.log import environment
from samnesia.train.parts.checks import require

LOCAL = "local"
PATIENCE = 60.0  # seconds in which what is written on another machine must be seen here
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent to Ray's makers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # without it, Ray warns of what it is going to do some day
    "RAY_NUM_REDIS_GET_RETRIES": "1",  # where something else listens, half a minute is enough; it would be twelve
}


def load_ray() -> Any:
    """Ray, with our settings, some of which it reads when it is imported.

    Raises:
        MissingExtraError: when it is not installed.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    return require_package("ray", extra="study")


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster."""

    address: str
    """``local`` starts one on this machine, for this study; else HOST:PORT of a cluster's head, or ``auto``."""
    out: Path
    """The study's directory, which all machines must see."""
    workers: int | None = None
    """How many jobs are done at a time; None is one per CPU."""

    def run(self, jobs: Iterable[Job]) -> Generator[Ended]:
        """Do the jobs; one whose process or machine was lost is repeated once."""
        with _connected(self.address, self.workers) as ray:
            _check_machines(ray, self.address, self.out)
            yield from self._run(ray, jobs)

    def _run(self, ray: Any, jobs: Iterable[Job]) -> Generator[Ended]:
        there = ray.cluster_resources()
        at_a_time = self.workers or int(there.get("CPU", 1))
        shares = {
            "num_cpus": max(_share(there.get("CPU", 1), at_a_time), 1),
            "num_gpus": _share(there.get("GPU", 0), at_a_time),
        }
        do = ray.remote(do_packed).options(**shares, max_retries=0)
        waiting = iter(jobs)
        running: dict[Any, tuple[Job, bool]] = {}

        def submit(job: Job, *, again: bool) -> None:
            running[do.remote(pack(replace(job, directory=job.directory.resolve())))] = job, again

        try:
            while True:
                while len(running) < at_a_time and (job := next(waiting, None)) is not None:
                    submit(job, again=False)
                if not running:
                    return
                (reference, *_), _ = ray.wait(list(running), num_returns=1)
                job, again = running.pop(reference)
                try:
                    ended = Ended(job, ray.get(reference))
                    _wait_for(job)
                except ray.exceptions.RayTaskError as error:  # before it could begin: its code is not there, say
                    job.fail(str(error).strip().splitlines()[-1])
                    ended = Ended(job)
                except ray.exceptions.RayError:
                    if not again:
                        submit(job, again=True)
                        continue
                    job.fail(LOST)
                    ended = Ended(job)
                yield ended
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


def _share(total: float, at_a_time: int) -> float:
    """What each of so many jobs gets of a resource: whole numbers, or a part of one, as Ray deals it out."""
    return total // at_a_time if total >= at_a_time else math.floor(10_000 * total / at_a_time) / 10_000


@contextmanager
def _connected(address: str, workers: int | None) -> Iterator[Any]:
    require(
        "://" not in address, f"cannot use {address!r} as a cluster's address, because this process must itself run "
            "on a machine of the cluster; run it there, and name HOST:PORT, auto or local")  # fmt: skip
    if ":" in address:
        _check_listening(address)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of processes and files that Ray leaves to the collector
        ray = load_ray()
        options: dict[str, Any] = {"include_dashboard": False, "num_cpus": workers} if address == LOCAL else {}
        asked_to_end = signal.getsignal(signal.SIGTERM)
        try:
            with _nothing_on_standard_error():
                ray.init(address=address, log_to_driver=False, logging_level="error", **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigurationError(_unreachable(address, str(error).strip().partition("\n")[0])) from None
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, asked_to_end)  # with Ray's own, this process would end without a word
        try:
            yield ray
        finally:
            ray.shutdown()
            gc.collect()


@contextmanager
def _nothing_on_standard_error() -> Iterator[None]:
    """Let nothing through that Ray's own code prints while it looks for a cluster: an error says what is wrong."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _check_listening(address: str) -> None:
    """Refuse an address where nothing listens, for which Ray would wait for minutes."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=10.0):
            pass
    except (OSError, ValueError, OverflowError) as error:
        raise ConfigurationError(_unreachable(address, str(error))) from None


def _unreachable(address: str, reason: str) -> str:
    return (
        f"cannot reach Ray at {address!r}, because nothing answers there ({reason}); name HOST:PORT as `ray start "
        "--head` prints it, auto on a machine of the cluster, or local"
    )


def _check_machines(ray: Any, address: str, out: Path) -> None:
    """Refuse a cluster with a machine that does not see the study's directory, or has another samnesia."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here, token = environment()["samnesia"], uuid.uuid4().hex
    probe = out.resolve() / f".seen-{token}"
    look = ray.remote(_look)
    try:
        probe.write_text(token, encoding="utf-8")
        for node in ray.nodes():
            if not node["Alive"]:
                continue
            where = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            there = look.options(num_cpus=0, max_retries=0, scheduling_strategy=where)
            start = f"cannot run on the Ray cluster at {address}, because its machine {node['NodeManagerHostname']}"
            try:
                version = ray.get(there.remote(probe, token))
            except ray.exceptions.RayError as error:
                last = str(error).strip().splitlines()[-1]
                raise ConfigurationError(f"{start} cannot run samnesia ({last}); install it there") from None
            require(
                version is not None,
                f"{start} does not see {out.resolve()}, through which results travel; put --out on a file system that "
                "all machines share",
            )
            require(version == here, f"{start} has samnesia {version}, and this one {here}; install one version")
    finally:
        probe.unlink(missing_ok=True)


def _look(probe: Path, token: str) -> str | None:
    """The version of samnesia on this machine; None where it does not see the file."""
    until = time.monotonic() + 10.0  # shared file systems may be late
    while time.monotonic() < until:
        with suppress(OSError):
            if probe.read_text(encoding="utf-8") == token:
                return str(environment()["samnesia"])
        time.sleep(0.2)
    return None


def _wait_for(job: Job) -> None:
    """Wait until what another machine has written is seen here."""
    until = time.monotonic() + PATIENCE
    while not job.ended:
        if time.monotonic() > until:
            job.fail(f"what it has written was not seen here within {PATIENCE:g} seconds")
        time.sleep(0.1)
