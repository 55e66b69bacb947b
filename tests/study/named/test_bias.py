"""The bias bench: what it claims, and what is measured of marks and digits."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.engine.plan import make_plan
from samnesia.study.measured import Measured
from samnesia.study.named.bias import FULL, LONG, MEASURES, METHODS, PLAIN, QUICK, bias
from samnesia.study.named.cells.marks import EFFECTS, NULLS, OnMarks
from samnesia.study.named.forgetting import farther
from samnesia.train.config import ASAM, SAM, Digits
from samnesia.train.loaded import load
from samnesia.train.recipes import find
from tests.train import small

LEVELS = {"method": "sam", "rho": "0.2", "m": "80", "right": "80"}


def test_it_is_asked_as_the_paper_claims_it():
    for quick in (False, True):
        design = bias(quick=quick).design
        claims = [(one.measure, one.smallest, one.direction) for one in design.primary]
        assert claims == [("followed", 1.0, "lower")] * (3 if quick else 4) + [("lean", 0.0, "lower")] * 2
        pairs = [(one.treatment, one.control) for one in design.primary]
        assert [(one["method"], other["method"]) for one, other in pairs if "method" in one] == [
            ("sam", "sgd"), ("obf-1", "sam"), *([] if quick else [("obf-0", "sam")]), ("sam", "sgd"), ("obf-1", "sam")
        ]  # fmt: skip
        assert pairs[-3] == ({"m": design.factor("m").levels[0]}, {"m": "80"})
        assert all(one.over == {} and {*one.where} <= {"m", "method"} for one in design.primary)  # all radii count
        assert len(design.seeds) >= 5 and not {*design.seeds} & {*design.tuning_seeds}
    assert {"0.05", "0.4"} < {*QUICK.radii} < {*FULL.radii}  # the radii that tuning has for SAM and OBF


def test_settings_are_the_recipes_but_for_what_is_varied(tmp_path):
    config, recipe = FULL.configuration(LEVELS | {"m": "20"}, 3), find("digits-shortcut-sam")
    for name in ("model", "loss", "optimizer", "schedule", "when", "epochs", "batch_size"):
        assert getattr(config, name) == getattr(recipe, name)
    assert (config.method, config.micro_batch, config.data, config.seed) == (SAM(rho=0.2), 20, Digits(marks=0.8), 3)
    assert FULL.configuration(LEVELS | {"method": "asam", "rho": "0.05"}, 0).method == ASAM(rho=0.25)
    assert METHODS["random"](0.4).rho == farther(0.4)
    longer = FULL.configuration(LEVELS | {"method": LONG}, 0)
    assert longer.gradient_evaluations(10) == FULL.configuration(LEVELS, 0).gradient_evaluations(10)
    plan = make_plan(QUICK.study(), tmp_path)
    assert len(plan.jobs) == 8 * 2 * (2 + 3 * 3 + 3)


def measured(tmp_path, method, kept=()):
    """The outcome of a short cell, and its weights."""
    config = QUICK.configuration(LEVELS | {"method": method}, 0)
    config = replace(config, epochs=5, checkpoints=replace(config.checkpoints, keep_epochs=kept))
    work = Measured(config, OnMarks(perturbations=2))
    small.quietly(work.run, tmp_path)
    return work.read(tmp_path), load(tmp_path / "training")


def test_a_cell_has_all_that_is_measured_and_the_lean_is_that_of_moved_weights(tmp_path):
    outcome, loaded = measured(tmp_path, "sam")
    for measure in MEASURES:
        assert math.isfinite(outcome.values[measure.value]), measure
    moved, images = copy.deepcopy(loaded.model), loaded.problem.train
    leans, rises = [], []
    test = loaded.problem.test
    away = test.second_labels[0].classes != test.labels
    marks, digits = test.second_labels[0].classes[away], test.labels[away]

    @torch.no_grad()
    def lean(model):
        x = model.eval()(test.inputs[away])
        return float((x.gather(1, marks[:, None]) - x.gather(1, digits[:, None])).mean())

    @torch.no_grad()
    def loss_of_wrong(model):
        wrong = images.second_labels[0].classes != images.labels
        return float(cross_entropy(model.eval()(images.inputs[wrong]), images.labels[wrong]))

    for number in (0, 5):  # of ten batches, in the order of the data
        rows = slice(80 * number, 80 * number + 80)
        model = copy.deepcopy(moved).train()
        cross_entropy(model(images.inputs[rows]), images.labels[rows]).backward()
        length = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
        changed = copy.deepcopy(moved)
        with torch.no_grad():
            for p, q in zip(changed.parameters(), model.parameters(), strict=True):
                p += 0.2 * q.grad / length
            leans.append(lean(changed) - lean(moved))
            rises.append(loss_of_wrong(changed) - loss_of_wrong(moved))
    assert outcome.values["marks.before"] == pytest.approx(lean(moved), rel=1e-4)
    assert outcome.values["marks.own.lean"] == pytest.approx(sum(leans) / 2, rel=1e-3)
    assert outcome.values["marks.own.rise_wrong"] == pytest.approx(sum(rises) / 2, rel=1e-3)
    assert outcome.values["marks.noise.lean"] != outcome.values["marks.own.lean"]


def test_without_a_perturbation_nothing_changes(tmp_path):
    outcome, _ = measured(tmp_path, PLAIN)
    found = {name: value for name, value in outcome.values.items() if name.startswith("marks.")}
    assert found.pop("marks.before") != 0.0
    assert found == {f"marks.{kind}.{name}": 0.0 for kind in ("own", *NULLS) for name in EFFECTS}


def test_all_checkpoints_count(tmp_path):
    several, _ = measured(tmp_path / "several", "sam", kept=(2,))
    last, _ = measured(tmp_path / "last", "sam")
    assert several.values["last.test_accuracy"] == last.values["last.test_accuracy"]
    assert several.values["marks.before"] == last.values["marks.before"]
    assert several.values["marks.own.lean"] != last.values["marks.own.lean"]


def test_no_batch_is_too_few():
    with pytest.raises(ConfigurationError, match="it must be 1 or more"):
        OnMarks(perturbations=0)
