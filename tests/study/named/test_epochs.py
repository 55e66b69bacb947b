"""The study of longer training: what it asks and runs, and that it does."""

from dataclasses import replace

import pytest

from samnesia.study.engine.plan import make_plan
from samnesia.study.engine.run import run_study
from samnesia.study.judging.verdicts import judge
from samnesia.study.named import epochs as module
from samnesia.study.named.epochs import EVALUATIONS, LENGTHS, LONG, METHODS, PROBLEMS, configuration, epochs
from samnesia.train.recipes import find
from tests.study import synthetic
from tests.train import small


def test_it_is_asked_as_it_was_announced(tmp_path):
    for quick, seeds, problems in ((False, 10, PROBLEMS), (True, 6, PROBLEMS[:3])):
        design = epochs(quick=quick).design
        assert design.seeds == tuple(range(seeds)) and not {*design.seeds} & {*design.tuning_seeds}
        assert len(design.primary) == 3 * len(problems)
        assert {(one.measure, one.smallest) for one in design.primary} == {("last", 1.0)}
        for problem, start in zip(problems, range(0, len(design.primary), 3), strict=True):
            sam, sgd, equal = design.primary[start : start + 3]
            assert (sam.where, sam.direction) == ({"method": "sam", "problem": problem}, "higher")
            assert (sgd.where, sgd.direction) == ({"method": "sgd", "problem": problem}, "lower")
            assert (sam.treatment, sam.control) == (sgd.treatment, sgd.control) == ({"epochs": LONG}, {"epochs": "x1"})
            assert equal.treatment["epochs"] == "x2" and equal.control["epochs"] == LONG
        assert len(make_plan(epochs(quick=quick), tmp_path).jobs) == seeds * len(list(design.cells()))


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_longer_run_is_its_recipe_for_more_epochs(problem):
    for method in METHODS:
        recipe = find(f"{problem}-{method}")
        for length, factor in zip(LENGTHS, (1, 2, 4, 8), strict=True):
            config = configuration(problem, method, length, 3)
            assert config.epochs == factor * recipe.epochs
            same = {"epochs": recipe.epochs, "seed": recipe.seed, "evaluation": recipe.evaluation,
                    "checkpoints": recipe.checkpoints, "logging": recipe.logging}  # fmt: skip
            assert replace(config, **same) == recipe
            assert config.epochs / config.evaluation.every_epochs == (15 if problem == "photographs" else EVALUATIONS)
    steps = 10
    sam, sgd = (configuration(problem, *arm, 0).gradient_evaluations(steps) for arm in (("sam", "x2"), ("sgd", LONG)))
    assert sam == pytest.approx(sgd, rel=0.07)


def test_what_the_paper_saw_is_supported_where_it_is_planted(tmp_path):
    design = epochs(quick=True).design

    def run(levels, seed):
        doublings = LENGTHS.index(levels["epochs"])
        slope = 2.0 if levels["method"] == "sam" else -1.0
        noise = 0.1 * ((7 * seed + 3 * doublings + len(levels["problem"])) % 5)
        return {measure.value: 80 + seed + slope * doublings + noise for measure in design.measures}, {}

    results = synthetic.results_of(design, run, tmp_path)
    assert [one.verdict for one in judge(results.design, results.table)] == ["supported"] * 9


def test_a_small_form_of_it_runs(tmp_path, monkeypatch):
    def short(name):
        recipe = find(name)
        return replace(recipe, epochs=1, when=replace(recipe.when, start_epoch=0.0))

    monkeypatch.setattr(module, "find", short)
    monkeypatch.setattr(module, "PROBLEMS", ("digits-few",))
    results = small.quietly(run_study, epochs(quick=True), tmp_path, workers=1, progress=False, seeds=(0,))
    assert list(results.table["status"]) == ["finished"] * 6
    assert list(results.table["gradient_evaluations"]) == [10.0, 20.0, 40.0, 20.0, 40.0, 80.0]
    assert results.table["last.test_accuracy"].notna().all()
