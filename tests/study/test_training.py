"""Training as the work of a cell: what it reads, what it goes on with, what it refuses; killed workers and studies."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pandas as pd
import pytest

from samnesia.perturb.errors import ConfigurationError, RunStopped
from samnesia.study.design import Design, Factor, Measure, Study
from samnesia.study.engine.jobs import Job
from samnesia.study.engine.run import read_results, run_study
from samnesia.study.engine.store import Finished, find_cell
from samnesia.study.training import Training, notes
from samnesia.train import loop
from samnesia.train.config import EMA, SAM, SWA, Checkpoints, Unperturbed
from samnesia.train.log import read_result
from tests.study.tiny_study import without_time
from tests.train import small

METHODS = {"sgd": Unperturbed(), "sam": SAM(rho=0.05)}


def study(**changes):
    """SGD and SAM on clouds of points, with a checkpoint after every epoch."""
    design = Design(
        "clouds", "Is it as good?", (Factor("method", tuple(METHODS)),),
        (Measure("last", "last.test_accuracy", "test accuracy, last epoch", "%", True),), (0, 1, 2),
    )  # fmt: skip

    def work(levels, seed):
        return Training(small.config(method=METHODS[levels["method"]], seed=seed, **changes))

    return Study(design, work)


def do(directory, **changes):
    """Train into a directory, and return the work and its outcome."""
    work = Training(small.config(method=SAM(rho=0.05), **changes))
    Job(directory, {"method": "sam"}, work.config.seed, work).do()
    return work, find_cell(directory)


@pytest.mark.parametrize("average", [EMA(decay=0.5, start_epoch=1.0), SWA()])
def test_a_run_with_an_average_counts_by_it(tmp_path, average):
    _, found = do(tmp_path / "cell", average=average)
    run, values, curves = read_result(tmp_path / "cell"), found.outcome.values, found.outcome.curves
    assert not any(name.startswith("average_") for name in curves)
    assert curves["test_accuracy"] == run.curves["average_test_accuracy"]
    assert curves["test_loss"] == run.curves["average_test_loss"] != run.curves["test_loss"]
    assert curves["learning_rate"] == run.curves["learning_rate"]
    assert values["last.score"] == values["last.test_accuracy"] == run.last["average_test_accuracy"]
    chosen = [-1.0 if value is None else value for value in run.curves["average_validation_accuracy"]]
    assert values["best.epoch"] == chosen.index(max(chosen))
    assert values["best.test_accuracy"] == curves["test_accuracy"][chosen.index(max(chosen))]
    assert run.score("last") == run.last["test_accuracy"]  # the run's own files say both


def test_values_are_all_numbers_of_the_result(tmp_path):
    work, found = do(tmp_path / "cell")
    assert isinstance(found, Finished)
    assert found.settings == json.loads(json.dumps(work.config.to_json()))
    run, values = read_result(tmp_path / "cell"), found.outcome.values
    for point, row in (("last", run.last), ("best", run.best)):
        assert {f"{point}.{name}": value for name, value in row.items()}.items() <= values.items()
        assert values[f"{point}.score"] == row["test_accuracy"]
    assert values["gradient_evaluations"] == 2 * values["steps"] == 2 * values["perturbed_steps"] == 30
    assert values["report.perturbation_norm"] == run.report["perturbation_norm"] > 0
    assert (values["seconds"], values["weight_norm"]) == (run.seconds, run.weight_norm)
    assert found.outcome.curves == run.curves
    assert found.outcome.environment == run.environment
    assert work.done(tmp_path / "cell") == 1.0


def test_notes_say_what_a_reader_has_to_know(tmp_path):
    do(tmp_path / "cell")
    run = read_result(tmp_path / "cell")
    whole = replace(run, collapsed=None, skipped_steps=0, perturbed_steps=3)
    assert notes(whole) == []
    assert notes(replace(whole, collapsed="it collapsed.")) == ["it collapsed."]
    assert notes(replace(whole, skipped_steps=2)) == ["2 of 17 steps were skipped, not being finite."]
    assert "no step was perturbed" in notes(replace(whole, perturbed_steps=0))[0]
    lost = replace(whole, last=whole.last | {"test_accuracy": None})
    assert notes(lost) == ["its test_accuracy is not finite at the last epoch: left out."]


def test_a_study_from_before_a_field_of_configurations_came_goes_on(tmp_path, monkeypatch):
    """As one whose runs were made when nothing could be recorded."""
    run_study(study(epochs=1), tmp_path, progress=False)
    for path in tmp_path.glob("cells/*/outcome.json"):
        content = json.loads(path.read_text())
        del content["settings"]["record"]
        path.write_text(json.dumps(content))
    monkeypatch.setattr(Training, "run", None)  # nothing is left to do
    assert (run_study(study(epochs=1), tmp_path, progress=False).table["status"] == "finished").all()
    with pytest.raises(ConfigurationError, match=r"settings of its cell .* have changed since it was run \(epochs"):
        run_study(study(epochs=2), tmp_path, progress=False)


def test_a_result_of_other_settings_is_refused(tmp_path):
    work, _ = do(tmp_path / "cell")
    with pytest.raises(ConfigurationError, match=r"other settings \(method.rho: 0.05 -> 0.1; epochs: 3 -> 4\)"):
        Training(replace(work.config, epochs=4, method=SAM(rho=0.1))).read(tmp_path / "cell")
    (tmp_path / "cell" / "result.json").write_text("{")
    with pytest.raises(ConfigurationError, match="remove the directory .* and run the same command again"):
        work.read(tmp_path / "cell")


def test_a_run_that_was_stopped_goes_on_to_the_same_result(tmp_path):
    work, whole = do(tmp_path / "whole")
    with pytest.raises(RunStopped):
        loop.train(work.config, tmp_path / "cut", stop=small.After(7))
    assert work.done(tmp_path / "cut") == pytest.approx(1 / 3)
    before = (tmp_path / "cut" / "metrics.jsonl").read_text()
    _, cut = do(tmp_path / "cut")
    assert cut.outcome.curves == whole.outcome.curves
    assert (tmp_path / "cut" / "metrics.jsonl").read_text().startswith(before)


@pytest.mark.parametrize("left", ["of other settings", "without a checkpoint", "a half written configuration"])
def test_what_cannot_go_on_is_removed(tmp_path, left):
    cell = tmp_path / "cell"
    if left == "of other settings":
        with pytest.raises(RunStopped):
            loop.train(small.config(epochs=5), cell, stop=small.After(7))
    else:
        cell.mkdir()
        name = "config.json" if left == "without a checkpoint" else ".config.json.123"
        (cell / name).write_text(json.dumps(small.config().to_json())[:40])
    _, found = do(cell)
    assert isinstance(found, Finished)
    assert len(found.outcome.curves["epoch"]) == 3


def test_what_is_somebody_elses_is_left(tmp_path):
    (tmp_path / "cell").mkdir()
    (tmp_path / "cell" / "thesis.tex").touch()
    _, found = do(tmp_path / "cell")
    assert "the directory is not empty and nothing in it may be overwritten" in found.reason
    assert (tmp_path / "cell" / "thesis.tex").exists()


SCRIPT = """
import sys
from samnesia.study.engine.run import run_study
from tests.study.test_training import study

