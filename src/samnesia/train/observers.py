"""Who looks on while a run trains: log files, progress bars, trackers. The loop tells them all the same."""

from __future__ import annotations

from pathlib import Path

from samnesia.train.checkpoint import Position
from samnesia.train.config import RunConfig
from samnesia.train.log import METRICS, RECORDS, STEPS, Lines, Row


class Observer:
    """Told of what happens in a run, on the process that leads. Overrides what it wants to know."""

    def begin(self, config: RunConfig, steps_per_epoch: int, position: Position) -> None:
        """Training begins, or goes on, at this position."""

    def step(self, line: Row) -> None:
        """A step was logged: see :mod:`samnesia.train.log` for what a line holds."""

    def record(self, line: Row) -> None:
        """Measures were taken before a step: see :mod:`samnesia.train.record.recorder` for what a line holds."""

    def epoch(self, row: Row) -> None:
        """An epoch has ended and was evaluated."""

    def end(self) -> None:
        """The run is over, or was stopped."""


class Journal(Observer):
    """Lines in ``metrics.jsonl``, ``steps.jsonl`` and ``records.jsonl``."""

    def __init__(self, run: Path) -> None:
        self._files = {name: Lines(run / name) for name in (METRICS, STEPS, RECORDS)}

    def step(self, line: Row) -> None:
        """Add a line of a step."""
        self._files[STEPS].append(line)

    def record(self, line: Row) -> None:
        """Add a line of measures."""
        self._files[RECORDS].append(line)

    def epoch(self, row: Row) -> None:
        """Add a line of an epoch."""
        self._files[METRICS].append(row)

    def sizes(self) -> dict[str, int]:
        """The length of each file in bytes, all of which are on disk when this returns."""
        for file in self._files.values():
            file.flush()
        return {name: file.size for name, file in self._files.items()}

    def cut(self, sizes: dict[str, int]) -> None:
        """Go back to the lengths that :meth:`sizes` returned: what follows is written again."""
        for name, file in self._files.items():
            file.cut(sizes.get(name, 0))
