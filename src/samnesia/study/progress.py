"""What a comparison shows while it runs: bars on a terminal, one line per ended cell elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from samnesia.study.cells import ERROR, Cell, read_json
from samnesia.study.figures import label
from samnesia.study.training import POINTS
from samnesia.train.log import METRICS, RunResult, read_result

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


class Display(Protocol):
    """Takes note of cells that have ended."""

    def ended(self, cell: Cell) -> None:
        """Show that a cell has ended, well or not."""


class Quiet:
    """Shows nothing."""

    def ended(self, cell: Cell) -> None:
        """Show nothing."""


class Lines:
    """Prints one line per ended cell."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._count = 0

    def ended(self, cell: Cell) -> None:
        """Print how the cell ended."""
        self._count += 1
        line = f"{self._count}/{self._total} {_outcome(cell)}"
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


class Bars:
    """A bar for all cells with the time left, and one for each open cell, moved by the epochs on disk.

    The epochs are read from the ``metrics.jsonl`` of the open cells, so it does not matter which process runs them.
    """

    def __init__(self, progress: Progress, cells: Sequence[Cell]) -> None:
        self._progress = progress
        self._pending = {cell.directory: cell for cell in cells}
        self._total = progress.add_task(f"{len(cells)} runs", total=sum(_epochs(cell) for cell in cells))
        self._ended_epochs = 0
        self._tasks: dict[Path, TaskID] = {}
        self._lock = threading.Lock()

    def ended(self, cell: Cell) -> None:
        """Take the cell's bar away and count all of its epochs as done."""
        with self._lock:
            self._pending.pop(cell.directory, None)
            self._ended_epochs += _epochs(cell)
            task = self._tasks.pop(cell.directory, None)
            if task is not None:
                self._progress.remove_task(task)
        self._progress.console.print(_outcome(cell), highlight=False, markup=False, soft_wrap=True)
        self.poll()

    def poll(self) -> None:
        """Read how far the open cells are, and move the bars."""
        with self._lock:
            done = 0
            for directory, cell in self._pending.items():
                epochs = _epochs_on_disk(cell)
                if epochs is None:
                    continue
                if directory not in self._tasks:
                    name = f"  {label(cell.method)}, seed {cell.seed}"
                    self._tasks[directory] = self._progress.add_task(name, total=_epochs(cell))
                self._progress.update(self._tasks[directory], completed=epochs)
                done += epochs
            self._progress.update(self._total, completed=self._ended_epochs + done)


@contextmanager
def display(cells: Sequence[Cell], console: Console, *, progress: bool) -> Iterator[Display]:
    """Show the progress of the cells: bars on a terminal, lines elsewhere, nothing without ``progress``."""
    if not progress or not cells:
        yield Quiet()
    elif not console.is_terminal:
        yield Lines(console, len(cells))
    else:
        with _bars(cells, console) as bars:
            yield bars


@contextmanager
def _bars(cells: Sequence[Cell], console: Console) -> Iterator[Bars]:
    from rich import progress as rich

    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(bar_width=32),
        rich.TextColumn("{task.completed:.0f}/{task.total:.0f} epochs"),
        rich.TimeElapsedColumn(),
        rich.TextColumn("left"),
        rich.TimeRemainingColumn(),
    )
    stop = threading.Event()
    # The speed is taken over minutes: methods differ in their cost per epoch, and workers end in bursts.
    with rich.Progress(*columns, console=console, speed_estimate_period=300.0, transient=True) as progress:
        bars = Bars(progress, cells)

        def watch() -> None:
            while not stop.wait(0.5):
                bars.poll()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield bars
        finally:
            stop.set()
            thread.join()


def _outcome(cell: Cell) -> str:
    name = f"{label(cell.method)}, seed {cell.seed}"
    if not cell.finished:
        return f"{name}: failed: {read_json(cell.directory / ERROR).get('reason')}"
    result = read_result(cell.directory)
    last, best = (_score(result, point) for point in POINTS)
    return f"{name}: last epoch {last}, best epoch {best}, {result.seconds:.1f} s"


def _score(result: RunResult, point: Literal["last", "best"]) -> str:
    unit = result.judged_by["unit"]
    value = result.score(point)
    return f"{value:.1f} %" if unit == "%" else f"{value:.4g} {unit}".rstrip()


def _epochs(cell: Cell) -> int:
    return cell.config.epochs


def _epochs_on_disk(cell: Cell) -> int | None:
    try:
        evaluated = (cell.directory / METRICS).read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0 if cell.directory.exists() else None
    return min(evaluated * cell.config.evaluation.every_epochs, cell.config.epochs)
