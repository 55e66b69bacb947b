"""The study of m-sharpness: what it asks and runs, and that it does."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from samnesia.study.engine.plan import make_plan
from samnesia.study.engine.run import run_study
from samnesia.study.judging.verdicts import judge
from samnesia.study.named import m_sharpness as module
from samnesia.study.named.few import DATA
from samnesia.study.named.m_sharpness import (
    FEW,
    FULL,
    MEASURED,
    PLAIN,
    QUICK,
    WHOLE,
    configuration,
    m_sharpness,
)
from samnesia.train.config import Checkpoints, Unperturbed
from samnesia.train.recipes import find
from tests.study import synthetic
from tests.train import small


@pytest.fixture(autouse=True)
def radii(monkeypatch):
    """Made up: which radii were chosen decides nothing here."""
    chosen = {(problem, m): rho for problem in DATA for m, rho in ((WHOLE, "0.2"), (FEW, "0.1"))}
    monkeypatch.setattr(module, "CHOSEN", chosen)


def test_it_is_asked_as_it_was_announced(tmp_path):
    for form, seeds in ((FULL, 10), (QUICK, 6)):
        study = m_sharpness(quick=form is QUICK)
        design = study.design
        assert design.seeds == tuple(range(seeds)) and not {*design.seeds} & {*design.tuning_seeds}
        *better, tells, stronger = design.primary
        for problem, one in zip(DATA, better, strict=True):
            assert one.treatment == {"m": FEW, "rho": module.CHOSEN[problem, FEW]}
            assert one.control == {"m": WHOLE, "rho": module.CHOSEN[problem, WHOLE]}
            assert (one.where, one.direction, one.measure) == ({"problem": problem}, "higher", "last")
        assert (tells.x, tells.y, tells.direction, tells.within) == ("sharpness-5", "last", "lower", ("problem",))
        assert (stronger.x, stronger.rival, stronger.signs) == ("sharpness-5", "sharpness-400", (-1, -1))
        perturbed = len(form.sizes) * (len(form.radii) - 1)
        assert len(make_plan(study, tmp_path).jobs) == seeds * len(DATA) * (perturbed + 1)
    for radius in module.CHOSEN.values():
        assert radius in QUICK.radii and radius in FULL.radii


def test_settings_are_those_of_the_recipe_but_for_what_is_varied():
    recipe, config = find("digits-few-sgd"), configuration("digits-few", "5", "0.2", 3)
    for name in ("data", "model", "loss", "optimizer", "schedule", "when", "batch_size"):
        assert getattr(config, name) == getattr(recipe, name)
    assert (config.micro_batch, config.method.rho, config.seed) == (5, 0.2, 3)
    assert configuration("digits-few", WHOLE, "0.2", 3).micro_batch is None and int(WHOLE) == recipe.batch_size
    plain = configuration("digits-few", "5", PLAIN, 3)
    assert plain == configuration("digits-few", WHOLE, PLAIN, 3) and isinstance(plain.method, Unperturbed)


def test_m_does_nothing_but_to_the_perturbation(tmp_path):
    """The net has no statistics of batches: plain SGD takes the same steps whatever m is."""
    plain = replace(configuration("digits-few", WHOLE, PLAIN, 0), epochs=1, checkpoints=Checkpoints())
    for name, m in (("whole", None), ("few", 5)):
        small.trained(replace(plain, micro_batch=m), tmp_path / name)
    one, other = (small.last_weights(tmp_path / name) for name in ("whole", "few"))
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)


def test_what_the_paper_saw_is_supported_where_it_is_planted(tmp_path):
    design = QUICK.study().design

    def run(levels, seed):
        cell = np.random.default_rng([*levels["m"].encode(), *levels["rho"].encode(), *levels["problem"].encode()])
        own = np.random.default_rng([seed, *levels["m"].encode(), *levels["rho"].encode()])
        values = {measure.value: cell.normal() + 0.1 * own.normal() for measure in design.measures}
        gain = -math.log2(float(levels["m"])) if levels["rho"] != PLAIN else -6.0
        values["last.test_accuracy"] = 80 + seed + gain + 0.1 * own.normal()
        values["final.m_sharpness.5"] = 10 - gain + 0.1 * own.normal()
        return values, {}

    results = synthetic.results_of(design, run, tmp_path)
    assert [one.verdict for one in judge(results.design, results.table)] == ["supported"] * 4


def test_a_small_form_of_it_runs(tmp_path, monkeypatch):
    def short(*args):
        config = configuration(*args)
        return replace(config, epochs=1, when=replace(config.when, start_epoch=0.0))

    monkeypatch.setattr(module, "configuration", short)
    monkeypatch.setattr(module, "MEASURED", MEASURED[1:])  # the first takes seconds: each sample by itself
    monkeypatch.setattr(module, "DATA", {"digits-few": DATA["digits-few"]})
    radius = module.CHOSEN["digits-few", WHOLE], module.CHOSEN["digits-few", FEW]
    form = replace(QUICK, sizes=(WHOLE, FEW), radii=(PLAIN, *dict.fromkeys(radius)))
    results = small.quietly(run_study, form.study(), tmp_path, workers=1, progress=False, seeds=(0,))
    assert set(results.table["status"]) == {"finished"}
    for m in MEASURED[1:]:
        assert results.table[f"final.m_sharpness.{m}"].notna().all()
    perturbed = results.table[results.table["rho"] != PLAIN]
    assert list(perturbed["gradient_evaluations"].unique()) == [20.0]
    means = results.table[[f"final.m_sharpness.{m}" for m in MEASURED[1:]]].mean()
    assert means.is_monotonic_decreasing and pytest.approx(means.iloc[-1], abs=1.0) == 0.0
