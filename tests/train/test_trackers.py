"""TensorBoard and Weights & Biases: every point once, also after a run was killed or stopped and went on."""

import dataclasses
import json
import signal
import subprocess
import sys
import time

import pytest

from samnesia.extras import MissingExtraError
from samnesia.perturb.errors import ConfigurationError, RunStopped
from samnesia.train.config import CNN, Checkpoints, Digits, Logging, RunConfig
from samnesia.train.loop import resume, train
from samnesia.train.parts.methods import SAM

TINY = RunConfig(
    "tiny",
    data=Digits(),
    model=CNN(channels=(8,), hidden=16),
    method=SAM(0.1),
    epochs=3,
    batch_size=100,
    checkpoints=Checkpoints(every_steps=3, every_epochs=None),
    logging=Logging(every_steps=1),
)
STEPS = 24
BOARD = dataclasses.replace(TINY, logging=Logging(every_steps=1, tensorboard=True))


def after(steps):
    """A request to stop after so many steps."""
    left = iter(range(steps - 1))
    return lambda: next(left, None) is None


def points(directory):
    """The points of every figure that TensorBoard shows, as (number, value)."""
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    events = EventAccumulator(str(directory), size_guidance={SCALARS: 0})
    events.Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_complete(run):
    """What TensorBoard shows is what is in the journals, each point once."""
    for name, journal, axis in (("steps", "steps.jsonl", "step"), ("epochs", "metrics.jsonl", "epoch")):
        shown, written = points(run / "tensorboard" / name), lines(run / journal)
        figures = {key for line in written for key, value in line.items() if value is not None} - {"step", "epoch"}
        assert shown.keys() == {figure for figure in figures if any(line[figure] != [] for line in written)}
        for figure, found in shown.items():
            expected = [(line[axis], line[figure]) for line in written if line[figure] not in (None, [])]
            expected = [(at, value[0] if isinstance(value, list) else value) for at, value in expected]
            assert [at for at, _ in found] == [at for at, _ in expected], figure
            assert [value for _, value in found] == pytest.approx([float(value) for _, value in expected], rel=1e-6)


def test_tensorboard_shows_every_step_and_epoch(tmp_path):
    train(BOARD, tmp_path / "run")
    assert len(points(tmp_path / "run" / "tensorboard" / "steps")["loss"]) == STEPS
    assert [at for at, _ in points(tmp_path / "run" / "tensorboard" / "epochs")["test_accuracy"]] == [0, 1, 2]
    assert_complete(tmp_path / "run")


@pytest.mark.parametrize("stopped", [1, 8, 13, 16])  # after the first step, at the ends of epochs, within one
def test_tensorboard_shows_a_stopped_run_without_gaps_or_repetitions(tmp_path, stopped):
    with pytest.raises(RunStopped):
        train(BOARD, tmp_path / "run", stop=after(stopped))
    resume(tmp_path / "run")
    assert_complete(tmp_path / "run")


DYING = """
import json, os, signal, sys
from pathlib import Path
from samnesia.train.config import RunConfig
from samnesia.train.loop import train
from samnesia.train.observers import Observer

class Dying(Observer):
    def step(self, line):
        if line["step"] == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

train(RunConfig.from_json(json.loads(sys.argv[2])), Path(sys.argv[1]), observers=[Dying()])
"""


def test_tensorboard_shows_a_killed_run_without_gaps_or_repetitions(tmp_path):
    """Killed by SIGKILL between checkpoints: what was written since the last one is written again."""
    run = tmp_path / "run"
    words = [sys.executable, "-c", DYING, str(run), json.dumps(BOARD.to_json()), "5"]  # the checkpoint is after 3 steps
    assert subprocess.run(words, timeout=120).returncode == -signal.SIGKILL
    resume(run)
    assert_complete(run)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    return dataclasses.replace(TINY, logging=Logging(every_steps=1, wandb="rooms"))


def test_wandb_takes_up_the_same_run(offline, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(RunStopped):
        train(offline, run, stop=after(13))
    name = json.loads((run / "wandb" / "samnesia.json").read_text())["id"]
    resume(run)
    assert json.loads((run / "wandb" / "samnesia.json").read_text())["id"] == name
    parts = sorted((run / "wandb").glob("offline-run-*"))
    assert len(parts) == 2
    sent = until(STEPS, lambda: [row for part in parts for row in history(part / f"run-{name}.wandb")])
    assert [row["_step"] for row in sent] == list(range(STEPS))
    assert [row["loss"] for row in sent] == [line["loss"] for line in lines(run / "steps.jsonl")]
    evaluated = {row["epoch"]: row["test_accuracy"] for row in sent if "test_accuracy" in row}
    assert evaluated == {row["epoch"]: row["test_accuracy"] for row in lines(run / "metrics.jsonl")}


def until(count, rows):
    """Its own process writes them down, on a busy machine some time after the run has ended."""
    deadline = time.monotonic() + 60
    while len(found := rows()) < count and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def history(path):
    """What Weights & Biases has written down to send."""
    from wandb.proto.wandb_internal_pb2 import Record

    for data in records(path.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            yield {(item.key or "/".join(item.nested_key)): json.loads(item.value_json) for item in items}


def records(content):
    """The records of a log in LevelDB's format: blocks of 32 KiB, of pieces with checksum, length and place."""
    at, record, full_or_last = 7, b"", (1, 4)  # behind the file's own header
    while at < len(content):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, place = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if place in full_or_last:
            yield record
            record = b""


def test_trackers_do_not_change_the_run(offline, tmp_path):
    both = dataclasses.replace(offline, logging=dataclasses.replace(offline.logging, tensorboard=True))
    train(both, tmp_path / "tracked")
    train(TINY, tmp_path / "plain")
    for file in ("metrics.jsonl", "steps.jsonl"):
        assert (tmp_path / "tracked" / file).read_bytes() == (tmp_path / "plain" / file).read_bytes()


def test_wandb_that_refuses_is_a_sentence(offline, tmp_path, monkeypatch):
    import wandb

    def refuse(**_):
        raise wandb.errors.UsageError("No API key\nconfigured.")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(ConfigurationError, match="to rooms on Weights & Biases, because it refused: No API key config"):
        train(offline, tmp_path / "run")


@pytest.mark.parametrize(
    ("package", "logging"), [("tensorboard", {"tensorboard": True}), ("wandb", {"wandb": "rooms"})]
)
def test_a_missing_package_is_said_before_anything_is_done(tmp_path, monkeypatch, package, logging):
    monkeypatch.setitem(sys.modules, package, None)
    config = dataclasses.replace(TINY, logging=Logging(**logging))
    with pytest.raises(MissingExtraError, match=rf"without {package}, .*pip install samnesia\[tracking\]"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_trackers_need_a_directory():
    with pytest.raises(ConfigurationError, match="without a directory of the run"):
        train(BOARD)
