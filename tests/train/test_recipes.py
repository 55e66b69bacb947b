"""Recipes: what there is, and that runs of one problem differ in their method alone."""

import dataclasses
import json
from pathlib import Path

import pytest

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.parts.methods import METHODS, method_name
from samnesia.train.recipes import RECIPES, find

PROBLEMS = ("digits", "digits-noisy")


def test_every_problem_has_every_method():
    assert sorted(RECIPES) == sorted(f"{problem}-{method}" for problem in PROBLEMS for method in METHODS)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_filed_under_its_name_and_method(name):
    config = find(name)
    assert config.recipe == name
    assert name.endswith(f"-{method_name(config.method)}")
    assert (RECIPES[name].__doc__ or "").strip()


@pytest.mark.parametrize("problem", PROBLEMS)
def test_recipes_of_a_problem_differ_in_their_method_alone(problem):
    base = find(f"{problem}-sgd")
    for method in METHODS:
        config = find(f"{problem}-{method}")
        assert dataclasses.replace(config, method=base.method, recipe=base.recipe) == base


@pytest.mark.parametrize("problem", PROBLEMS)
def test_radii_are_those_chosen_on_validation(problem):
    """By benchmarks/choose_radii.py, on seeds that no reported figure uses."""
    chosen = json.loads((Path(__file__).parents[2] / "benchmarks/results/digits_radii.json").read_text())[problem]
    assert min(chosen["seeds"]) >= 1000
    for name in sorted(set(METHODS) - {"sgd"}):
        found = chosen["methods"][name]
        assert dataclasses.asdict(find(f"{problem}-{name}").method) == found["chosen"]
        best = max(found["grid"], key=lambda row: row["validation"])
        assert found["chosen"].items() <= best.items()


def test_noise_is_forty_percent():
    assert find("digits-noisy-sgd").data.flipped == 0.4
    assert find("digits-sgd").data.flipped == 0.0


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("digits-noisy-sma", "did you mean 'digits-noisy-sam'"),
        ("digit-sgd", "did you mean 'digits-sgd'"),
        ("imagenet", "known are digits-sgd"),
    ],
)
def test_unknown_recipe_names_the_nearest(name, advice):
    with pytest.raises(ConfigurationError, match=f"cannot train recipe '{name}', because .*; {advice}"):
        find(name)
