"""A federated run: one configuration in, one result out.

The directory is that of a run (:mod:`samnesia.train.log`), whose ``config.json`` is the central run of as many epochs,
so that ``samnesia measure`` and ``samnesia evaluate`` read it; besides::

    federated.json   the whole configuration
    rounds.jsonl     a line per round: who took part, who was left out and why
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from samnesia.federated.client import Clients
from samnesia.federated.config import FEDERATED, FederatedConfig, read
from samnesia.federated.imports import import_flower
from samnesia.federated.nodes import Here
from samnesia.federated.observers import RoundJournal, Watch
from samnesia.federated.server import Server
from samnesia.perturb.errors import RunStopped, TrainingCollapsedWarning
from samnesia.train import log
from samnesia.train.keeper import Keeper
from samnesia.train.log import Row, RunResult
from samnesia.train.loop import computing
from samnesia.train.results import result_of


def federate(
    config: FederatedConfig,
    out: Path | str | None = None,
    *,
    grid: Any = None,
    watching: Sequence[Watch] = (),
    stop: Callable[[], bool] = lambda: False,
) -> RunResult:
    """Train as ``config`` says, and return the result, which is that of a run.

    Args:
        config: the run.
        out: directory of the run; it must be empty or not exist. Nothing is written without it.
        grid: Flower's way to its nodes; None is clients in this process, one after the other.
        watching: are told of every round.
        stop: asked after every round; once it is true, a checkpoint is written and the run stops.

    Raises:
        ConfigurationError: for values that cannot be trained with, or an ``out`` that is not empty.
        MissingExtraError: without Flower.
        RunStopped: when ``stop`` said so.

    Warns:
        ClientLeftOutWarning: of a client, the first time that a round goes on without it.
    """
    out = None if out is None else Path(out)
    with _ready(config) as server:
        if out is not None:
            write_down(config, out)
        return _finish(server, out, grid, watching, stop)


def resume(
    out: Path | str,
    *,
    grid: Any = None,
    watching: Sequence[Watch] = (),
    stop: Callable[[], bool] = lambda: False,
) -> RunResult:
    """Go on with the run in ``out`` after the last round that was kept, or begin it where none was.

    With clients in this process it ends as a run that was never interrupted, bit by bit (but for times). A finished run
    is returned as it is.

    Raises:
        ConfigurationError: if there is no federated run in ``out``, or another process is at work on it.
        RunStopped: when ``stop`` said so.
    """
    out = Path(out)
    config = read(out)
    if (out / log.RESULT).exists():
        return log.read_result(out)
    with _ready(config) as server:
        return _finish(server, out, grid, watching, stop)


def write_down(config: FederatedConfig, out: Path) -> None:
    """Make ``out`` the directory of a federated run that has not begun.

    Raises:
        ConfigurationError: if it is not empty.
    """
    log.tidy(out)
    log.claim(out, what="a federated run")
    log.write_json(out / log.CONFIG, config.central.to_json())
    log.write_json(out / FEDERATED, config.to_json())


@contextmanager
def _ready(config: FederatedConfig) -> Iterator[Server]:
    import_flower()
    with _quiet(), computing(config.training):
        clients = Clients(config)
    with _quiet(), computing(config.training):
        yield Server(config, clients)


@contextmanager
def _quiet() -> Iterator[None]:
    """Flower tells of each message, Fabric of each process."""
    names = ("flwr", "lightning.fabric", "lightning.pytorch")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _finish(
    server: Server, out: Path | None, grid: Any, watching: Sequence[Watch], stop: Callable[[], bool]
) -> RunResult:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    config = server.federated
    with log.locked(out, what="federated run") if out is not None else nullcontext():
        keeper = Keeper(server, out)
        journal = [] if out is None else [RoundJournal(out)]
        keeper.journals = list(journal)
        keeper.take_up()
        watching = [*journal, *watching]
        try:
            server.connect(Here(config.clients) if grid is None else grid)
            for one in watching:
                one.begin(config, server.round)
            while server.round < config.rounds:
                line = server.advance()
                for one in watching:
                    one.round(line)
                _evaluate(server, watching)
                keeper.after_epoch()
                if stop() and server.round < config.rounds:
                    keeper.save()
                    raise RunStopped(f"stopped after round {server.round} of {config.rounds}; {keeper.where()}")
            result = result_of(server, started)
            if out is not None:
                log.write_json(out / log.RESULT, result.to_json())
        finally:
            for one in watching:
                one.end()
    if result.collapsed is not None:
        warnings.warn(result.collapsed, TrainingCollapsedWarning, stacklevel=3)
    return result


def _evaluate(server: Server, watching: Sequence[Watch]) -> None:
    """The figures of the weights and of their average, if it is time."""
    config, done = server.federated, server.round
    if done < config.rounds and done % config.training.evaluation.every_epochs:
        return
    figures = server.evaluator.row(server.module)
    rate = config.local(server.filled[0], 2, done - 1).optimizer.lr
    row: Row = {"epoch": server.position.epoch - 1, "learning_rate": rate, **figures}
    if server.average is not None:
        averaged: Row = dict.fromkeys(figures)
        if server.average.seen:
            with server.average.applied():
                averaged = server.evaluator.row(server.module)
        row |= {f"average_{name}": value for name, value in averaged.items()}
    server.rows.append(row)
    for one in watching:
        one.evaluated(row)
