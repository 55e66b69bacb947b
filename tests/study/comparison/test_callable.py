"""samnesia.compare: paired over seeds in anybody's training function, failures kept, no number that is not one."""

import json
import math
import random
import re
import subprocess
import sys
import tempfile
import threading
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import samnesia
from samnesia.perturb.errors import ConfigurationError
from samnesia.study import report
from samnesia.study.engine.run import read_results
from samnesia.study.judging.verdicts import judge

METHODS = {"sgd": samnesia.unperturbed, "sam": partial(samnesia.sam, rho=0.05)}


def train(make_method, seed, steps=5):
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    method = make_method(model, optimizer)
    x = torch.randn(16, 3)
    for _ in range(steps):
        for _ in method.passes():
            (model(x) - x[:, :1]).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return (model(x) - x[:, :1]).square().mean()


def made_up(scores):
    """Runs whose scores are given: a list of a method's runs, in the order of the seeds."""
    left = {method: list(values) for method, values in scores.items()}

    def method(name):
        def make(model, optimizer):
            model.name = name
            return samnesia.unperturbed(model, optimizer)

        return make

    def train_fn(make_method, seed):
        model = nn.Linear(1, 1)
        make_method(model, torch.optim.SGD(model.parameters(), lr=0.1))
        score = left[model.name].pop(0)
        if isinstance(score, Exception):
            raise score
        return score

    return train_fn, {name: method(name) for name in scores}


def test_runs_of_one_seed_are_paired_and_the_interval_is_the_paired_one():
    found = samnesia.compare(train, METHODS, range(4), higher_is_better=False)
    sgd, sam = ([found.scores[method][seed] for seed in range(4)] for method in METHODS)
    expected = stats.ttest_rel(sam, sgd).confidence_interval(0.95)
    assert found.difference("sam").low == pytest.approx(expected.low)
    assert found.difference("sam").high == pytest.approx(expected.high)
    assert found.mean("sgd").mean == pytest.approx(np.mean(sgd))
    assert len(set(sgd)) == 4


def test_two_methods_that_are_one_differ_by_nothing():
    """The weights and the data are drawn from the global generators: they are the same for both."""
    found = samnesia.compare(train, {"one": samnesia.unperturbed, "two": samnesia.unperturbed}, range(3))
    assert found.scores["one"] == found.scores["two"]
    assert found.difference("two").mean == 0.0
    assert found.helps("two") is None


def test_the_global_generators_are_left_as_they_were():
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    samnesia.compare(train, METHODS, [7])
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


SCORES = {"sgd": [80.0, 82.0, 81.0], "sam": [85.0, 86.5, 86.0], "asam": [80.1, 81.5, 81.2]}


@pytest.mark.parametrize(("higher_is_better", "verdict"), [(True, "supported"), (False, "contradicted")])
def test_the_table_tells_direction_and_verdict(higher_is_better, verdict):
    train_fn, methods = made_up(SCORES)
    found = samnesia.compare(train_fn, methods, range(3), higher_is_better=higher_is_better)
    lines = str(found).splitlines()
    assert lines[0].split() == ["method", "score", "to", "sgd", "verdict", "runs"]
    assert lines[1].split() == ["sgd", "81.00", "±2.48", "3", "of", "3"]
    assert lines[2].split() == ["sam", "85.83", "±1.90", "+4.83", "±0.72", verdict, "3", "of", "3"]
    assert lines[3].split()[3:6] == ["−0.07", "±0.94", "undecided"]
    assert ("higher is better" in str(found)) is higher_is_better
    assert "Verdicts are on “better than sgd” (Holm over 2 methods, error 5 % in all)." in " ".join(str(found).split())
    assert (found.helps("sam"), found.helps("asam")) == (higher_is_better, None)


def test_verdicts_are_those_of_paired_one_sided_tests_adjusted_by_holm():
    train_fn, methods = made_up(SCORES)
    found = samnesia.compare(train_fn, methods, range(3), confidence=0.5, smallest=0.5)
    gains = {name: np.subtract(SCORES[name], SCORES["sgd"]) for name in ("sam", "asam")}
    support, contradict = (
        [stats.ttest_1samp(gain, at, alternative=side).pvalue for gain in gains.values()]
        for at, side in ((0.0, "greater"), (0.5, "less"))
    )
    assert found.verdicts["sam"] == "supported" and 2 * support[0] <= 0.25
    assert found.verdicts["asam"] == "contradicted" and 2 * contradict[1] <= 0.25 < 2 * support[1]
    strict = samnesia.compare(*made_up(SCORES), range(3), confidence=0.99, smallest=0.5)
    assert strict.verdicts == {"sam": "undecided" if 2 * support[0] > 0.005 else "supported", "asam": "undecided"}
    short_of_it = samnesia.compare(*made_up(SCORES), range(3), smallest=9.0)
    assert short_of_it.verdicts["sam"] == "contradicted"


