"""Who is told how far a measure is."""

from __future__ import annotations

from typing import Any, Protocol, final

from samnesia.extras import require


class Progress(Protocol):
    """Told of tasks, which may be nested, in units of passes over the data."""

    def begin(self, name: str, passes: float) -> None:
        """A task of about so many passes begins."""

    def advance(self, passes: float) -> None:
        """So many more are done."""

    def end(self) -> None:
        """The task that began last is over."""


@final
class Silent:
    """Tells nobody."""

    def begin(self, name: str, passes: float) -> None:
        """Nothing."""

    def advance(self, passes: float) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


def bars(console: Any = None) -> Any:
    """A rich ``Progress`` of lines with a name, a bar, a share, the time so far and the time left."""
    rich = require("rich.progress", extra="train")
    return rich.Progress(
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.TaskProgressColumn(),
        rich.TimeElapsedColumn(),
        rich.TextColumn("left"),
        rich.TimeRemainingColumn(),
        console=console,
        transient=True,
    )


@final
class Bar:
    """A bar on the terminal with the time left (rich); used as a context."""

    def __init__(self, console: Any = None) -> None:
        self._bar = bars(console)
        self._tasks: list[Any] = []

    def __enter__(self) -> Bar:
        """Show it."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take it away."""
        self._bar.stop()

    def begin(self, name: str, passes: float) -> None:
        """A line more."""
        self._tasks.append(self._bar.add_task(name, total=passes))

    def advance(self, passes: float) -> None:
        """All lines go on: a task is part of those around it."""
        for task in self._tasks:
            self._bar.advance(task, passes)

    def end(self) -> None:
        """The last line goes."""
        self._bar.remove_task(self._tasks.pop())
