"""The study of flatness among SAM-trained nets: what it asks and runs, and that it finds what is planted."""

import math
from dataclasses import replace

import numpy as np
import pytest

from samnesia.study.engine.jobs import Job
from samnesia.study.engine.plan import make_plan
from samnesia.study.engine.store import Finished, find_cell
from samnesia.study.judging.verdicts import judge
from samnesia.study.named.flatness import ADAPTIVE, FULL, LARGEST, MEASURES, PROBLEMS, QUICK, SMALLEST_TAU, flatness
from samnesia.train.config import SAM
from samnesia.train.recipes import find
from tests.study import synthetic
from tests.train import small

VALUES = {measure.name: measure.value for measure in MEASURES}


def test_it_is_asked_of_nets_that_are_all_trained_with_sam(tmp_path):
    for quick, seeds, runs in ((True, 3, 180), (False, 5, 1050)):
        study = flatness(quick=quick)
        assert study.design.seeds == tuple(range(seeds)) and study.design.tuning_seeds == ()
        plan = make_plan(study, tmp_path / str(quick))
        assert len(plan.jobs) == runs and len(list(study.design.cells())) >= 60  # 30 cells on each problem
        for job in plan.jobs:
            assert isinstance(job.work.config.method, SAM) and job.work.config.method.rho > 0.0
        first, second, *_, better = study.design.primary
        assert [one.where["problem"] for one in (first, second)] == list(PROBLEMS)
        assert (first.x, first.direction, first.smallest) == (LARGEST, "lower", SMALLEST_TAU)
        assert (better.x, better.rival, better.signs) == (ADAPTIVE, LARGEST, (-1, -1))


def test_settings_are_those_of_the_recipes_but_for_what_is_varied():
    levels = {"rho": "0.2", "m": "20", "rate": "x3", "problem": "digits-shortcut"}
    config, recipe = FULL.configuration(levels, 4), find("digits-shortcut-sgd")
    for name in ("data", "model", "loss", "schedule", "when", "epochs", "batch_size"):
        assert getattr(config, name) == getattr(recipe, name)
    assert (config.method, config.micro_batch, config.seed) == (SAM(rho=0.2), 20, 4)
    assert config.optimizer.lr == pytest.approx(3 * recipe.optimizer.lr)
    assert QUICK.configuration(levels | {"m": "80"}, 4).micro_batch is None
    assert QUICK.configuration(levels | {"problem": "digits-noisy"}, 4).epochs == 20


def test_a_cell_has_all_that_is_measured(tmp_path):
    levels = {"rho": "0.1", "m": "20", "rate": "x1", "problem": "digits-shortcut"}
    work = replace(QUICK, epochs={"digits-shortcut": 5}).work(levels, 0)
    small.quietly(Job(tmp_path / "cell", levels, 0, work).do)
    found = find_cell(tmp_path / "cell")
    assert isinstance(found, Finished), found
    for measure in MEASURES:
        if measure.name != "flipped":  # of the other problem
            assert math.isfinite(found.outcome.values[measure.value]), measure


def planted(tmp_path, accuracy):
    def run(levels, seed):
        cell = np.random.default_rng(list("".join(levels.values()).encode()))
        own = np.random.default_rng([seed, *"".join(levels.values()).encode()])
        values = {measure.value: cell.normal() + 0.2 * own.normal() for measure in MEASURES}
        values["last.test_accuracy"] = 80 + accuracy({name: values[value] for name, value in VALUES.items()})
        return values, {}

    results = synthetic.results_of(QUICK.study().design, run, tmp_path)
    return [one.verdict for one in judge(results.design, results.table)]


def test_planted_relations_are_found_and_others_are_not(tmp_path):
    sharp = planted(tmp_path, lambda values: -values[LARGEST])
    assert sharp[:2] == ["supported"] * 2 and sharp[4] == "contradicted" and "supported" not in sharp[2:]
    adaptive = planted(tmp_path, lambda values: -values[ADAPTIVE])
    assert adaptive[4] == "supported" and "supported" not in adaptive[:4]
    assert planted(tmp_path, lambda values: values[LARGEST])[:2] == ["contradicted"] * 2
