"""The pool: a failure costs one cell, a lost worker too, and Ctrl-C ends everybody."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest

from samnesia.study.cells import Cell, cell_directory
from samnesia.study.executor import run_cell, run_cells
from tests.study.study_files import make_config, write_run


@pytest.fixture
def cells(tmp_path):
    return [
        Cell(method, seed, make_config("digits-noisy", method, seed), cell_directory(tmp_path, method, seed))
        for seed in range(3)
        for method in ("sgd", "sam")
    ]


@pytest.fixture
def copy(cells, tmp_path):
    """A trainer for any process: it copies a result that was prepared."""
    prepared = tmp_path / "prepared"
    for cell in cells:
        write_run(prepared / cell.directory.name, cell.config, cell.method)

    def train(cell):
        shutil.copytree(prepared / cell.directory.name, cell.directory, dirs_exist_ok=True)

    return train


@pytest.mark.parametrize("workers", [1, 2])
def test_every_cell_ends_and_a_failure_costs_itself_alone(cells, copy, workers):
    def train(cell):
        if (cell.method, cell.seed) == ("sam", 1):
            raise ValueError("too hot")
        copy(cell)

    ended = list(run_cells(cells, train, workers=workers))
    assert sorted(cell.directory for cell in ended) == sorted(cell.directory for cell in cells)
    failed = [cell for cell in ended if not cell.finished]
    assert [(cell.method, cell.seed) for cell in failed] == [("sam", 1)]
    error = json.loads((failed[0].directory / "error.json").read_text())
    assert error["reason"] == "ValueError: too hot"
    assert "Traceback" in error["traceback"]


def test_what_a_killed_run_left_is_removed_before_the_next(cells, copy):
    cell = cells[0]
    cell.directory.mkdir(parents=True)
    (cell.directory / "metrics.jsonl").write_text("half a line")
    (cell.directory / "error.json").write_text("{}")
    for name in ("config", "result", "error"):  # what SIGKILL in the middle of write_json leaves
        (cell.directory / f".{name}.json.123").write_text("half a fi")
    run_cell(cell, copy)
    assert sorted(path.name for path in cell.directory.iterdir()) == ["config.json", "result.json"]


def test_a_cell_killed_while_it_writes_its_configuration_trains_again(cells):
    from samnesia.train.loop import train

    cell = replace(cells[0], config=replace(cells[0].config, epochs=1))
    cell.directory.mkdir(parents=True)
    (cell.directory / ".config.json.123").write_text("{")
    run_cell(cell, lambda cell: train(cell.config, cell.directory))
    assert cell.finished


def test_an_interrupted_run_of_another_configuration_is_removed_and_one_of_this_is_kept(cells, copy):
    for cell, changes in zip(cells, ({}, {"epochs": 7}), strict=False):
        (cell.directory / "checkpoints" / "epoch001-step000000").mkdir(parents=True)
        (cell.directory / "config.json").write_text(json.dumps(replace(cell.config, **changes).to_json()))
        for name in ("environment.json", "metrics.jsonl", "steps.jsonl", "error.json", ".lock"):
            (cell.directory / name).write_text("{}")
    seen = {}
    for cell in cells[:2]:
        run_cell(cell, lambda cell: seen.update({cell.method: sorted(path.name for path in cell.directory.iterdir())}))
    assert seen["sgd"] == [".lock", "checkpoints", "config.json", "environment.json", "metrics.jsonl", "steps.jsonl"]
    assert seen["sam"] == []


def test_warnings_of_workers_are_sentences(tmp_path):
    script = textwrap.dedent(
        """
        import sys, warnings
        from pathlib import Path
        from samnesia.perturb.errors import SamnesiaWarning
        from samnesia.study.cells import Cell
        from samnesia.study.executor import run_cells
        from samnesia.train.recipes import find

        def train(cell):
            warnings.warn("mind the gap", SamnesiaWarning)

        out = Path(sys.argv[1])
        cells = [Cell("sam", seed, find("digits-sam"), out / f"sam-seed{seed}") for seed in range(2)]
        list(run_cells(cells, train, workers=2))
        """
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.stderr == 2 * "samnesia: warning: mind the gap\n"


def test_a_lost_worker_costs_no_cell_when_it_was_lost_by_accident(cells, copy, tmp_path):
    accident = tmp_path / "accident"

    def train(cell):
        if (cell.method, cell.seed) == ("sam", 0) and not accident.exists():
            accident.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        copy(cell)

    ended = list(run_cells(cells, train, workers=2))
    assert len(ended) == len({cell.directory for cell in ended}) == len(cells)
    assert all(cell.finished for cell in cells)


def test_a_cell_that_always_ends_its_worker_is_reported_and_ends(cells, copy):
    def train(cell):
        if (cell.method, cell.seed) == ("sam", 0):
            os.kill(os.getpid(), signal.SIGKILL)
        copy(cell)

    ended = list(run_cells(cells, train, workers=2))
    assert len({cell.directory for cell in ended}) == len(cells)
    (broken,) = (cell for cell in cells if not cell.finished)
    assert (broken.method, broken.seed) == ("sam", 0)
    assert "ended from outside" in json.loads((broken.directory / "error.json").read_text())["reason"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_study(tmp_path, sent):
    script = textwrap.dedent(
        """
        import os, sys, time
        from pathlib import Path
        from samnesia.study.cells import Cell
        from samnesia.study.executor import run_cells
        from samnesia.train.recipes import find

        out = Path(sys.argv[1])

        def train(cell):
            (cell.directory / "pid").write_text(str(os.getpid()))
            time.sleep(600)

        cells = [Cell("sam", seed, find("digits-sam"), out / f"sam-seed{seed}") for seed in range(4)]
        try:
            list(run_cells(cells, train, workers=2))
        except KeyboardInterrupt:
            print("interrupted")
            sys.exit(130)
        """
    )
    study = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    workers = [_wait_for_pid(tmp_path / f"sam-seed{seed}" / "pid", study) for seed in range(2)]
    if sent == signal.SIGINT:
        os.killpg(study.pid, sent)  # as a terminal does: to the study and its workers alike
    else:
        os.kill(study.pid, sent)
    output, errors = study.communicate(timeout=60)
    if sent == signal.SIGINT:
        assert study.returncode == 130
        assert output == "interrupted\n"
        assert "Traceback" not in errors
    for worker in workers:
        _wait_for_end(worker)


def _wait_for_pid(path, study):
    for _ in _ticks():
        if path.exists() and path.read_text():
            return int(path.read_text())
        assert study.poll() is None, study.communicate()
    raise AssertionError(f"no worker has started in {path.parent}")


def _wait_for_end(pid):
    for _ in _ticks():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if "State:\tZ" in _status(pid):
            return  # ended, and nobody has collected it
    raise AssertionError(f"worker {pid} lives on")


def _status(pid):
    try:
        with open(f"/proc/{pid}/status") as file:
            return file.read()
    except FileNotFoundError:
        return "State:\tZ"


def _ticks():
    import time

    for _ in range(600):
        yield
        time.sleep(0.1)