if __name__ == "__main__":
    run_study(study(epochs=30), sys.argv[1], workers=2)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("victim", ["worker", "study"])
def test_a_study_that_loses_processes_ends_with_the_table_of_an_undisturbed_one(tmp_path, victim):
    """SIGKILL of a process in the middle of a run: of a worker, or of the study itself, which is then repeated."""
    script = tmp_path / "study_of_clouds.py"
    script.write_text(SCRIPT)
    call = [sys.executable, script, tmp_path / "cut"]
    options = {"env": os.environ | {"PYTHONPATH": os.getcwd()}, "stdout": subprocess.DEVNULL}
    process = subprocess.Popen(call, **options)
    log = tmp_path / "cut" / "cells" / "sgd-seed0" / "metrics.jsonl"
    for _ in range(20_000):
        if log.exists() and log.read_bytes().count(b"\n") >= 3:
            break
        assert process.poll() is None
        time.sleep(0.01)
    assert not (log.parent / "result.json").exists()
    if victim == "study":
        process.kill()
        process.wait()
        process = subprocess.Popen(call, **options)
    else:
        os.kill(_holder(log.parent / ".lock"), signal.SIGKILL)
    assert process.wait() == 0
    whole = run_study(study(epochs=30), tmp_path / "whole", workers=1, progress=False).table
    pd.testing.assert_frame_equal(without_time(read_results(tmp_path / "cut").table), without_time(whole))
    assert len(log.read_text().splitlines()) == 30


def _holder(path):
    """The process that holds the lock of a run."""
    inode = f":{path.stat().st_ino} "
    with open("/proc/locks") as file:
        return next(int(line.split()[4]) for line in file if inode in line)


def test_checkpoints_are_no_part_of_what_a_cell_is_judged_by(tmp_path):
    """Runs of other checkpoints are other settings: said with the difference, not mixed."""
    run_study(study(), tmp_path, workers=1, progress=False)
    with pytest.raises(ConfigurationError, match="checkpoints.last: 3 -> 1"):
        run_study(study(checkpoints=Checkpoints(last=1)), tmp_path, workers=1, progress=False)
