"""What a run shows while it trains: bars on a terminal, a line now and then elsewhere.

Nothing is drawn before the first step: what cannot be trained is refused without a bar.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from samnesia.train.checkpoint import Position
from samnesia.train.config import RunConfig
from samnesia.train.log import Row
from samnesia.train.observers import Observer

if TYPE_CHECKING:
    from rich.console import Console

SECONDS_BETWEEN_LINES = 10.0
Clock = Callable[[], float]


def progress(console: Console | None = None, clock: Clock = time.monotonic) -> Observer:
    """Return what shows a run on ``console``, by default on standard output."""
    from rich.console import Console

    console = console or Console()
    return Bars(console, clock) if console.is_terminal else Lines(console, clock)


class Pace(Observer):
    """How far a run is, and how fast it goes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def begin(self, config: RunConfig, steps_per_epoch: int, position: Position) -> None:
        """Start the clocks."""
        self.config, self.steps_per_epoch = config, steps_per_epoch
        self.total = config.epochs * steps_per_epoch
        self.done = self._first = position.epoch * steps_per_epoch + position.step
        self.loss: float | None = None
        self.samples_per_second: float | None = None
        self.judged: str | None = None
        self._begun = self._epoch_begun = self._clock()
        self._first_of_epoch = self.done

    def step(self, line: Row) -> None:
        """Take note of a step."""
        self.done, self.loss = line["step"] + 1, line["loss"]
        seconds = self._clock() - self._epoch_begun
        if seconds > 0:  # over all processes: a batch is divided among them
            self.samples_per_second = (self.done - self._first_of_epoch) * self.config.batch_size / seconds

    def epoch(self, row: Row) -> None:
        """Take note of an epoch; the time that evaluation took counts as none of training."""
        self.done = self._first_of_epoch = (row["epoch"] + 1) * self.steps_per_epoch
        self._epoch_begun = self._clock()
        self.judged = judged_figure(self.config, row)

    @property
    def epochs(self) -> str:
        """Which epoch is under way, of how many."""
        return f"epoch {min(self.done // self.steps_per_epoch + 1, self.config.epochs)}/{self.config.epochs}"

    @property
    def seconds_left(self) -> float | None:
        """An estimate from what this process has done so far."""
        steps = self.done - self._first
        return (self._clock() - self._begun) / steps * (self.total - self.done) if steps else None

    def figures(self, *, judged: bool = True) -> str:
        """The loss, the last figure that the run is judged by, and the speed: what is known of them."""
        parts = (
            None if self.loss is None else f"loss {self.loss:.4g}",
            self.judged if judged else None,
            None if self.samples_per_second is None else f"{self.samples_per_second:,.0f} samples/s",
        )
        return ", ".join(part for part in parts if part)


def judged_figure(config: RunConfig, row: Row) -> str | None:
    """Return the figure of a row that the run is judged by, in words: ``test accuracy 91.3 %``."""
    name, measure = next(iter(config.loss.measures(2).items()))  # the first one does not depend on how many outputs
    for split in ("test", "validation", "train"):
        if f"{split}_{name}" in row:
            return f"{split} {name} {figure_text(row[f'{split}_{name}'], measure.unit)}"
    return None


def figure_text(value: float | None, unit: str) -> str:
    """Return a figure with its unit: ``91.3 %``, ``0.0123 mm``."""
    if value is None:
        return "not finite"
    return f"{value:.1f} %" if unit == "%" else f"{value:.4g} {unit}".rstrip()


class Lines(Pace):
    """Prints a line after an epoch, if the last one is long enough ago."""

    def __init__(self, console: Console, clock: Clock = time.monotonic) -> None:
        super().__init__(clock)
        self._console = console

    def begin(self, config: RunConfig, steps_per_epoch: int, position: Position) -> None:
        """Start the clocks."""
        super().begin(config, steps_per_epoch, position)
        self._said = self._begun

    def epoch(self, row: Row) -> None:
        """Print how far the run is."""
        super().epoch(row)
        if self._clock() - self._said < SECONDS_BETWEEN_LINES:
            return
        self._said = self._clock()
        left = timedelta(seconds=round(self.seconds_left or 0.0))
        ended = f"epoch {row['epoch'] + 1}/{self.config.epochs}"
        self._console.print(
            f"{ended}: {self.figures()}, {left} left", highlight=False, markup=False, soft_wrap=True
        )  # fmt: skip


class Bars(Pace):
    """A bar for the run, with its time left, and one for the epoch."""

    def __init__(self, console: Console, clock: Clock = time.monotonic) -> None:
        super().__init__(clock)
        self._console = console
        self._bars: Any = None

    def step(self, line: Row) -> None:
        """Move the bars."""
        super().step(line)
        self._show(self.done - line["epoch"] * self.steps_per_epoch)

    def epoch(self, row: Row) -> None:
        """Show the new figure."""
        super().epoch(row)
        self._show(0 if self.done < self.total else self.steps_per_epoch)

    def end(self) -> None:
        """Take the bars away."""
        if self._bars is not None:
            self._bars.stop()

    def _show(self, steps_of_epoch: int) -> None:
        if self._bars is None:
            self._draw()
        left = "" if self.seconds_left is None else f"{timedelta(seconds=round(self.seconds_left))} left"
        run = ", ".join(part for part in (self.epochs, self.judged, left) if part)
        self._bars.update(self._run, completed=self.done, figures=run)
        epoch = ", ".join((f"step {steps_of_epoch}/{self.steps_per_epoch}", self.figures(judged=False)))
        self._bars.update(self._epoch, completed=steps_of_epoch, figures=epoch)

    def _draw(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[figures]}", markup=False),
        )
        self._bars = Progress(*columns, console=self._console, transient=True)
        self._run = self._bars.add_task(self.config.recipe, total=self.total, figures="")
        self._epoch = self._bars.add_task("", total=self.steps_per_epoch, figures="")
        self._bars.start()
