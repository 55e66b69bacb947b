"""A run that was stopped or killed ends as one that was not: weights, average, server, clients and log, bit by bit."""

import json

import pytest

from samnesia import cli
from samnesia.federated.parts import FedAdam, FedAvgM, ServerSWA
from samnesia.federated.run import federate
from samnesia.perturb.errors import ConfigurationError, RunStopped
from samnesia.train.log import read_result
from tests.federated.fed import config, last, quietly, ran, resumed, same

WAYS = {
    "averages and momentum": {"server": FedAvgM(), "swa": ServerSWA(start=0, cycle=2)},
    "adam": {"server": FedAdam(lr=0.05)},
    "statistics of clients": {"statistics": "local", "participants": 6},
}


def without_times(out):
    lines = [json.loads(line) for line in (out / "rounds.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def assert_same(one, other):
    first, second = last(one), last(other)
    assert first.position == second.position
    assert same(first.model, second.model)
    assert (first.average is None) == (second.average is None)
    assert first.average is None or same(first.average, second.average)
    assert without_times(one) == without_times(other)
    assert (one / "metrics.jsonl").read_text() == (other / "metrics.jsonl").read_text()
    assert read_result(one).curves == read_result(other).curves
    assert read_result(one).gradient_evaluations == read_result(other).gradient_evaluations


@pytest.mark.parametrize("way", [next(iter(WAYS)), *(pytest.param(way, marks=pytest.mark.slow) for way in [*WAYS][1:])])
def test_a_stopped_run_goes_on_as_if_never(way, tmp_path):
    federated = config(**WAYS[way])
    ran(federated, tmp_path / "unbroken")
    left = iter(range(1))
    with pytest.raises(RunStopped, match="stopped after round 2 of 4; go on with: samnesia resume"):
        quietly(federate, federated, tmp_path / "run", stop=lambda: next(left, None) is None)
    resumed(tmp_path / "run")
    assert_same(tmp_path / "run", tmp_path / "unbroken")


def test_a_killed_run_goes_on_from_the_last_round_that_was_kept(tmp_path):
    """Killed inside a round: lines that were written since are written again, once."""
    federated = config(**WAYS["statistics of clients"])
    ran(federated, tmp_path / "unbroken")

    class Killed(BaseException):
        pass

    class Kill:
        def begin(self, *_):
            pass

        def round(self, line):
            if line["round"] == 2:
                raise Killed

        def evaluated(self, row):
            pass

        def end(self):
            pass

    with pytest.raises(Killed):
        quietly(federate, federated, tmp_path / "run", watching=[Kill()])
    assert len(without_times(tmp_path / "run")) == 3
    resumed(tmp_path / "run")
    assert_same(tmp_path / "run", tmp_path / "unbroken")


def test_a_finished_run_is_returned_as_it_is(tmp_path):
    result = ran(config(rounds=1), tmp_path / "run")
    assert resumed(tmp_path / "run") == result


def test_another_configuration_is_refused(tmp_path):
    left = iter(())
    with pytest.raises(RunStopped):
        quietly(federate, config(), tmp_path / "run", stop=lambda: next(left, None) is None)
    plain = json.loads((tmp_path / "run/federated.json").read_text())
    plain["training"]["optimizer"]["lr"] = 0.7
    (tmp_path / "run/federated.json").write_text(json.dumps(plain))
    with pytest.raises(ConfigurationError, match="optimizer.lr: 0.1 -> 0.7"):
        resumed(tmp_path / "run")


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(
        ConfigurationError, match="cannot write a federated run to .*, because the directory is not empty"
    ):
        ran(config(rounds=1), tmp_path)


# -- the command line --------------------------------------------------------------------------------------------------

WORDS = ("digits-fedasam-swa", "--rounds", "4", "--swa.start", "0", "--swa.cycle", "2", "--seed", "3")


@pytest.fixture
def samnesia(capsys):
    """Run the command line in this process; returns (exit code, standard output, standard error)."""

    def run(*words):
        code = cli.main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_from_the_command_line(samnesia, tmp_path):
    code, out, _ = samnesia("federate", *WORDS, "--method.rho", "0.2", "--out", tmp_path / "run")
    assert code == 0
    assert "of the averaged weights" in out
    written = json.loads((tmp_path / "run/federated.json").read_text())
    assert (written["training"]["seed"], written["training"]["method"]["rho"], written["rounds"]) == (3, 0.2, 4)
    assert samnesia("resume", tmp_path / "run")[0] == 0  # it has finished
    code, _, err = samnesia("measure", tmp_path / "run", "--what", "calibration", "--average", "--samples", "50")
    assert code == 0, err


@pytest.mark.slow
def test_a_federated_run_is_resumed_as_any_run(samnesia, tmp_path):
    assert samnesia("federate", *WORDS, "--checkpoints.every-epochs", "2", "--out", tmp_path / "run")[0] == 0
    (tmp_path / "run/result.json").unlink()
    for path in (tmp_path / "run/checkpoints").glob("epoch0004*"):
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    before = (tmp_path / "run/metrics.jsonl").read_text()
    assert samnesia("resume", tmp_path / "run")[0] == 0
    assert (tmp_path / "run/metrics.jsonl").read_text() == before


@pytest.mark.parametrize("words, sentence", [
    (("digits-fedasa",), "did you mean 'digits-fedasam'?"),
    (("digits-fedsam", "--clients", "5", "--out", "x"), "cannot give 5 clients one class each of 10"),
    (("digits-fedsam", "--rho", "3", "--out", "x"), "did you mean '--training.method.rho'?"),
    (("digits-fedsam", "--server.kind", "FedAdm", "--out", "x"), "did you mean 'FedAdam'?"),
    (("--out", "x"), "name it first: samnesia federate RECIPE --out DIR"),
    (("digits-fedsam",), "--out is missing"),
])  # fmt: skip
def test_mistakes_are_one_sentence(samnesia, words, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = samnesia("federate", *words)
    assert code == 2
    assert sentence in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_recipes_are_listed(samnesia):
    code, out, _ = samnesia("federate", "--list")
    assert code == 0
    assert "digits-fedasam-swa" in out and "caldarola-cifar10-alpha0.05-fedsam" in out
    assert "unverified" in samnesia("federate", "--long")[1]


def test_without_flower_a_sentence_says_how_to_get_it(samnesia, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "flwr.app", None)
    monkeypatch.setitem(sys.modules, "flwr", None)
    code, _, err = samnesia("federate", *WORDS, "--out", tmp_path / "run")
    assert code == 2 and "pip install samnesia[federated]" in err
