"""Every example runs, and learns."""

import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs an example as a script; in this process, because a new one would import torch and more again."""
    for variable in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(variable, "")  # Fabric sets them, and they would outlive the test

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture
def fresh_accelerate():
    """Accelerate keeps its configuration for the whole process."""
    yield
    from accelerate.state import AcceleratorState, GradientState, PartialState

    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


def test_plain_loop(run):
    assert float(re.search(r"test accuracy ([\d.]+) %", run("plain_loop.py"))[1]) > 90


@pytest.mark.usefixtures("fresh_accelerate")
@pytest.mark.parametrize(("name", "share"), [("closure.py", 0.6), ("fabric.py", 0.4), ("accelerate_loop.py", 0.4)])
def test_losses_fall(run, name, share):
    losses = [float(loss) for loss in re.findall(r"training loss ([\d.]+)", run(name))]
    assert len(losses) == 3
    assert losses[-1] < share * losses[0]


def test_single_file(run):
    accuracy = re.search(r"seed 0: sgd ([\d.]+) %, sam ([\d.]+) %", run("single_file.py", "--epochs", "5"))
    assert min(float(value) for value in accuracy.groups()) > 30


def test_all_examples_are_tested():
    text = Path(__file__).read_text()
    assert [path.name for path in EXAMPLES.glob("*.py") if f'"{path.name}"' not in text] == []
