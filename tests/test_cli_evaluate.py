"""``samnesia evaluate``: what a user types, what is printed and written, and what is refused."""

import hashlib
import json
import os
import re
import shutil
from contextlib import nullcontext
from dataclasses import replace
from unittest.mock import patch

import pytest
from safetensors.torch import load_file, save_file

from samnesia import cli
from samnesia.evaluate.suites import SUITES
from samnesia.examine import run as engine
from samnesia.examine.watch import Lines
from samnesia.measure import figures
from samnesia.train.config import OwnData, OwnLoss, OwnModel
from samnesia.train.loaded import SavedRun
from tests.examine.small import two_runs
from tests.train.small import clouds, config, smooth_net, trained

QUICK = ("--suite", "clean", "--device", "cpu")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """SGD and SAM with one seed each, and SAM with two more."""
    directory = tmp_path_factory.mktemp("runs")
    found = two_runs(directory)
    for seed in (1, 2):
        found.append(directory / f"sam-{seed}")
        trained(replace(SavedRun(found[1]).config, seed=seed), found[-1])
    return found


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    monkeypatch.setattr(figures, "DPI", 40)


@pytest.fixture
def samnesia(capsys):
    """Run the command line in this process; returns (exit code, standard output, standard error).

    Figures take longer than all else.
    """

    def run(*words, draw=False):
        with nullcontext() if draw else patch.object(engine, "_drawn", lambda *_: {}):
            code = cli.main(["evaluate", *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def content(out):
    return json.loads((out / "evaluate.json").read_text())


def test_runs_beside_each_other_and_seeds_averaged(samnesia, runs, tmp_path):
    out = tmp_path / "out"
    code, text, err = samnesia(*runs, "--out", out, *QUICK, draw=True)
    assert (code, err) == (0, "")
    assert "clean of sgd, epoch 3: evaluated in" in text and "(4 of 4)" in text and "3 seeds" in text
    assert text.splitlines()[-1] == f"written: {out / 'evaluate.json'}, {out / 'report.html'}"
    found = content(out)
    assert [(group["name"], group["seeds"]) for group in found["groups"]] == [("sgd", [0]), ("sam", [0, 1, 2])]
    accuracies = [one["values"]["accuracy"]["value"] for one in found["measures"] if one["group"] == "sam"]
    score = found["scores"]["clean"]["sam"]["accuracy"]
    assert score["per_run"] == [100 * value for value in accuracies] and score["n"] == 3
    assert score["mean"] == pytest.approx(100 * sum(accuracies) / 3) and score["low"] < score["mean"] < score["high"]
    assert found["command"].startswith("samnesia") and found["environment"]["torch"]
    assert all((out / name).exists() for name in found["figures"]) and len(found["figures"]) == 4
    page = (out / "report.html").read_text()
    assert page.count("<svg") == 2 and "SAM" in page and "var(--method-1)" in page and "#0072b2" in page  # in :root
    assert page.count("#0072b2") == 1 and not re.search(r"(src|href)=\"(?!#|data:)", page)


def test_all_suites_that_apply_are_the_default(samnesia, runs, tmp_path):
    code, text, err = samnesia(runs[1], "--out", tmp_path / "out", "--device", "cpu", "--noisy-weights.draws", "1")
    assert (code, err) == (0, "")
    found = content(tmp_path / "out")
    assert {one["what"] for one in found["measures"]} >= {"clean", "noisy-weights"}
    (left,) = [one for one in found["left_out"] if one["what"] == "corruptions"]
    assert left["run"] == "sam" and f"corruptions left out of all, because {left['why']}" in text
    assert left["why"] in (tmp_path / "out" / "report.html").read_text()
    code, _, err = samnesia(runs[1], "--out", tmp_path / "other", "--suite", "corruptions")
    assert code == 2 and f"cannot evaluate corruptions, because {left['why']}" in err


def test_a_single_run_is_evaluated_into_its_directory_once(samnesia, runs, tmp_path):
    run = shutil.copytree(runs[1], tmp_path / "run", symlinks=True)
    code, text, _ = samnesia(run, *QUICK)
    assert code == 0 and (run / "evaluated" / "report.html").exists()
    code, again, _ = samnesia(run, *QUICK)
    assert code == 0 and again.splitlines()[0] == "clean of run, epoch 3: there already (1 of 1)"
    assert again.splitlines()[1:] == text.splitlines()[1:]
    code, again, _ = samnesia(run, *QUICK, "--samples", "10")
    assert "evaluated in" in again and content(run / "evaluated")["measures"][0]["looked_at"]["samples"] == 10
    assert cli.main(["resume", str(run)]) == 0, "it is still a run that has finished"


def test_one_run_that_gives_no_numbers_ends_with_1_and_the_others_are_evaluated(samnesia, runs, tmp_path):
    code, text, err = samnesia(without_numbers(runs, tmp_path)[0], runs[1], "--out", tmp_path / "out", *QUICK)
    assert (code, err) == (1, "")
    assert "not evaluated: nan, epoch 3: cannot evaluate" in text and "numbers that are not finite" in text
    assert [one["run"] for one in content(tmp_path / "out")["measures"]] == ["sam"]


def test_help_names_every_suite(samnesia):
    code, text, _ = samnesia("--help")
    assert code == 0 and "timm:NAME" in text
    for name in SUITES:
        assert f"{name} options" in text


def without_numbers(runs, tmp_path):
    """A run whose weights are not finite, with manifests that agree."""
    copied = shutil.copytree(runs[0], tmp_path / "nan", symlinks=True)
    checkpoint = copied / "checkpoints" / "epoch0003-step000000"
    weights = {name: value.fill_(float("nan")) if value.is_floating_point() else value
               for name, value in load_file(checkpoint / "model.safetensors").items()}  # fmt: skip
    save_file(weights, checkpoint / "model.safetensors")
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    entry = {**manifest["files"]["model.safetensors"], **described(checkpoint / "model.safetensors")}
    manifest["files"]["model.safetensors"] = entry
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))
    return [copied]


