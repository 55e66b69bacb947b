"""A training function as the work of a cell: what it is written down as, and what comes out of it."""

import json
from functools import partial

import pytest
import torch

import samnesia
from samnesia.perturb.errors import ConfigurationError
from samnesia.sources import import_file
from samnesia.study.call import Call, described, name_of


def train(make_method, seed):
    model = torch.nn.Linear(1, 1)
    make_method(model, torch.optim.SGD(model.parameters(), lr=0.1))
    return model.weight


CODE = """
WIDTH = 3

def helper():
    return WIDTH

def train(make_method, seed):
    return helper()

def other():
    pass
"""


def function_of(tmp_path, code, name):
    path = tmp_path / f"{name}.py"
    path.write_text(code)
    return import_file(path).train


def test_a_function_is_its_name_and_a_digest_of_what_it_depends_on(tmp_path):
    first = described(function_of(tmp_path, CODE, "one"))
    assert first.startswith("one:train@")

    def digest(old, new, name):
        return described(function_of(tmp_path, CODE.replace(old, new), name)).partition("@")[2]

    assert digest("WIDTH = 3", "WIDTH = 4", "two") != first.partition("@")[2]
    assert digest("    pass", "    return 1", "three") == first.partition("@")[2]


def test_a_partial_is_its_function_and_its_arguments():
    found = described(partial(samnesia.sam, rho=0.05, groups=[{"a": 1}], when=len))
    assert found["partial"].startswith("sam:sam@")
    assert found["keywords"]["rho"] == 0.05 and found["keywords"]["groups"] == [{"a": 1}]
    assert json.loads(json.dumps(found)) == found
    assert described(partial(partial(train, None), object()))["arguments"] == [None, "a builtins.object"]
    assert name_of(partial(partial(train, None), 1)) == "train"


def test_lambdas_and_functions_inside_functions_are_their_own_lines():
    def inner(make_method, seed):
        return 1.0

    def same(make_method, seed):
        return 1.0

    one, other = lambda make_method, seed: 1.0, lambda make_method, seed: 2.0  # noqa: E731
    assert described(inner).partition("@")[2]
    assert described(inner) != described(same)  # their names differ
    assert described(one) == described(other)  # of one line; what stands on it decides
    assert described(lambda make_method, seed: 3.0) != described(one)


def test_what_comes_out_of_it_is_read_back(tmp_path):
    call = Call(train, samnesia.unperturbed, "sgd", 3)
    call.run(tmp_path)
    outcome = call.read(tmp_path)
    assert outcome.values == {"score": call.score()}
    assert outcome.seconds > 0.0 and outcome.environment["torch"]
    assert call.settings["seed"] == 3 and call.settings["method"] == "sgd"
    assert Call(train, samnesia.unperturbed, "sgd", 4).score() != call.score()


@pytest.mark.parametrize("content", ["", "[]", '{"score": null}', '{"score": 1.0}'])
def test_a_damaged_result_is_named_with_the_remedy(tmp_path, content):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(ConfigurationError, match="does not hold the score of a run.*; remove the directory and run"):
        Call(train, samnesia.unperturbed, "sgd", 3).read(tmp_path)


def test_a_score_of_a_function_that_has_changed_since_is_refused(tmp_path):
    Call(train, partial(samnesia.sam, rho=0.1), "sam", 3).run(tmp_path)
    with pytest.raises(ConfigurationError, match="run with other settings .*rho"):
        Call(train, partial(samnesia.sam, rho=0.2), "sam", 3).read(tmp_path)
