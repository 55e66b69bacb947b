"""What a run shows: bars on a terminal, a line now and then elsewhere, and nothing before its first step."""

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.checkpoint import Position
from samnesia.train.config import CNN, Digits, Hardware, OwnLoss, RunConfig
from samnesia.train.loop import train
from samnesia.train.progress import Bars, Lines, judged_figure, progress

CONFIG = RunConfig("digits-sam", epochs=4, batch_size=80)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=120)


def row(epoch, accuracy=90.0):
    return {"epoch": epoch, "train_loss": 0.1, "test_accuracy": accuracy, "test_loss": 0.3}


def test_off_a_terminal_there_is_a_line_per_ten_seconds_at_most(clock):
    console = Console(file=io.StringIO(), width=80)
    lines = progress(console, clock)
    assert isinstance(lines, Lines)
    lines.begin(CONFIG, 10, Position(0))
    for epoch in range(4):
        clock.now += 4.0
        lines.step({"step": 10 * epoch + 9, "epoch": epoch, "loss": 0.25})
        clock.now += 1.0  # evaluation
        lines.epoch(row(epoch, 90.0 + epoch))
    lines.end()
    # 10 steps of 80 samples in the 4 s of an epoch; two epochs in 10 s
    assert console.file.getvalue().splitlines() == [
        "epoch 2/4: loss 0.25, test accuracy 91.0 %, 200 samples/s, 0:00:10 left",
        "epoch 4/4: loss 0.25, test accuracy 93.0 %, 200 samples/s, 0:00:00 left",
    ]


def test_a_resumed_run_counts_what_this_process_does(clock):
    console = Console(file=io.StringIO(), width=80)
    lines = Lines(console, clock)
    lines.begin(CONFIG, 10, Position(1, 5))
    clock.now += 20.0
    lines.step({"step": 19, "epoch": 1, "loss": None})
    lines.epoch(row(1))
    # 5 steps in 20 s, and 20 steps to go
    assert console.file.getvalue() == "epoch 2/4: test accuracy 90.0 %, 20 samples/s, 0:01:20 left\n"


def test_bars_of_the_run_and_of_the_epoch(clock):
    bars = Bars(terminal(), clock)
    bars.begin(CONFIG, 10, Position(0))
    assert bars._console.file.getvalue() == ""  # nothing before there is progress
    clock.now += 2.0
    bars.step({"step": 3, "epoch": 0, "loss": 1.5})
    run, epoch = bars._bars.tasks
    assert (run.completed, run.total, epoch.completed, epoch.total) == (4, 40, 4, 10)
    assert run.description == "digits-sam"
    assert run.fields["figures"] == "epoch 1/4, 0:00:18 left"
    assert epoch.fields["figures"] == "step 4/10, loss 1.5, 160 samples/s"
    bars.epoch(row(0))
    assert (run.completed, epoch.completed) == (10, 0)
    assert run.fields["figures"].startswith("epoch 2/4, test accuracy 90.0 %, ")
    bars.step({"step": 12, "epoch": 1, "loss": 1.25})
    assert (run.completed, epoch.completed) == (13, 3)
    bars.end()
    assert "digits-sam" in bars._console.file.getvalue()


def test_bars_of_a_run_whose_steps_are_not_logged(clock):
    bars = Bars(terminal(), clock)
    bars.begin(CONFIG, 10, Position(3))
    clock.now += 5.0
    bars.epoch(row(3))
    run, epoch = bars._bars.tasks
    assert (run.completed, epoch.completed) == (40, 10)
    assert run.fields["figures"] == "epoch 4/4, test accuracy 90.0 %, 0:00:00 left"
    bars.end()


def test_any_measure_and_split_is_shown():
    own = OwnLoss(f"{Path(__file__).resolve()}:absolute", f"{Path(__file__).resolve()}:measure", "error", "mm", False)
    config = dataclasses.replace(CONFIG, loss=own)
    assert judged_figure(config, {"validation_error": 0.12345, "train_error": 1.0}) == "validation error 0.1235 mm"
    assert judged_figure(config, {"test_error": None}) == "test error not finite"
    assert judged_figure(config, {"learning_rate": 0.1}) is None


def absolute(output, target):
    return (output - target).abs().mean()


def measure():
    raise AssertionError("a name and a unit are enough to show a figure")


def test_what_is_refused_is_refused_without_a_bar(monkeypatch):
    console = terminal()
    config = dataclasses.replace(CONFIG, hardware=Hardware(precision="16-mixed"))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigurationError):
        train(config, observers=[progress(console)])
    assert console.file.getvalue() == ""


def test_a_run_moves_its_bars_to_the_end():
    console = terminal()
    bars = progress(console)
    config = RunConfig("tiny", data=Digits(), model=CNN(channels=(8,), hidden=16), epochs=2, batch_size=40)
    train(config, observers=[bars])
    assert [task.completed for task in bars._bars.tasks] == [40, 20]
    assert "samples/s" in console.file.getvalue()