def described(path):
    """As a manifest has it."""
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def damaged(runs, tmp_path):
    copied = shutil.copytree(runs[0], tmp_path / "damaged", symlinks=True)
    weights = copied / "checkpoints" / "epoch0003-step000000" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    return [copied]


def incomplete(runs, tmp_path):
    copied = shutil.copytree(runs[0], tmp_path / "incomplete", symlinks=True)
    shutil.rmtree(copied / "checkpoints")
    return [copied]


def regression(runs, tmp_path):
    data, loss = OwnData(numbers), OwnLoss(mse)
    trained(config(data=data, loss=loss, model=OwnModel(smooth_net)), tmp_path / "numbers")
    return [tmp_path / "numbers", "--suite", "clean"]


def numbers(seed):
    """Targets that are no classes."""
    problem = clouds(seed)
    splits = [type(one)(one.inputs, one.inputs.flatten(1)[:, :1]) for one in (problem.train, problem.validation)]
    return replace(problem, train=splits[0], validation=splits[1], test=splits[1], num_outputs=1)


def mse(output, target):
    """Mean squared error."""
    return (output - target).square().mean()


def full(runs, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    return [runs[0], "--out", tmp_path / "full"]


REFUSED = [
    (lambda runs, tmp: [tmp / "none"], "cannot find .*none, because there is no such file or directory"),
    (lambda runs, tmp: [tmp], "cannot find a run in .*, because there is no config.json"),
    (incomplete, "it has no checkpoint"),
    (damaged, "model.safetensors has .* bytes where .* name another one|train the run again"),
    (without_numbers, "puts out numbers that are not finite"),
    (regression, "cannot evaluate clean, because the targets are no classes"),
    (lambda runs, tmp: [runs[0], "--suite", "claen"], "cannot evaluate 'claen'.*did you mean 'clean'"),
    (lambda runs, tmp: runs, "cannot evaluate several runs without --out"),
    (lambda runs, tmp: [runs[0], runs[0], "--out", tmp / "o"], "twice"),
    (lambda runs, tmp: [runs[0], "--average"], "cannot take the average .* the run has none"),
    (lambda runs, tmp: [runs[0], "--samples", "0"], "cannot look at runs with samples 0"),
    (lambda runs, tmp: [runs[0], "--split", "dev"], "dev"),
    (lambda runs, tmp: [runs[0], "--device", "toaster"], "cannot use the device 'toaster'"),
    (lambda runs, tmp: [runs[0], "--clean.bins", "0"], "0 bins"),
    (lambda runs, tmp: [runs[0], "--claen.bins", "3"], "cannot set --claen.bins"),
    (lambda runs, tmp: [], "cannot look at no run"),
    (full, "holds other things"),
    (lambda runs, tmp: [runs[0], "--out", runs[1] / "config.json"], "it is a file"),
    (lambda runs, tmp: ["timm:resnet18"], "without data"),
    (lambda runs, tmp: ["timm:resnet18", "--data.kind", "Digits"], "--out"),
    (lambda runs, tmp: [runs[0], "--data", tmp / "none"], "cannot find the data .*none"),
    (lambda runs, tmp: [runs[0], "--data.kind", "Digitz"], "did you mean 'Digits'"),
    (lambda runs, tmp: [runs[0], "--weights", tmp / "x.safetensors"], "for 0 models of timm"),
]


@pytest.mark.parametrize(("words", "expected"), REFUSED, ids=[expected[:30] for _, expected in REFUSED])
def test_what_is_wrong_is_said_in_one_sentence(samnesia, runs, tmp_path, words, expected):
    before = {path: os.listdir(path) for path in runs}
    code, _, err = samnesia(*words(runs, tmp_path))
    assert code == 2
    assert re.search(expected, err), err
    assert err.startswith("samnesia: ") and err.count("\n") == 1 and "Traceback" not in err
    assert {path: os.listdir(path) for path in runs} == before


def test_an_interruption_loses_nothing_that_was_evaluated(samnesia, runs, tmp_path, monkeypatch):
    out, done = tmp_path / "out", []

    def interrupted(watch, seconds):
        done.append(seconds)
        if len(done) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Lines, "measured", interrupted)
        code, _, err = samnesia(*runs, "--out", out, *QUICK)
    assert code == 130 and f"what has been evaluated is kept in {out}, and the same command goes on from there" in err
    kept = {path: path.stat().st_mtime_ns for path in (out / "parts").glob("*.json")}
    assert len(kept) == 2 and not (out / "report.html").exists()
    code, text, _ = samnesia(*runs, "--out", out, *QUICK)
    assert code == 0 and text.count("there already") == 2 and len(content(out)["measures"]) == 4
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
