"""The study of several steps on a batch: what it asks and runs, and that it finds what is planted."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from samnesia.study.comparison.budgets import StepsPerEpoch
from samnesia.study.engine.jobs import Job
from samnesia.study.engine.plan import make_plan
from samnesia.study.engine.store import Finished, find_cell
from samnesia.study.judging.verdicts import judge
from samnesia.study.named.multi_step import (
    AT_GRADIENTS,
    CHOSEN,
    FULL,
    MEASURES,
    METHODS,
    PROBLEMS,
    QUICK,
    TAKEN,
    _arms,
    base,
    multi_step,
)
from tests.study import synthetic
from tests.train import small

VALUES = {measure.name: measure.value for measure in MEASURES}
CHOICE = Path(__file__).parents[3] / "benchmarks" / "results" / "multi_step_radii.json"


def test_it_claims_what_the_paper_does_on_each_problem():
    for quick, seeds in ((True, 6), (False, 10)):
        design = multi_step(quick=quick).design
        assert design.seeds == tuple(range(seeds)) and not {*design.seeds} & {*design.tuning_seeds}
        for place, problem in enumerate(PROBLEMS):
            sam, several, equal, trade = design.primary[4 * place : 4 * place + 4]
            assert {one.treatment["method"] for one in (sam, several, equal, trade)} == {"lookbehind-2"}
            assert [one.control["method"] for one in (sam, several, equal, trade)] == ["sam", "sam-2", "sam", "sam"]
            assert equal.where == {"problem": problem, "budget": "gradients"}
            assert [one.smallest for one in (sam, several, equal)] == [1.0] * 3
            assert [(part.measure, part.direction) for part in trade.parts] == [
                ("train-loss", "lower"), ("worst", "lower")
            ]  # fmt: skip


def test_at_equal_gradients_all_have_as_many_and_at_equal_batches_all_is_shared(tmp_path):
    steps = StepsPerEpoch()
    arms = _arms("digits-few", "gradients", 30)
    costs = {name: arm.gradient_evaluations(steps(arm)) for name, arm in arms.items()}
    assert tuple(arms) == AT_GRADIENTS and arms["lookbehind-2"].epochs == 30 and arms["sgd"].epochs > 90
    for name, cost in costs.items():
        assert cost == pytest.approx(costs["lookbehind-2"], abs=4 * steps(arms[name]))
    batches = _arms("digits-few", "batches", 30)
    added = {name: arm.method.added_gradients for name, arm in batches.items()}
    assert [added[name] for name in ("sgd", "lookahead", "sam", "sam-2", "sam-5", "lookbehind-2", "lookbehind-5")] == [
        0, 0, 1, 2, 5, 3, 9,
    ]  # fmt: skip
    for arm in batches.values():
        assert replace(arm, method=arms["sgd"].method) == replace(base("digits-few", 30), method=arms["sgd"].method)
    assert len(make_plan(QUICK.study(), tmp_path).jobs) == 6 * 2 * (5 + 2)  # Lookbehind's is the same run


def test_radii_are_those_that_validation_chose():
    found = json.loads(CHOICE.read_text())
    assert {*found} == {*PROBLEMS}
    for problem in PROBLEMS:
        assert found[problem]["chosen"] == CHOSEN[problem]
        assert {*CHOSEN[problem]} | {*TAKEN[problem]} == {*METHODS} - {"sgd"}
        assert {*CHOSEN[problem]} >= {*QUICK.methods} - {"sgd"}  # nothing else is claimed about
        assert not {*found[problem]["seeds"]} & {*FULL.seeds}
        for name, grid in found[problem]["grid"].items():
            assert np.mean(grid[f"{CHOSEN[problem][name]:g}"]) == max(np.mean(scores) for scores in grid.values())


def test_a_cell_has_all_that_is_measured(tmp_path):
    levels = {"method": "lookbehind-2", "problem": "digits-few", "budget": "batches"}
    work = replace(QUICK, epochs={"digits-few": 5}).work(levels, 0)
    small.quietly(Job(tmp_path / "cell", levels, 0, work).do)
    found = find_cell(tmp_path / "cell")
    assert isinstance(found, Finished), found
    for measure in MEASURES:
        assert math.isfinite(found.outcome.values[measure.value]), measure


def planted(tmp_path, gains):
    def run(levels, seed):
        own = np.random.default_rng([seed, *"".join(levels.values()).encode()])
        gain = gains.get(levels["method"], {})
        values = {VALUES[name]: 10.0 + gain.get(name, 0.0) + 0.3 * own.normal() for name in VALUES}
        return values, {}

    results = synthetic.results_of(QUICK.study().design, run, tmp_path)
    return [one.verdict for one in judge(results.design, results.table)][:4]


def test_planted_gains_are_found(tmp_path):
    assert planted(tmp_path, {}) == ["contradicted"] * 3 + ["undecided"]
    better = {"last": 3.0, "train-loss": -2.0, "worst": -2.0}
    assert planted(tmp_path, {"lookbehind-2": better}) == ["supported"] * 4
    flatter = better | {"train-loss": 2.0}  # at a higher loss, which is no better trade-off
    assert planted(tmp_path, {"lookbehind-2": flatter})[3] == "contradicted"
