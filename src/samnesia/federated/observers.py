"""Who looks on while a federated run goes: its log, and what a terminal shows."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samnesia.federated.config import FederatedConfig
from samnesia.train.log import Lines, Row
from samnesia.train.observers import Journal
from samnesia.train.progress import SECONDS_BETWEEN_LINES, judged_figure

if TYPE_CHECKING:
    from rich.console import Console

ROUNDS = "rounds.jsonl"
Clock = Callable[[], float]


class Watch:
    """Told of each round. Overrides what it wants to know."""

    def begin(self, config: FederatedConfig, done: int) -> None:
        """The run begins, or goes on after so many rounds."""

    def round(self, line: Row) -> None:
        """A round has ended: see docs/federated.md for what a line holds."""

    def evaluated(self, row: Row) -> None:
        """The model was evaluated after a round."""

    def end(self) -> None:
        """The run is over, or was stopped."""


class RoundJournal(Journal, Watch):
    """Lines in ``rounds.jsonl`` and ``metrics.jsonl``."""

    def __init__(self, run: Path) -> None:
        super().__init__(run)
        self._files[ROUNDS] = Lines(run / ROUNDS)

    def begin(self, *_: Any) -> None:
        """Nothing is written before the first round."""

    def round(self, line: Row) -> None:
        """Add a line of a round."""
        self._files[ROUNDS].append(line)

    def evaluated(self, row: Row) -> None:
        """Add a line of figures."""
        self.epoch(row)


class Shown(Watch):
    """A bar on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console | None = None, clock: Clock = time.monotonic) -> None:
        from rich.console import Console

        self._console, self._clock = console or Console(), clock
        self._bars: Any = None

    def begin(self, config: FederatedConfig, done: int) -> None:
        """Start the clock."""
        self._config, self._done, self._first = config, done, done
        self._begun = self._said = self._clock()
        self._judged: str | None = None

    def round(self, line: Row) -> None:
        """Move the bar."""
        self._done = line["round"] + 1
        if self._console.is_terminal:
            self._draw()

    def evaluated(self, row: Row) -> None:
        """Show the figure of the average where there is one, else of the weights; print it if that is long ago."""
        averaged = {name[len("average_") :]: value for name, value in row.items() if name.startswith("average_")}
        there = any(value is not None for value in averaged.values())
        figure = judged_figure(self._config.training, averaged if there else row)
        self._judged = figure if figure is None or not there else f"{figure} (average)"
        if not self._console.is_terminal and self._clock() - self._said >= SECONDS_BETWEEN_LINES:
            self._said = self._clock()
            self._console.print(self.words, highlight=False, markup=False, soft_wrap=True)

    def end(self) -> None:
        """Take the bar away."""
        if self._bars is not None:
            self._bars.stop()

    @property
    def words(self) -> str:
        """How far the run is."""
        spent, left = self._clock() - self._begun, self._config.rounds - self._done
        seconds = round(spent / max(1, self._done - self._first) * left)
        parts = (f"round {self._done}/{self._config.rounds}", self._judged, f"{timedelta(seconds=seconds)} left")
        return ", ".join(part for part in parts if part)

    def _draw(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        if self._bars is None:
            columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=20),
                       TextColumn("{task.fields[figures]}", markup=False))  # fmt: skip
            self._bars = Progress(*columns, console=self._console, transient=True)
            self._bar = self._bars.add_task(self._config.recipe, total=self._config.rounds, figures="")
            self._bars.start()
        self._bars.update(self._bar, completed=self._done, figures=self.words)
