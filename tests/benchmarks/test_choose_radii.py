"""How radii are chosen: the best mean score on validation, on tuning seeds alone, and nothing is run twice."""

import importlib.util
import sys
from pathlib import Path

import pytest

from samnesia.train.parts.methods import SAM
from samnesia.train.recipes import find

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "choose_radii.py"


@pytest.fixture
def script(monkeypatch):
    """The script with three radii, whose scores are made up: the middle one and the last are the best."""
    spec = importlib.util.spec_from_file_location("choose_radii", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "choose_radii", module)
    spec.loader.exec_module(module)
    module.ran = []

    def score(config):
        module.ran.append((config.recipe, config.method.rho, config.seed))
        return {0.1: 80.0, 0.2: 90.0, 0.4: 90.0}[config.method.rho] + config.seed % 10

    monkeypatch.setattr(module, "score", score)
    monkeypatch.setitem(module.GRIDS, "wine", {"sam": [SAM(rho=rho) for rho in (0.1, 0.2, 0.4)]})
    return module


def test_the_first_of_the_best_is_chosen_and_every_score_is_kept(script):
    found = script.choose("wine", "sam", {}, workers=1)
    assert found["chosen"] == {"rho": 0.2, "rho_min": None, "steps": 1}
    assert [(row["rho"], row["validation"]) for row in found["grid"]] == [(0.1, 82.0), (0.2, 92.0), (0.4, 92.0)]
    assert found["grid"][0]["per_seed"] == [80.0, 81.0, 82.0, 83.0, 84.0]
    assert {seed for _, _, seed in script.ran} == set(script.TUNING_SEEDS) and min(script.TUNING_SEEDS) >= 1000
    assert {name for name, _, _ in script.ran} == {"wine-sam"}


def test_what_was_run_before_is_not_run_again_unless_the_problem_has_changed(script):
    found = script.choose("wine", "sam", {}, workers=1)
    earlier = {"base": find("wine-sgd").to_json(), "seeds": list(script.TUNING_SEEDS), "methods": {"sam": found}}
    script.ran.clear()
    script.GRIDS["wine"]["sam"].append(SAM(rho=0.1, rho_min=0.05))
    again = script.choose("wine", "sam", earlier, workers=1)
    assert again["grid"][:3] == found["grid"] and again["chosen"] == found["chosen"]
    assert len(script.ran) == 5  # one new setting on five seeds
    for changed in ({"base": find("photographs-sgd").to_json()}, {"seeds": [1000]}):
        script.ran.clear()
        script.choose("wine", "sam", earlier | changed, workers=1)
        assert len(script.ran) == 20


def test_a_score_is_of_validation_alone(monkeypatch):
    spec = importlib.util.spec_from_file_location("choose_radii", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    from dataclasses import replace

    from samnesia.train.loop import train

    config, curves = replace(find("wine-sgd"), epochs=7), []
    monkeypatch.setattr(module, "train", lambda config: curves.append(train(config)) or curves[-1])
    value = module.score(config)
    assert not [name for name in curves[0].curves if name.startswith(("test", "train", "flipped"))]
    assert value == pytest.approx(sum(train(config).curves["validation_accuracy"][-5:]) / 5)
