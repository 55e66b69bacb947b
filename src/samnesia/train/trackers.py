"""Logs of a run for TensorBoard and for Weights & Biases.

Both show what is in ``steps.jsonl`` and ``metrics.jsonl``, and a resumed run goes on in them without a point twice.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samnesia.extras import require
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.checkpoint import Position
from samnesia.train.config import RunConfig
from samnesia.train.log import Row, write_json
from samnesia.train.observers import Observer

TENSORBOARD, WANDB = "tensorboard", "wandb"
"""Directories in that of the run."""


def trackers(config: RunConfig, out: Path | None) -> list[Observer]:
    """Return the trackers that ``config.logging`` asks for; nothing is written before they are told of the beginning.

    Raises:
        ConfigurationError: if there is no directory to write to.
        MissingExtraError: if a package is not installed, with the command that installs it.
    """
    logging = config.logging
    if not logging.tensorboard and logging.wandb is None:
        return []
    if out is None:
        raise ConfigurationError(
            "cannot log to TensorBoard or Weights & Biases without a directory of the run, because both write there; "
            "give one as out"
        )
    found: list[Observer] = []
    if logging.tensorboard:
        found.append(TensorBoard(out / TENSORBOARD))
    if logging.wandb is not None:
        found.append(WeightsAndBiases(logging.wandb, out))
    return found


class TensorBoard(Observer):
    """Events in two directories: figures of ``steps``, over the steps, and of ``epochs``, over the epochs.

    They are two, because TensorBoard forgets by the number on the axis: when a run goes on from a checkpoint, what was
    written after it is repeated.
    """

    def __init__(self, directory: Path) -> None:
        require("tensorboard", extra="tracking")
        self._directory = directory
        self._writers: dict[str, Any] = {}

    def begin(self, config: RunConfig, steps_per_epoch: int, position: Position) -> None:
        """Open the files, and let TensorBoard forget what will be written again."""
        from torch.utils.tensorboard import SummaryWriter

        _wait_for_a_later_name(self._directory)
        done = {"steps": position.epoch * steps_per_epoch + position.step, "epochs": position.epoch}
        self._writers = {
            name: SummaryWriter(str(self._directory / name), purge_step=number) for name, number in done.items()
        }

    def step(self, line: Row) -> None:
        """Write the figures of a step."""
        self._write("steps", line, line["step"])

    def epoch(self, row: Row) -> None:
        """Write the figures of an epoch."""
        self._write("epochs", row, row["epoch"])

    def end(self) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()

    def _write(self, name: str, figures: Row, number: int) -> None:
        for key, value in _numbers(figures):
            self._writers[name].add_scalar(key, value, number)
        self._writers[name].flush()  # a checkpoint may follow, and the process be killed after it


def _wait_for_a_later_name(directory: Path) -> None:
    """Wait for the next second, where files were begun in this one: TensorBoard reads them in the order of names."""
    names = (path.name.partition("tfevents.")[2].partition(".")[0] for path in directory.glob("*/*tfevents.*"))
    newest = max((int(name) for name in names if name.isdecimal()), default=0)
    time.sleep(min(max(0.0, newest + 1 - time.time()), 1.0))


class WeightsAndBiases(Observer):
    """A run of a project on Weights & Biases, taken up again by the name that is kept in the run's directory.

    Figures are filed under the number of the step. What a resumed run repeats has the numbers, and bit by bit the
    figures, of what is there already.
    """

    def __init__(self, project: str, out: Path) -> None:
        self._wandb = require("wandb", extra="tracking")
        self._project, self._out = project, out
        self._run: Any = None

    def begin(self, config: RunConfig, steps_per_epoch: int, position: Position) -> None:
        """Open the run.

        Raises:
            ConfigurationError: when Weights & Biases refuses, because nobody is logged in, say.
        """
        self._steps_per_epoch, self._epochs, self._finished = steps_per_epoch, config.epochs, False
        try:
            self._run = self._wandb.init(
                project=self._project,
                id=self._id(),
                resume="allow",
                dir=str(self._out),
                name=f"{config.recipe}-seed{config.seed}",
                config=config.to_json(),
                settings=self._wandb.Settings(console="off", quiet=True),  # the terminal is ours
            )
        except self._wandb.errors.Error as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise ConfigurationError(
                f"cannot log to {self._project} on Weights & Biases, because it refused: {reason}; log in with: wandb "
                f"login, or set WANDB_MODE=offline, and go on with: samnesia resume {self._out}"
            ) from None

    def step(self, line: Row) -> None:
        """Send the figures of a step."""
        self._run.log(dict(_numbers(line)), step=line["step"])

    def epoch(self, row: Row) -> None:
        """Send the figures of an epoch, under its last step."""
        self._run.log(
            {"epoch": row["epoch"], **dict(_numbers(row))}, step=(row["epoch"] + 1) * self._steps_per_epoch - 1
        )
        self._finished = row["epoch"] + 1 == self._epochs

    def end(self) -> None:
        """Close the run; it counts as failed where it has not finished."""
        if self._run is not None:
            self._run.finish(exit_code=0 if self._finished else 1)

    def _id(self) -> str:
        path = self._out / WANDB / "samnesia.json"
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))["id"])
        except FileNotFoundError:
            path.parent.mkdir(exist_ok=True)
            write_json(path, {"id": secrets.token_hex(8)})
            return self._id()


def _numbers(figures: Row) -> Iterator[tuple[str, float]]:
    """The figures that are numbers, without those of the axes; lists (a radius per group) number by number."""
    for key, value in figures.items():
        if key in ("step", "epoch"):
            continue
        if isinstance(value, list):
            single = len(value) == 1
            yield from ((key if single else f"{key}_{i}", float(item)) for i, item in enumerate(value))
        elif isinstance(value, bool | int | float):
            yield key, float(value)