@pytest.mark.parametrize("asked", ["mean", "difference", "helps"])
def test_a_method_that_was_not_compared_is_told_in_a_sentence(asked):
    found = samnesia.compare(*made_up(SCORES), range(3))
    with pytest.raises(ConfigurationError, match="cannot find the method 'asm' .*; did you mean 'asam'?"):
        getattr(found, asked)("asm")


def test_whether_the_first_method_helps_is_no_question():
    found = samnesia.compare(*made_up(SCORES), range(3))
    with pytest.raises(
        ConfigurationError, match="cannot say whether 'sgd' helps, because it is what the other methods"
    ):
        found.helps("sgd")


def test_more_methods_make_verdicts_harder():
    """The same differences: told apart alone, and not as one of twenty."""
    pair = {"sgd": [80.0, 82.0, 81.0, 80.5], "sam": [80.9, 82.5, 81.9, 81.0]}
    assert samnesia.compare(*made_up(pair), range(4)).helps("sam") is True
    many = pair | {f"other{k}": [80.0 + k, 82.0, 81.0, 80.0] for k in range(19)}
    assert samnesia.compare(*made_up(many), range(4)).helps("sam") is None


@pytest.mark.parametrize("scores", [{"sgd": [1.0, 2.0], "sam": [5.0, 7.0]}, {"sgd": [1.0] * 4, "sam": [2.0] * 4}])
def test_without_an_interval_there_is_no_verdict(scores):
    found = samnesia.compare(*made_up(scores), range(len(scores["sgd"])))
    assert found.helps("sam") is None and found.difference("sam").low is None


def test_the_table_fits_eighty_columns():
    names = ["the base optimizer, as it was tuned for last year's paper", "sam" * 20, "asam"]
    scores = {name: [0.0123456 * (k + 1), 0.0134567, 0.0145678 + 0.01 * k, 0.01] for k, name in enumerate(names)}
    scores["fails"] = [RuntimeError("much too hot, " * 20)] * 4
    text = str(samnesia.compare(*made_up(scores), range(4)))
    assert max(map(len, text.splitlines())) <= 80
    for word in ("0.01818 ±0.01206", "asam", "undecided", "much too hot"):
        assert word in text
    large = {name: [1e5 * value for value in SCORES[name]] for name in SCORES}
    assert max(map(len, str(samnesia.compare(*made_up(large), range(3))).splitlines())) <= 80


def test_a_failed_run_keeps_its_reason_and_the_others_go_on():
    scores = {"sgd": [1.0, 2.0, 3.0], "sam": [RuntimeError("too hot"), math.nan, 4.0]}
    train_fn, methods = made_up(scores)
    lines = []
    found = samnesia.compare(train_fn, methods, range(3), progress=lines.append)
    assert found.scores == {"sgd": {0: 1.0, 1: 2.0, 2: 3.0}, "sam": {2: 4.0}}
    assert found.failures["sam", 0] == "RuntimeError: too hot"
    assert "cannot use the score nan, because a mean requires finite scores" in found.failures["sam", 1]
    assert "in train_fn" in found.tracebacks["sam", 0]
    assert found.difference("sam").mean == 1.0
    assert "sam, seed 0, failed: RuntimeError: too hot" in str(found)
    assert "1 of 3" in str(found)
    assert lines[:2] == ["sgd, seed 0: 1", "sam, seed 0, failed: RuntimeError: too hot"]


def test_when_every_run_fails_the_first_error_is_the_cause():
    error = ValueError("no data")
    train_fn, methods = made_up({"sgd": [error] * 2})
    with pytest.raises(ConfigurationError, match="every run failed .* sgd with seed 0: ValueError: no data") as refusal:
        samnesia.compare(train_fn, methods, range(2))
    assert refusal.value.__cause__ is error


