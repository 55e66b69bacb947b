"""Flower on this machine: its simulation engine, or a server and client processes that talk over loopback.

Both are what a user would start by hand (docs/federated.md), with ``flwr run``; everything they write lies in
``OUT/flower``. Flower's telemetry and its installation of packages at run time are off.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Literal

from samnesia.federated.config import FederatedConfig
from samnesia.federated.imports import import_flower
from samnesia.federated.observers import ROUNDS, Watch
from samnesia.perturb.errors import ConfigurationError, RunStopped
from samnesia.train.log import METRICS, RESULT, RunResult, read_result

Engine = Literal["simulation", "processes"]
DIRECTORY, LOG = "flower", "flower.log"
STARTED, BETWEEN_LOOKS, ENDED = 60.0, 0.3, 10.0
"""Seconds to wait for the server, between two looks at the log, and for processes to end."""

PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "samnesia-federated"
version = "1.0.0"
description = "A federated run of samnesia"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "samnesia"

[tool.flwr.app.components]
serverapp = "samnesia_federated:server"
clientapp = "samnesia_federated:client"

[tool.flwr.app.config]
out = {out}
"""
MODULE = '''"""The apps of samnesia, as Flower asks for them."""

from samnesia.federated.app import client, server

__all__ = ["client", "server"]
'''


def write_app(directory: Path, out: Path) -> Path:
    """Write the Flower app of the run in ``out``: what ``flwr run`` takes."""
    package = directory / "samnesia_federated"
    package.mkdir(parents=True, exist_ok=True)
    (directory / "pyproject.toml").write_text(PROJECT.format(out=json.dumps(str(out.resolve()))), encoding="utf-8")
    (package / "__init__.py").write_text(MODULE, encoding="utf-8")
    return directory


def run_with_flower(
    config: FederatedConfig,
    out: Path,
    engine: Engine,
    *,
    watching: Sequence[Watch] = (),
    stop: Callable[[], bool] = lambda: False,
) -> RunResult:
    """Do the run that is written down in ``out`` with Flower, or go on with it.

    Raises:
        ConfigurationError: when Flower ends without a result.
        RunStopped: when ``stop`` said so; the last checkpoint is what it goes on from.
    """
    import_flower()
    place = out.resolve() / DIRECTORY
    app, home = write_app(place / "app", out), place / "home"
    home.mkdir(exist_ok=True)
    port = _free_port()
    connection = f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "127.0.0.1:{port}"\ninsecure = true\n'
    (home / "config.toml").write_text(connection, encoding="utf-8")
    with open(place / LOG, "ab") as told, _Processes(home, told) as processes:
        kind = ["--simulation"] if engine == "simulation" else []
        processes.start(
            "flower-superlink", "--insecure", *kind, "--disable-runtime-dependency-installation",
            "--host", "127.0.0.1", "--port", str(port),
        )  # fmt: skip
        _await(port, place / LOG)
        for client in range(config.clients) if engine == "processes" else ():
            processes.start(
                "flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{port}", "--host", "127.0.0.1",
                "--port", str(_free_port()),
                "--node-config", f"partition-id={client} num-partitions={config.clients}",
            )  # fmt: skip
        federation = ["--federation-config", f"num-supernodes={config.clients}"] if engine == "simulation" else []
        run = processes.start("flwr", "run", str(app), "here", "--stream", *federation)
        _look_on(config, out, run, watching, stop)
    if not (out / RESULT).exists():
        raise ConfigurationError(
            f"cannot find a result in {out}, because Flower has ended without one ({_last(place / LOG)}); see "
            f"{place / LOG}, and go on with: samnesia resume {out}"
        )
    return read_result(out)


class _Processes:
    """Processes of Flower, which end with the block."""

    def __init__(self, home: Path, told: IO[bytes]) -> None:
        self._told, self._started = told, list[subprocess.Popen[bytes]]()
        here = str(Path(sys.executable).parent)
        off = {"FLWR_HOME": str(home), "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
        path = os.pathsep.join((here, os.environ.get("PATH", "")))
        self._environment = {"OMP_NUM_THREADS": "1", **os.environ, **off, "PATH": path}

    def __enter__(self) -> _Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._started):  # each leads a group, which has its children
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        until = time.monotonic() + ENDED
        for process in self._started:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def start(self, command: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one of Flower's commands."""
        found = shutil.which(command, path=self._environment["PATH"])
        if found is None:
            raise ConfigurationError(
                f"cannot start {command}, because it is not where Flower is installed; run: pip install "
                "samnesia[federated]"
            )
        process = subprocess.Popen(
            [found, *arguments], stdin=subprocess.DEVNULL, stdout=self._told, stderr=self._told,
            env=self._environment, start_new_session=True,
        )  # fmt: skip
        self._started.append(process)
        return process


def _look_on(
    config: FederatedConfig,
    out: Path,
    run: subprocess.Popen[bytes],
    watching: Sequence[Watch],
    stop: Callable[[], bool],
) -> None:
    """Tell of each round until the run has ended."""
    rounds, rows = _tail(out / ROUNDS), _tail(out / METRICS)
    for one in watching:
        one.begin(config, len(next(rounds)))
    next(rows)
    try:
        ended = False
        while not ended:
            ended = run.poll() is not None or (out / RESULT).exists()
            for line in next(rounds):
                for one in watching:
                    one.round(line)
            for row in next(rows):
                for one in watching:
                    one.evaluated(row)
            if stop() and not ended:
                raise RunStopped(f"stopped before the end; go on with: samnesia resume {out}")
            time.sleep(BETWEEN_LOOKS)
    finally:
        for one in watching:
            one.end()


def _tail(path: Path) -> Iterator[list[dict[str, object]]]:
    """The lines that have come since the last time, whole ones only."""
    seen = 0
    while True:
        found = path.read_bytes()[seen:] if path.exists() else b""
        whole = found[: found.rfind(b"\n") + 1]
        seen += len(whole)
        yield [json.loads(line) for line in whole.splitlines()]


def _await(port: int, told: Path) -> None:
    until = time.monotonic() + STARTED
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        time.sleep(BETWEEN_LOOKS)
    raise ConfigurationError(
        f"cannot begin, because Flower's server has not started in {STARTED:g} seconds ({_last(told)}); see {told}"
    )


def _last(told: Path) -> str:
    lines = [line.strip() for line in told.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
