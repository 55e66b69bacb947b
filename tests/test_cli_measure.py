"""``samnesia measure``: what a user types, what is printed and written, and what is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from samnesia import cli
from samnesia.examine.parts import PARTS, USUAL
from tests.examine.small import two_runs

QUICK = ("--samples", "40", "--batch-size", "16", "--device", "cpu")
CURVATURE = (
    *("--curvature.k", "1", "--curvature.products", "10", "--curvature.steps", "4", "--curvature.vectors", "1"),
    *("--curvature.trace-vectors", "2"),
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return two_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def samnesia(capsys):
    """Run the command line in this process; returns (exit code, standard output, standard error)."""

    def run(*words):
        code = cli.main(["measure", *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_two_runs_beside_each_other(samnesia, runs, tmp_path):
    out = tmp_path / "out"
    code, text, err = samnesia(*runs, "--what", "curvature", "calibration", "--out", out, *QUICK, *CURVATURE)
    assert (code, err) == (0, "")
    assert "calibration of sgd, epoch 3: measured in" in text and "(4 of 4)" in text
    for line in ("λmax", "trace", "train ECE", "test NLL (nats)", "train margin, flipped"):
        assert line in text
    content = json.loads((out / "measure.json").read_text())
    assert list(content["runs"]) == ["sgd", "sam"]
    assert [(one["what"], one["run"]) for one in content["measures"]] == [
        ("calibration", "sgd"), ("calibration", "sam"), ("curvature", "sgd"), ("curvature", "sam"),
    ]  # fmt: skip
    assert content["measures"][2]["options"]["k"] == 1
    assert all((out / name).exists() for name in content["figures"])
    value = content["measures"][2]["values"]["hessian"]["eigenvalues"]["largest"][0]["value"]
    assert f"{value:.4g}" in text
    assert text.splitlines()[-1] == f"written: {out / 'measure.json'}, {out / 'figures'}"
    assert ("* not converged to the tolerance" in text) == (" *" in text)
    assert "fewer than" not in text and "the last epoch" not in text


def test_a_single_run_is_measured_into_its_directory(samnesia, runs, tmp_path):
    run = shutil.copytree(runs[1], tmp_path / "run", symlinks=True)
    code, text, _ = samnesia(run / "checkpoints" / "best", "--what", "calibration", *QUICK)
    assert code == 2  # it was told not to keep the best
    code, text, _ = samnesia(run, "--what", "calibration", *QUICK)
    assert code == 0 and "epoch 3" in text
    assert (run / "measured" / "figures" / "calibration-train.png").exists()
    code, again, _ = samnesia(run, "--what", "calibration", *QUICK)
    assert code == 0 and again.splitlines()[1:] == text.splitlines()[1:]
    assert again.splitlines()[0] == "calibration of run, epoch 3: there already (1 of 1)"
    assert cli.main(["resume", str(run)]) == 0, "it is still a run that has finished"


def test_one_run_that_is_damaged_ends_with_1_and_the_others_are_measured(samnesia, runs, tmp_path):
    out = tmp_path / "out"
    words = ("--what", "calibration", "--samples", "999", "--device", "cpu")
    code, text, err = samnesia(damaged(runs[0], tmp_path), runs[1], "--out", out, "--along", *words)
    assert (code, err) == (1, "")
    assert "not measured: damaged, epoch 3: cannot use the checkpoint" in text
    assert "calibration of damaged, epoch 3: cannot be measured (4 of 8)" in text
    assert "the table shows the last epoch; the others are in measure.json and the figures" in text
    assert "damaged, sam: all 53 train samples were looked at, because there are fewer than 999" in text
    assert len(json.loads((out / "measure.json").read_text())["measures"]) == 7


def test_what_the_stored_result_lacks_is_said_each_time(samnesia, runs, tmp_path):
    words = (*runs, "--what", "forgetting", "--forgetting.m", "40", "--out", tmp_path / "out", *QUICK)
    for _ in range(2):
        code, text, err = samnesia(*words)
        assert (code, err) == (0, "") and "sam: forgetting has no figures on other training samples" in text


def test_labels_and_checkpoints_of_one_run(samnesia, runs, tmp_path):
    checkpoints = [runs[1] / "checkpoints" / f"epoch000{epoch}-step000000" for epoch in (1, 3)]
    words = ("--what", "calibration", "--out", tmp_path / "out", *QUICK)
    _, text, _ = samnesia(*checkpoints, *words)
    assert "sam epoch 1" in text and "sam epoch 3" in text
    _, text, _ = samnesia(*checkpoints, *words, "--labels", "early", "[late]")
    assert "early" in text and "[late]" in text


def test_help_names_every_part(samnesia):
    code, text, _ = samnesia("--help")
    assert code == 0
    for word in ("--curvature.k", "--sharpness.rho", "--landscape.points", "--forgetting.m", "--calibration.bins"):
        assert word in text
    told = " ".join(text.replace("│", " ").split())
    assert f"What to measure: {', '.join(USUAL)}; where it is named, subspace." in told
    assert {*PARTS} == {*USUAL, "subspace"}


def damaged(run, tmp_path):
    copied = shutil.copytree(run, tmp_path / "damaged", symlinks=True)
    weights = copied / "checkpoints" / "epoch0003-step000000" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    return copied


def study(run, tmp_path):
    shutil.copytree(run, tmp_path / "study" / "cells" / "sgd-seed0", symlinks=True)
    return tmp_path / "study"


REFUSED = [
    (lambda runs, tmp: [study(runs[0], tmp)], "it is a study, whose 1 runs are in .*such as .*cells/sgd-seed0"),
    (lambda runs, tmp: [tmp / "none"], "cannot find .*none, because there is no such file or directory"),
    (lambda runs, tmp: [tmp], "cannot find a run in .*, because there is no config.json"),
    (lambda runs, tmp: [damaged(runs[0], tmp)], "model.safetensors has .* bytes where .* name another one"),
    (lambda runs, tmp: [runs[0], "--what", "curvture"], "cannot measure 'curvture'.*did you mean 'curvature'"),
    (lambda runs, tmp: [runs[0], "--what"], "cannot measure nothing"),
    (lambda runs, tmp: [*runs], "cannot measure several runs without --out"),
    (lambda runs, tmp: [runs[0], runs[0], "--out", tmp / "o"], "twice"),
    (lambda runs, tmp: [*runs, "--out", tmp / "o", "--labels", "x"], "as many --labels as runs"),
    (lambda runs, tmp: [runs[0], "--average"], "cannot take the average .* the run has none"),
    (lambda runs, tmp: [runs[0], "--samples", "0"], "cannot look at runs with samples 0"),
    (lambda runs, tmp: [runs[0], "--split", "dev"], "dev"),
    (lambda runs, tmp: [runs[0], "--device", "toaster"], "cannot use the device 'toaster'"),
    (lambda runs, tmp: [runs[0], "--sharpness.rho", "-1"], "a radius is a positive number"),
    (lambda runs, tmp: [runs[0], "--curvature.kk", "3"], "cannot set --curvature.kk"),
    (lambda runs, tmp: [], "cannot look at no run"),
    (lambda runs, tmp: [runs[0], "--out", runs[1]], "holds other things"),
    (lambda runs, tmp: [runs[0], "--out", runs[1] / "config.json"], "it is a file"),
]


@pytest.mark.parametrize(("words", "expected"), REFUSED, ids=[expected[:30] for _, expected in REFUSED])
def test_what_is_wrong_is_said_in_one_sentence(samnesia, runs, tmp_path, words, expected):
    import re

    before = {path: os.listdir(path) for path in runs}
    code, _, err = samnesia(*words(runs, tmp_path))
    assert code == 2
    assert re.search(expected, err), err
    assert err.startswith("samnesia: ") and err.count("\n") == 1 and "Traceback" not in err
    assert {path: os.listdir(path) for path in runs} == before


def test_several_processes_are_refused(samnesia, runs, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(cli, "first_to_tell", lambda what: True)
    code, _, err = samnesia(runs[0])
    assert code == 2 and "cannot measure in several processes" in err


def test_a_kill_loses_nothing_that_was_measured(runs, tmp_path):
    """SIGTERM in the middle, in a process of its own; the same command goes on."""
    out = tmp_path / "out"
    words = ["measure", *map(str, runs), "--along", "--what", "calibration", "--out", str(out), *QUICK]
    process = subprocess.Popen(
        [sys.executable, "-m", "samnesia.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while len(list((out / "parts").glob("*.json"))) < 2 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    kept = len(list((out / "parts").glob("*.json")))
    assert kept >= 2
    if process.returncode:  # it may have been done already
        assert process.returncode == 130 and "the same command goes on from there" in err
    assert cli.main(words) == 0
    assert len(json.loads((out / "measure.json").read_text())["measures"]) == 8
