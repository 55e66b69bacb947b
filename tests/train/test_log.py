"""What a run leaves on disk."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from samnesia.perturb.errors import ConfigurationError
from samnesia.train import log
from samnesia.train.config import CNN, Digits, Perturbed, RunConfig
from samnesia.train.loop import train
from samnesia.train.observers import Observer
from samnesia.train.parts.methods import SAM

SMALL = RunConfig(
    "digits-noisy-sam",
    data=Digits(flipped=0.4),
    model=CNN(channels=(16,), hidden=32),
    method=SAM(0.1),
    when=Perturbed(start_epoch=0.5),
    epochs=2,
    batch_size=40,
    seed=2,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "deep" / "run"
    return out, train(SMALL, out)


def test_run_directory_holds_what_is_documented(run):
    out, result = run
    assert sorted(os.listdir(out)) == [
        ".lock", "checkpoints", "config.json", "environment.json", "metrics.jsonl", "result.json", "steps.jsonl"
    ]  # fmt: skip
    assert RunConfig.from_json(json.loads((out / "config.json").read_text())) == SMALL
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert rows == [{name: curve[i] for name, curve in result.curves.items()} for i in range(2)]


def test_result_reads_back_as_it_was(run):
    out, result = run
    assert log.read_result(out) == result


def test_result_has_the_documented_keys(run):
    out, _ = run
    plain = json.loads((out / "result.json").read_text())
    for key in plain:
        assert f'"{key}"' in log.__doc__
    for key in (*plain["curves"], *plain["report"]):
        assert f'"{key}"' in log.__doc__
    assert plain["schema"] == log.SCHEMA
    assert (plain["recipe"], plain["method"], plain["seed"]) == ("digits-noisy-sam", "sam", 2)


def test_result_names_versions_hardware_and_commit(run):
    environment = run[1].environment
    assert set(environment) == {
        "python", "torch", "numpy", "samnesia", "hardware", "threads", "commit", "started", "device", "precision",
        "processes",
    }  # fmt: skip
    assert environment["hardware"].endswith("CPUs")
    assert environment["threads"] == 1
    assert environment["commit"] is None or len(environment["commit"].removesuffix("-dirty")) == 40


def test_directory_that_is_not_empty_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(
        ConfigurationError, match=r"^cannot write a run to .*, because the directory is not empty .*; choose"
    ):
        train(SMALL, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_file_in_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(ConfigurationError, match="because it is a file"):
        train(SMALL, tmp_path / "run")


def test_empty_directory_is_taken(tmp_path):
    train(dataclasses.replace(SMALL, epochs=1), tmp_path)
    assert (tmp_path / "result.json").exists()


def test_a_run_that_ends_early_has_curves_and_no_result(tmp_path):
    class Stop(Exception):
        pass

    class Impatient(Observer):
        def epoch(self, row):
            if row["epoch"] == 1:
                raise Stop

    with pytest.raises(Stop):
        train(dataclasses.replace(SMALL, epochs=4), tmp_path / "run", observers=[Impatient()])
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2
    assert not (tmp_path / "run" / "result.json").exists()


def test_writing_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "result.json"
    log.write_json(path, {"a": 1})
    with pytest.raises(ValueError):
        log.write_json(path, {"a": float("nan")})
    with pytest.raises(TypeError):
        log.write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["result.json"]


def test_process_that_dies_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    log.write_json(path, {"a": 1})

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        log.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["result.json"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "because no run has finished there"),
        ("{", "because it is no valid JSON"),
        ('{"schema": 0}', "of schema 0, because this version writes and reads schema 2"),
        ('{"schema": 2}', "without 'recipe', because it is damaged"),
        ("[]", "because it is damaged"),
    ],
)
def test_results_that_cannot_be_read_are_refused(content, sentence, tmp_path):
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    with pytest.raises(ConfigurationError, match=sentence):
        log.read_result(tmp_path)


def test_unknown_fields_of_a_configuration_are_refused(run, tmp_path):
    plain = json.loads((run[0] / "result.json").read_text())
    plain["config"]["epoch"] = 3
    (tmp_path / "result.json").write_text(json.dumps(plain))
    with pytest.raises(ConfigurationError, match="did you mean 'epochs'"):
        log.read_result(tmp_path)


HOLDER = """
import os, sys, time
from pathlib import Path
from samnesia.train.log import locked
with locked(Path(sys.argv[1]), what="run"):
    if os.fork() == 0:
        print("forked", flush=True)
    time.sleep(600)
"""


def test_the_lock_ends_with_a_killed_process_though_its_loaders_live_on(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "forked\n"
        (loader,) = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
        with pytest.raises(ConfigurationError, match="another process is at work"), log.locked(tmp_path, what="run"):
            pass
        holder.kill()
        holder.wait()
        try:
            with log.locked(tmp_path, what="run"):
                pass
            assert Path(f"/proc/{loader}").exists()
        finally:
            os.kill(int(loader), signal.SIGKILL)
