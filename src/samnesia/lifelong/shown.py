"""What a terminal shows while tasks are learned: how each of them goes, and a line after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samnesia.lifelong.config import LifelongConfig
from samnesia.lifelong.course import Watch
from samnesia.train.log import Row
from samnesia.train.observers import Observer
from samnesia.train.progress import judged_figure, progress

if TYPE_CHECKING:
    from rich.console import Console


class Shown(Watch):
    """A line after each task, and inside of it what a run shows."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console

        self._console = console or Console()

    def begin(self, config: LifelongConfig, done: int) -> None:
        """Say where a sequence goes on."""
        self._config = config
        if done:
            self._say(f"goes on after {done} of {config.runs}")

    def observers(self, number: int) -> list[Observer]:
        """What a run shows."""
        return [progress(self._console)]

    def trained(self, number: int, row: Row) -> None:
        """Say how accurate the model is on the tasks so far."""
        lost = next(
            (row[f"{split}_forgetting"] for split in ("test", "validation") if f"{split}_forgetting" in row), None
        )
        parts = (
            f"task {number + 1}/{self._config.runs}" if self._config.runs > 1 else "all tasks",
            judged_figure(self._config.training, row),
            None if lost is None else f"forgetting {lost:.1f} points",
        )
        self._say(", ".join(part for part in parts if part))

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
