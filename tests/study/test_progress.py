"""Bars on a terminal, lines elsewhere, nothing when asked to be quiet."""

import io

import pytest
from rich.console import Console

from samnesia.study.cells import Cell, cell_directory
from samnesia.study.progress import Bars, display
from tests.study.study_files import make_config, write_run


@pytest.fixture
def cells(tmp_path):
    return [
        Cell("sam", seed, make_config("digits", "sam", seed), cell_directory(tmp_path, "sam", seed)) for seed in (0, 1)
    ]


def finish(cell):
    write_run(cell.directory, cell.config, cell.method)


def test_off_a_terminal_there_is_a_line_per_ended_cell(cells):
    console = Console(file=io.StringIO(), width=80)
    with display(cells, console, progress=True) as shown:
        finish(cells[0])
        shown.ended(cells[0])
        cells[1].directory.mkdir(parents=True)
        (cells[1].directory / "error.json").write_text('{"reason": "ValueError: [red]too hot"}')
        shown.ended(cells[1])
    first, second = console.file.getvalue().splitlines()
    assert first.startswith("1/2 SAM, seed 0: last epoch ")
    assert second == "2/2 SAM, seed 1: failed: ValueError: [red]too hot"


def test_quiet_is_quiet(cells):
    console = Console(file=io.StringIO(), force_terminal=True)
    with display(cells, console, progress=False) as shown:
        finish(cells[0])
        shown.ended(cells[0])
    assert console.file.getvalue() == ""


def test_bars_follow_the_epochs_on_disk(cells):
    from rich.progress import Progress

    progress = Progress(console=Console(file=io.StringIO(), force_terminal=True), auto_refresh=False)
    bars = Bars(progress, cells)
    bars.poll()
    assert [(task.completed, task.total) for task in progress.tasks] == [(0, 40)]
    cells[0].directory.mkdir(parents=True)
    (cells[0].directory / "metrics.jsonl").write_text("{}\n" * 7 + '{"half')
    bars.poll()
    assert [(task.completed, task.total) for task in progress.tasks] == [(7, 40), (7, 20)]
    assert "SAM, seed 0" in progress.tasks[1].description
    finish(cells[0])
    bars.ended(cells[0])
    assert [(task.completed, task.total) for task in progress.tasks] == [(20, 40)]


def test_on_a_terminal_the_bars_are_drawn_and_taken_away(cells):
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with display(cells, console, progress=True) as shown:
        finish(cells[0])
        shown.ended(cells[0])
    output = console.file.getvalue()
    assert "2 runs" in output and "left" in output
    assert "SAM, seed 0: last epoch" in output
