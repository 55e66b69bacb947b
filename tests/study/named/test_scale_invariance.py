"""The study of rescaled layers: what it asks and runs, that it does, and what has to be so by how methods are built."""

from dataclasses import replace

import pytest
import torch

from samnesia.study.engine.plan import make_plan
from samnesia.study.engine.run import run_study
from samnesia.study.judging.verdicts import judge
from samnesia.study.named import scale_invariance as module
from samnesia.study.named.few import DATA
from samnesia.study.named.scale_invariance import FAR, METHODS, SCALES, configuration, scale_invariance
from samnesia.train.config import Checkpoints
from samnesia.train.recipes import find
from tests.study import synthetic
from tests.train import small


def trained(method, scale, out):
    """The final weights of a short run, with the first layer's and the second's back in their own scale."""
    config = configuration("digits-few", METHODS[method](), scale, 1000)
    small.trained(replace(config, epochs=2, when=replace(config.when, start_epoch=0.0), checkpoints=Checkpoints()), out)
    weights = small.last_weights(out)
    factors = {"1.weight": 1 / scale, "1.bias": 1 / scale, "3.weight": scale}
    return {name: tensor * factors.get(name, 1.0) for name, tensor in weights.items()}


@pytest.mark.parametrize("method", METHODS)
def test_what_a_rescaling_changes(method, tmp_path):
    """Nothing, of what goes along with it: to the bit, with a power of two. SAM does not, nor quite ASAM as used."""
    plain, rescaled = (trained(method, scale, tmp_path / f"{scale}") for scale in (1.0, 4.0))
    distance = max(float((plain[name] - rescaled[name]).abs().max()) for name in plain)
    if method in ("sgd", "asam-exact", "layer-sam"):
        assert distance < 1e-6
    else:
        assert distance > 1e-4


def test_it_is_asked_as_it_was_announced(tmp_path):
    for quick, seeds in ((False, 12), (True, 6)):
        design = scale_invariance(quick=quick).design
        assert design.seeds == tuple(range(seeds)) and not {*design.seeds} & {*design.tuning_seeds}
        assert len(design.primary) == 2 * len(DATA)
        for moved, better in zip(design.primary[::2], design.primary[1::2], strict=True):
            assert (moved.where["method"], moved.direction, moved.smallest) == ("sam", "lower", 1.0)
            assert (moved.treatment, moved.control) == ({"scale": FAR}, {"scale": "1"})
            assert (better.treatment, better.control) == ({"method": "asam"}, {"method": "sam"})
            assert (better.where["scale"], better.direction, better.smallest) == (FAR, "higher", 1.0)
        assert len(make_plan(scale_invariance(quick=quick), tmp_path).jobs) == seeds * len(list(design.cells()))
    assert all(torch.log2(torch.tensor(float(scale))) % 1 == 0 for scale in SCALES)


def test_a_rescaled_run_has_the_recipe_s_settings_and_rates_that_go_along():
    config = scale_invariance().work({"method": "asam", "scale": "4", "problem": "digits-few"}, 3).config
    recipe = find("digits-few-asam")
    for name in ("data", "loss", "schedule", "method", "when", "batch_size"):
        assert getattr(config, name) == getattr(recipe, name)
    assert replace(config.model, scale=1.0) == recipe.model and config.model.scale == 4.0
    assert replace(config.optimizer, rates=()) == recipe.optimizer
    assert config.optimizer.rates == (16.0, 16.0, 1 / 16, 1.0, 1.0, 1.0)


def test_a_loss_by_rescaling_is_supported_where_it_is_planted(tmp_path):
    design = scale_invariance(quick=True).design

    def run(levels, seed):
        lost = 5.0 if levels["method"] == "sam" and levels["scale"] == FAR else 0.0
        noise = 0.1 * ((seed * len(levels["method"] + levels["scale"])) % 5)
        return {measure.value: 80 + seed - lost + noise for measure in design.measures}, {}

    results = synthetic.results_of(design, run, tmp_path)
    assert [one.verdict for one in judge(results.design, results.table)] == ["supported"] * 4


def test_a_small_form_of_it_runs(tmp_path, monkeypatch):
    def short(*args):
        config = configuration(*args)
        return replace(config, epochs=1, when=replace(config.when, start_epoch=0.0))

    monkeypatch.setattr(module, "configuration", short)
    monkeypatch.setattr(module, "DATA", {"digits-few": DATA["digits-few"]})
    form = replace(module.QUICK, scales=("1", FAR))
    results = small.quietly(run_study, form.study(), tmp_path, workers=1, progress=False, seeds=(0,))
    table = results.table.set_index(["method", "scale"])
    assert list(table["status"]) == ["finished"] * 8
    assert table["final.worst_adaptive"].notna().all() and table["last.test_accuracy"].notna().all()
    plain, rescaled = (table.loc[("sgd", scale)] for scale in ("1", FAR))
    assert rescaled["last.test_loss"] == pytest.approx(plain["last.test_loss"], rel=1e-6)
    assert rescaled["final.worst_adaptive"] == pytest.approx(plain["final.worst_adaptive"], rel=1e-3)
    assert rescaled["final.worst"] > 2 * plain["final.worst"]
