"""The study of wrong labels: what it claims, that its settings are those that were chosen, and that its cells run."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.engine.plan import make_plan
from samnesia.study.named.cells.retraining import FIRST, LABELS, SECOND, Retrained
from samnesia.study.named.label_noise import ALPHAS, LONG, METHODS, NOISES, RADII, configuration, label_noise
from samnesia.study.training import Training
from samnesia.train.config import MLP, SAM, Digits, Table
from samnesia.train.loaded import load
from samnesia.train.log import RESULT, read_result
from samnesia.train.recipes import find
from tests.train import small

CHOSEN = Path(__file__).parents[3] / "benchmarks/results/study_radii.json"


def test_it_is_asked_as_the_papers_claim_it():
    design = label_noise().design
    assert design.seeds == tuple(range(10)) and design.factor("noise").levels == NOISES
    claims = {(one.treatment["method"], one.control["method"], one.where.get("noise")) for one in design.primary}
    assert claims == {
        *(("sam", other, noise) for noise in NOISES[1:] for other in ("sgd", "mixup")),
        *(("bootstrap-sam", other, noise) for noise in ("60", "80") for other in ("sam", "bootstrap")),
        ("asam", "sam", None),
    }
    for one in design.primary:
        assert (one.measure, one.direction) == ("last", "higher")
        assert one.smallest == (0.2 if one.treatment["method"] == "asam" else 1.0)
    assert design.primary[-1].over == {"noise": ("0", "20", "40", "60")}  # at 80 % Kwon et al. have ASAM below SAM
    assert {one.measure for one in design.exploratory} == {"last", "best"}


def test_the_small_form_keeps_the_ends_and_enough_seeds(tmp_path):
    design = label_noise(quick=True).design
    assert design.factor("noise").levels == ("0", "40", "80") and len(design.seeds) >= 5
    assert len(design.primary) == 7
    assert len(make_plan(label_noise(quick=True), tmp_path).jobs) == (3 * len(METHODS) - 3) * len(design.seeds)


def test_settings_are_those_of_the_highest_validation():
    chosen = {name: found["chosen"] for name, found in json.loads(CHOSEN.read_text()).items()}
    for noise in ("0", "40", "80"):
        assert ALPHAS[noise] == chosen[f"label-noise-{noise}-mixup"]["mixup"]
    for method, of in RADII.items():
        assert of["0"] == find(f"digits-{method}").method.rho
        assert of["40"] == find(f"digits-noisy-{method}").method.rho
        assert of["80"] == chosen[f"label-noise-80-{method}"]["rho"]
    for of in (ALPHAS, *RADII.values()):
        assert of["20"] == of["60"] == of["40"] and tuple(of) == NOISES


def test_arms_differ_in_what_they_are_named_after():
    recipe = find("digits-noisy-sam")
    sam, mixup, longer = (configuration(name, "40", 3) for name in ("sam", "mixup", LONG))
    same = {"recipe": "", **{name: getattr(recipe, name) for name in ("checkpoints", "logging", "evaluation")}}
    assert replace(sam, **same) == replace(recipe, **same, seed=3)
    assert mixup.data == Digits(flipped=0.4, mixing=mixup.data.mixing) and mixup.data.mixing.cutmix == 0.0
    assert longer.gradient_evaluations(10) == sam.gradient_evaluations(10)
    assert replace(configuration("bootstrap-sam", "40", 3)) == sam and configuration("bootstrap", "40", 3) == replace(
        longer, epochs=80
    )
    assert configuration("asam", "80", 0).method.rho == RADII["asam"]["80"]
    works = {name: type(label_noise().work({"method": name, "noise": "20"}, 0)) for name in METHODS}
    assert works == {name: Retrained if "bootstrap" in name else Training for name in METHODS}


def bootstrap(**changes):
    """Small and short."""
    config = configuration("bootstrap-sam", "40", 1)
    short = {"data": Digits(flipped=0.4, train=400), "model": MLP(hidden=(64,)), "batch_size": 40, "epochs": 4}
    return replace(config, **short | {"method": SAM(rho=0.1), "when": replace(config.when, start_epoch=0.0)} | changes)


def test_bootstrap_trains_on_what_its_first_run_predicts(tmp_path):
    work = Retrained(bootstrap())
    small.quietly(work.run, tmp_path)
    outcome = work.read(tmp_path)
    first, second = (read_result(tmp_path / name) for name in (FIRST, SECOND))
    labels, problem = np.load(tmp_path / LABELS), second.config.data.load(1)
    assert problem.train.labels.tolist() == _in_order(labels)
    wrong = 100.0 * np.mean(problem.train.labels.numpy() != problem.train.clean_labels.numpy())
    assert outcome.values["labels_wrong"] == pytest.approx(wrong) and 1.0 < wrong < 39.0  # of 40 as given
    by_first, (images, _) = load(tmp_path / FIRST).model, problem.train.batch(range(400))
    assert by_first(images).argmax(1).tolist() == problem.train.labels.tolist()
    assert first.config.data.relabel is None and first.config.seed == second.config.seed == 1
    assert "test_accuracy" not in first.curves
    assert outcome.values["last.test_accuracy"] == second.last["test_accuracy"]
    assert outcome.values["gradient_evaluations"] == 160 == 2 * second.gradient_evaluations
    assert outcome.seconds == first.seconds + second.seconds == outcome.values["seconds"]
    assert work.done(tmp_path) == 1.0
    with pytest.raises(ConfigurationError, match="it was run with other settings"):
        Retrained(bootstrap(batch_size=50)).read(tmp_path)
    before = (tmp_path / SECOND / RESULT).read_bytes()
    (tmp_path / RESULT).unlink()
    work.run(tmp_path)  # killed after its second run: nothing trains again
    assert (tmp_path / SECOND / RESULT).read_bytes() == before and work.read(tmp_path).values == outcome.values
    (tmp_path / RESULT).write_text("{")
    with pytest.raises(ConfigurationError, match="because it is damaged"):
        work.read(tmp_path)


def _in_order(labels):
    """The labels of the training images of seed 1, in the order of its training split."""
    from samnesia.data.digits import training_images

    numbers = training_images(1, 400)
    assert sorted(numbers) == np.flatnonzero(labels >= 0).tolist()
    return labels[numbers].tolist()


def test_bootstrap_is_of_digits():
    with pytest.raises(ConfigurationError, match="requires digits, and a checkpoint"):
        Retrained(bootstrap(data=Table()))
