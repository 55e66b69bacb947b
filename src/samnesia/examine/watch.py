"""Who watches measurements: bars with the time left on a terminal, a line for each one elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, final

from samnesia.examine.purpose import MEASURING, Purpose
from samnesia.measure.progress import bars

if TYPE_CHECKING:
    from rich.console import Console


class Watch(ABC):
    """Told of each measurement, and (as :class:`samnesia.measure.progress.Progress`) of the passes inside it."""

    @abstractmethod
    def start(self, tasks: int) -> None:
        """There are so many to do."""

    @abstractmethod
    def measure(self, name: str) -> None:
        """The next one begins."""

    @abstractmethod
    def measured(self, seconds: float | None) -> None:
        """It is done; None where it had been measured before."""

    @abstractmethod
    def refused(self, how: str) -> None:
        """It is not done, and why in a few words."""

    @abstractmethod
    def stop(self) -> None:
        """All are done, or it was interrupted."""

    @abstractmethod
    def begin(self, name: str, passes: float) -> None:
        """A piece of it of about so many passes over the data begins."""

    @abstractmethod
    def advance(self, passes: float) -> None:
        """So many more are done."""

    @abstractmethod
    def end(self) -> None:
        """The piece that began last is over."""


@final
class Bars(Watch):
    """A bar for all of them and one for each piece under way."""

    def __init__(self, console: Console, doing: str) -> None:
        self._bar, self._doing = bars(console), doing
        self._all: Any = None
        self._done = self._tasks = 0
        self._pieces: list[Any] = []

    def start(self, tasks: int) -> None:
        """Show the bar."""
        self._tasks = tasks
        self._bar.start()
        self._all = self._bar.add_task(self._doing, total=tasks)

    def measure(self, name: str) -> None:
        """Say which one."""
        self._bar.update(self._all, description=f"{name} ({self._done + 1} of {self._tasks})")

    def measured(self, seconds: float | None) -> None:
        """One more."""
        self._done += 1
        self._bar.update(self._all, completed=self._done)

    def refused(self, how: str) -> None:
        """One less to do."""
        self.measured(None)

    def stop(self) -> None:
        """Take the bars away."""
        self._bar.stop()

    def begin(self, name: str, passes: float) -> None:
        """A bar more."""
        self._pieces.append(self._bar.add_task(f"  {name}", total=passes))

    def advance(self, passes: float) -> None:
        """Further."""
        for piece in self._pieces:
            self._bar.advance(piece, passes)

    def end(self) -> None:
        """The last bar goes."""
        self._bar.remove_task(self._pieces.pop())


@final
class Lines(Watch):
    """A line for each, when it is done."""

    def __init__(self, console: Console, past: str) -> None:
        self._console, self._past, self._name, self._done, self._tasks = console, past, "", 0, 0

    def start(self, tasks: int) -> None:
        """Nothing to be seen yet."""
        self._tasks = tasks

    def measure(self, name: str) -> None:
        """Remember it."""
        self._name = name

    def measured(self, seconds: float | None) -> None:
        """Say it."""
        self._say("there already" if seconds is None else f"{self._past} in {seconds:.1f} s")

    def refused(self, how: str) -> None:
        """Say it."""
        self._say(how)

    def _say(self, how: str) -> None:
        self._done += 1
        self._console.print(
            f"{self._name}: {how} ({self._done} of {self._tasks})", highlight=False, markup=False, soft_wrap=True
        )

    def stop(self) -> None:
        """Nothing."""

    def begin(self, name: str, passes: float) -> None:
        """Nothing."""

    def advance(self, passes: float) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


def watch(console: Console, purpose: Purpose = MEASURING) -> Watch:
    """Who watches on this console."""
    return Bars(console, purpose.doing) if console.is_terminal else Lines(console, purpose.done)
