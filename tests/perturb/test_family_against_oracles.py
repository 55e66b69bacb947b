"""The whole family, trained, equals its NumPy oracles within 1e-12, and no longer when a rule of an oracle is wrong."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest

import samnesia
import samnesia.perturb.methods
from tests import mutations as single
from tests.family import driver
from tests.family.library import LIBRARY, run_of, train
from tests.family.mutations import MUTATIONS, mutate
from tests.family.table import ORACLES

TOLERANCE = 1e-12


def assert_equal(actual: np.ndarray, expected: np.ndarray) -> None:
    """Within 1e-12 of the norm of the weights, after every step."""
    error = np.linalg.norm(actual - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert error.max() < TOLERANCE, f"largest relative error {error.max():.1e}, by step {error}"


# Presets of which the oracle is one of tests/oracles.py, compared in test_against_oracles.py.
COMPARED_THERE = {"asam", "asam_after_norm", "asam_before_norm", "gsam", "obf", "random_perturbation", "unperturbed"}
# Oracles without a preset, and why.
NO_PRESET = {"eigen-sam": "needs an eigenvector of the Hessian, which no flow of passes computes"}


def test_every_oracle_is_compared():
    assert set(LIBRARY) == set(ORACLES) - set(NO_PRESET)


def test_every_preset_has_an_oracle():
    folder = Path(samnesia.perturb.methods.__file__).parent
    modules = [importlib.import_module(f"samnesia.perturb.methods.{path.stem}") for path in folder.glob("[!_]*.py")]
    presets = {name for module in modules for name, _ in inspect.getmembers(module, inspect.isfunction)}
    presets = {name for name in presets if not name.startswith("_")} & set(samnesia.__all__)
    compared = {row.build.func.__name__ for row in LIBRARY.values()}
    assert presets - COMPARED_THERE <= compared


@pytest.mark.parametrize("optimizer", single.OPTIMIZERS)
@pytest.mark.parametrize("name", LIBRARY)
def test_method_equals_its_oracle(name, optimizer):
    """Ten steps, two groups with their own learning rate and radius, momentum or adaptive moments, weight decay."""
    assert_equal(train(name, optimizer).trajectory, driver.train(ORACLES[name], run_of(name, optimizer)))


@pytest.mark.parametrize(("name", "mutation"), [(name, wrong) for name in LIBRARY for wrong in MUTATIONS[name]])
def test_comparison_fails_under_a_mutation_of_the_rule(name, mutation):
    wrong = driver.train(mutate(name, mutation), run_of(name, "sgd"))
    with pytest.raises(AssertionError, match="largest relative error"):
        assert_equal(train(name, "sgd").trajectory, wrong)
