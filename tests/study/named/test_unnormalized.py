"""The study of inputs that are not normalised: what it asks and runs, and that it does."""

import itertools
from dataclasses import replace

import pytest

from samnesia.study.engine.plan import make_plan
from samnesia.study.engine.run import run_study
from samnesia.study.judging.verdicts import judge
from samnesia.study.named import unnormalized as module
from samnesia.study.named.unnormalized import (
    EPOCHS,
    INPUTS,
    METHODS,
    TWICE,
    Setting,
    configuration,
    unnormalized,
)
from samnesia.train.recipes import find
from tests.study import synthetic
from tests.train import small


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    """Made up: which settings were chosen decides nothing here."""
    arms = itertools.product(EPOCHS, INPUTS, METHODS)
    monkeypatch.setattr(module, "CHOSEN", {arm: Setting(0.03, 0.05 if "sam" in arm[2] else 0.0) for arm in arms})


def test_it_is_asked_as_it_was_announced(tmp_path):
    for quick, seeds in ((False, 24), (True, 10)):
        design = unnormalized(quick=quick).design
        assert design.seeds == tuple(range(seeds)) and not {*design.seeds} & {*design.tuning_seeds}
        claimed = [(one.where["problem"], one.control["method"]) for one in design.primary]
        assert claimed == [(problem, rival) for problem in EPOCHS for rival in ("sgd", "sam")]
        for one in design.primary:
            assert (one.treatment, one.where["input"], one.direction) == ({"method": "asam"}, "raw", "higher")
            assert one.smallest == {"wine": 1.0, "digits-few": 0.5}[one.where["problem"]]
        assert len(make_plan(unnormalized(quick=quick), tmp_path).jobs) == seeds * 16


@pytest.mark.parametrize("problem", EPOCHS)
@pytest.mark.parametrize("method", METHODS)
def test_inputs_differ_and_the_rest_is_the_recipe_s(problem, method):
    raw, normal = (configuration(problem, inputs, method, Setting(0.07, 0.3), 5) for inputs in ("raw", "normalized"))
    assert replace(raw, data=normal.data) == normal and (raw.optimizer.lr, raw.seed) == (0.07, 5)
    assert (raw.data.normalized, normal.data.normalized) == (False, True)
    recipe = find(f"{problem}-sgd")
    assert replace(raw.data, normalized=recipe.data.normalized) == recipe.data
    assert replace(raw.optimizer, lr=recipe.optimizer.lr) == recipe.optimizer
    assert (raw.model, raw.schedule, raw.when, raw.batch_size) == (
        recipe.model, recipe.schedule, recipe.when, recipe.batch_size
    )  # fmt: skip
    assert raw.epochs == EPOCHS[problem] * (2 if method == TWICE else 1)
    assert getattr(raw.method, "rho", None) == (0.3 if method in ("sam", "asam") else None)
    inputs = [config.data.load(0).test.inputs for config in (raw, normal)]
    assert float(inputs[0].max()) > 10 > float(inputs[1].abs().mean())


def test_a_gain_on_raw_inputs_is_supported_where_it_is_planted(tmp_path):
    design = unnormalized(quick=True).design

    def run(levels, seed):
        gain = 3.0 if (levels["method"], levels["input"]) == ("asam", "raw") else 0.0
        noise = 0.1 * ((seed * len(levels["method"] + levels["problem"])) % 5)
        return {measure.value: 80 + seed + gain + noise for measure in design.measures}, {}

    results = synthetic.results_of(design, run, tmp_path)
    assert [one.verdict for one in judge(results.design, results.table)] == ["supported"] * 4


def test_a_small_form_of_it_runs(tmp_path, monkeypatch):
    def short(*args):
        config = configuration(*args)
        when = replace(config.when, start_epoch=0.0)
        return replace(config, epochs=config.epochs // 10, when=when)

    monkeypatch.setattr(module, "configuration", short)
    monkeypatch.setattr(module, "EPOCHS", {"digits-few": 10})
    results = small.quietly(run_study, unnormalized(quick=True), tmp_path, workers=1, progress=False, seeds=(0,))
    assert list(results.table["status"]) == ["finished"] * 8
    evaluations = results.table.set_index(["method", "input"])["gradient_evaluations"]
    assert evaluations.loc[["sgd"]].tolist() == [10.0] * 2
    for method in (TWICE, "sam", "asam"):
        assert evaluations.loc[[method]].tolist() == [20.0] * 2
