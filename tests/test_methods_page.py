"""The methods page names every preset and nothing else, and shows what is counted."""

import inspect
import re
import runpy
from pathlib import Path

import pytest

import samnesia
from benchmarks.stepcost.family import FAMILY
from samnesia import PerturbedGradient
from samnesia.train.parts.methods import METHODS

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "methods.md").read_text()
PRESETS = {
    name
    for name in samnesia.__all__
    if inspect.isfunction(getattr(samnesia, name))
    and getattr(samnesia, name).__module__.startswith("samnesia.perturb.methods.")
}


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(ROOT / "scripts" / "update_methods.py"))


def test_presets_are_what_they_are_taken_for():
    assert {"sam", "lookbehind", "mesa"} <= PRESETS and not {"every", "convert_rho", "two_step"} & PRESETS
    for name in PRESETS:
        signature = inspect.signature(getattr(samnesia, name))
        assert list(signature.parameters)[:2] == ["model", "optimizer"]
        assert signature.return_annotation == PerturbedGradient.__name__


def test_every_preset_is_named_and_every_name_is_one():
    named = set(re.findall(r"`([a-z][a-z_0-9]*)`", PAGE)) - {"samnesia"}
    assert named == PRESETS
    for name in re.findall(r"samnesia\.(\w+)", PAGE):
        assert hasattr(samnesia, name), name


def test_every_preset_has_a_row_of_costs():
    assert {row.preset for row in FAMILY} == PRESETS


def test_every_preset_has_its_name_in_the_trainer(script):
    assert script["called"]().keys() == PRESETS
    rows = dict(re.findall(r"^\| `(\w+)[^`]*` \| ((?:`--method [\w-]+`(?:, )?)+) \|", PAGE, re.MULTILINE))
    assert rows == script["called"]()
    assert {name for cell in rows.values() for name in re.findall(r"--method ([\w-]+)", cell)} == set(METHODS)
    assert (rows["late_sam"], rows["unperturbed"]) == ("`--method sam-late`", "`--method sgd`")


def test_the_costs_are_those_that_are_counted(script):
    assert script["with_section"](PAGE) == PAGE, "run scripts/update_methods.py"
    assert PAGE.count("\n| `sam` | `--method sam` | 2 | 0 | 1 | 0 | 1 |\n") == 1, (
        "two gradients, and the weights set aside"
    )