@pytest.mark.parametrize(
    ("train_fn", "options", "sentence"),
    [
        (train, {"methods": {}}, r"cannot compare methods \(none\)"),
        (train, {"seeds": ()}, r"over seeds \(none\)"),
        (train, {"seeds": (1, 1)}, "over seeds 1, 1"),
        (train, {"confidence": 95}, "with confidence 95"),
        (train, {"smallest": -1.0}, "by a smallest difference of -1.0, because"),
        (lambda make_method, seed: 1.0, {}, "did not call make_method"),
        (lambda make_method, seed: train(make_method, seed) and None, {}, "cannot use the NoneType that"),
    ],
)
def test_what_a_user_can_get_wrong_is_one_sentence(train_fn, options, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        samnesia.compare(train_fn, **{"methods": METHODS, "seeds": range(2), **options})


def test_ctrl_c_ends_it():
    def interrupted(make_method, seed):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        samnesia.compare(interrupted, METHODS)


@pytest.fixture
def no_figures(monkeypatch):
    monkeypatch.setattr(report, "_write_files", lambda *files: None)


def counted(make_method, seed, log=None):
    """As `train`, and writes down that it was called."""
    with open(log, "a") as file:
        file.write(f"{seed}\n")
    return train(make_method, seed)


def test_with_a_directory_runs_are_kept_and_only_missing_ones_are_made(tmp_path, no_figures):
    log, out = tmp_path / "log", tmp_path / "out"
    function = partial(counted, log=str(log))
    first = samnesia.compare(function, METHODS, range(3), higher_is_better=False, out=out)
    light = samnesia.compare(train, METHODS, range(3), higher_is_better=False)
    assert first == light and first.verdicts == light.verdicts
    assert (out / "report.html").exists() and (out / "cells" / "sam-seed2" / "result.json").exists()
    summary = json.loads((out / "compare.json").read_text())
    assert [row["score"]["value"]["mean"] for row in summary["methods"]] == [first.mean(name).mean for name in METHODS]
    assert log.read_text().split() == ["0", "0", "1", "1", "2", "2"]
    more = samnesia.compare(function, METHODS, range(4), higher_is_better=False, out=str(out))
    assert log.read_text().split()[6:] == ["3", "3"]
    assert more.seeds == (0, 1, 2, 3) and more.scores["sam"][2] == first.scores["sam"][2]
    again = samnesia.compare(function, METHODS, [1], higher_is_better=False, out=out)
    assert again == more and len(log.read_text().split()) == 8


def test_verdicts_of_a_directory_are_those_of_its_report(tmp_path, no_figures):
    train_fn, methods = made_up(SCORES)
    found = samnesia.compare(train_fn, methods, range(3), smallest=0.5, confidence=0.9, out=tmp_path)
    results = read_results(tmp_path)
    judged = judge(results.design, results.table)
    assert [one.hypothesis.smallest for one in judged] == [0.5, 0.5]
    assert [one.verdict for one in judged] == list(found.verdicts.values()) == ["supported", "undecided"]
    light = samnesia.compare(*made_up(SCORES), range(3), smallest=0.5, confidence=0.9)
    assert light == found


def test_another_function_or_method_is_refused_where_there_are_runs(tmp_path, no_figures):
    options = {"higher_is_better": False, "out": tmp_path}
    samnesia.compare(partial(train, steps=5), METHODS, range(3), **options)
    with pytest.raises(ConfigurationError, match=re.escape("function.keywords.steps: 5 -> 6")):
        samnesia.compare(partial(train, steps=6), METHODS, range(3), **options)
    with pytest.raises(ConfigurationError, match=re.escape("make.keywords.rho: 0.05 -> 0.1")):
        samnesia.compare(
            partial(train, steps=5), {**METHODS, "sam": partial(samnesia.sam, rho=0.1)}, range(3), **options
        )


def test_failures_of_a_directory_keep_reason_and_traceback(tmp_path, no_figures):
    scores = {"sgd": [1.0, 2.0, 3.0], "sam": [RuntimeError("too hot"), math.nan, 4.0]}
    found = samnesia.compare(*made_up(scores), range(3), out=tmp_path)
    assert found.failures["sam", 0] == "RuntimeError: too hot"
    assert "in train_fn" in found.tracebacks["sam", 0]
    assert found.scores == {"sgd": {0: 1.0, 1: 2.0, 2: 3.0}, "sam": {2: 4.0}}
    with pytest.raises(ConfigurationError, match="every run failed .* sgd with seed 0: RuntimeError: too hot"):
        samnesia.compare(*made_up({"sgd": [RuntimeError("too hot")]}), range(1), out=tmp_path / "other")


def test_several_workers_find_what_one_does_and_leave_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = samnesia.compare(train, METHODS, range(2), workers=2)
    assert found == samnesia.compare(train, METHODS, range(2))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("tmp")]


def test_what_cannot_be_sent_to_another_process_is_said(tmp_path):
    lock = threading.Lock()

    def locked(make_method, seed):
        with lock:
            return train(make_method, seed)

    with pytest.raises(ConfigurationError, match="cannot send the work of sgd, seed 0 to another process, because"):
        samnesia.compare(locked, METHODS, range(2), workers=2)


def test_without_a_directory_nothing_heavy_is_imported():
    code = (
        "import sys, samnesia, torch\n"
        "def train_fn(make, seed):\n"
        "    model = torch.nn.Linear(1, 1)\n"
        "    make(model, torch.optim.SGD(model.parameters(), lr=0.1))\n"
        "    return float(model.weight)\n"
        "print(samnesia.compare(train_fn, {'a': samnesia.unperturbed, 'b': samnesia.unperturbed}))\n"
        "heavy = {'pandas', 'pyarrow', 'matplotlib', 'joblib', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("methods", "seeds", "sentence"),
    [
        ({"sgd": samnesia.unperturbed}, 5, r"is a number and not a list of them; use range\(5\)"),
        (["sgd"], range(3), "give a dictionary"),
        ({"sgd": "sgd"}, range(3), "is a name with a function of model and optimizer"),
    ],
)
def test_what_is_no_list_of_seeds_or_no_method_is_refused_before_anything_runs(methods, seeds, sentence):
    def train_fn(make_method, seed):
        pytest.fail("ran")

    with pytest.raises(ConfigurationError, match=sentence):
        samnesia.compare(train_fn, methods, seeds)
