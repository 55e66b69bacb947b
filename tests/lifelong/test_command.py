"""The command line of sequences of tasks."""

import json
import re

import pytest

from samnesia import cli
from samnesia.lifelong.config import EWC, read
from samnesia.lifelong.figures import draw
from samnesia.train.config import Balanced, Lookbehind


@pytest.fixture
def samnesia(capsys):
    """Run the command line in this process; returns (exit code, standard output, standard error)."""

    def run(*words):
        code = cli.main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_sequence_is_learned_shown_and_kept(samnesia, tmp_path):
    words = ("--tasks.count", "2", "--epochs", "2", "--method", "lookbehind", "--method.rho", "0.01", "--seed", "4",
             "--memory.kind", "Balanced", "--memory.size", "8", "--ewc.kind", "EWC", "--ewc.strength", "3",
             "--no-known", "--training.batch-size", "40", "--out", tmp_path / "out")  # fmt: skip
    code, out, err = samnesia("lifelong", "split-digits-sgd", *words)
    assert code == 0, err
    config = read(tmp_path / "out")
    assert config.memory == Balanced(8) and config.ewc == EWC(3.0) and not config.known and config.seed == 4
    assert config.training.method == Lookbehind(rho=0.01) and config.training.batch_size == 40
    content = json.loads((tmp_path / "out" / "result.json").read_text())
    matrix = content["lifelong"]["matrix"]["test"]
    shown = [list(map(float, re.findall(r"\d+\.\d", line))) for line in out.splitlines()
             if re.match(r" +task \d ", line)]  # fmt: skip
    assert shown == [[round(value, 1) for value in row] for row in matrix]
    assert f"average accuracy {content['last']['test_accuracy']:.1f} %" in out
    assert f"forgetting {content['last']['test_forgetting']:.1f} points" in out
    assert "task 1/2, test accuracy" in out and "task 2/2, test accuracy" in out
    assert {"accuracy.png", "accuracy.svg"} <= {path.name for path in (tmp_path / "out").iterdir()}
    code, again, _ = samnesia("resume", tmp_path / "out")
    assert code == 0 and "has finished: there is nothing left to do" in again
    assert again.splitlines()[1:] == out.splitlines()[2:]


def test_recipes_are_listed(samnesia):
    code, out, _ = samnesia("lifelong")
    assert code == 0 and "split-digits-lookbehind-asam-ewc" in out and "split-cifar100-sam" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("split-digits-sm", "--out", "x"), "there is no such recipe of a sequence of tasks; did you mean"),
        (("--out", "x"), "cannot learn before the recipe is known"),
        (("split-digits-sgd",), "because --out is missing"),
        (("split-digits-sgd", "--tasks.count", "3", "--out", "x"), "cannot divide 10 classes into 3 tasks"),
        (("split-digits-sgd", "--memory.kind", "Reservoi", "--out", "x"), "did you mean 'Reservoir'?"),
        (("split-digits-sgd", "--epoch", "3", "--out", "x"), "has no such option"),
    ],
)
def test_mistakes_are_sentences(samnesia, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    code, _, err = samnesia("lifelong", *words)
    assert code == 2 and sentence in err and err.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_a_matrix_of_many_tasks_or_of_one_row_is_drawn(tmp_path):
    many = [[50.0 + i - j for j in range(15)] for i in range(15)]
    for name, matrix in (("many", many), ("row", [[90.0, 80.0]])):
        assert all(path.stat().st_size > 1000 for path in draw(matrix, tmp_path / name))
