"""samnesia.compare: paired over seeds in anybody's training function, failures kept, no number that is not one."""

import math
import random
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import samnesia
from samnesia.perturb.errors import ConfigurationError

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


@pytest.mark.parametrize(("higher_is_better", "verdict"), [(True, "better"), (False, "worse")])
def test_the_table_tells_direction_and_verdict(higher_is_better, verdict):
    train_fn, methods = made_up({"sgd": [80.0, 82.0, 81.0], "sam": [85.0, 86.5, 86.0], "asam": [80.1, 81.5, 81.2]})
    found = samnesia.compare(train_fn, methods, range(3), higher_is_better=higher_is_better)
    lines = str(found).splitlines()
    assert lines[0].split() == ["method", "score", "to", "sgd", "verdict", "runs"]
    assert lines[1].startswith("sgd     81.00 (78.52 to 83.48) ")
    assert "+4.83 (4.12 to 5.55)" in lines[2] and verdict in lines[2]
    assert "not told apart" in lines[3]
    assert ("higher is better" in lines[4]) is higher_is_better
    assert found.helps("sam") is higher_is_better


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
