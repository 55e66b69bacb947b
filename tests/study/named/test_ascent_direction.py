"""The study of ascent directions: what it asks and runs, and that it finds what is planted."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from samnesia.study.engine.jobs import Job
from samnesia.study.engine.plan import make_plan
from samnesia.study.engine.store import Finished, find_cell
from samnesia.study.judging.verdicts import judge
from samnesia.study.named.ascent_direction import (
    EPOCHS,
    FARTHER,
    FRAMEWORKS,
    FULL,
    LOSS,
    MARGIN,
    MEASURES,
    NORM,
    PROBLEMS,
    QUICK,
    RISE,
    SCHEDULES,
    SGD,
    ascent_direction,
    perturbed,
)
from samnesia.train.config import ASAM, GSAM, OBF, SAM, OutputBias, Unperturbed
from samnesia.train.recipes import find
from tests.study import synthetic
from tests.train import small

VALUES = {measure.name: measure.value for measure in MEASURES}
PILOT = Path(__file__).parents[3] / "benchmarks" / "results" / "ascent_rises.json"


def test_better_and_sharper_is_one_claim():
    for quick, seeds in ((True, 6), (False, 10)):
        design = ascent_direction(quick=quick).design
        assert design.seeds == tuple(range(seeds)) and not {*design.seeds} & {*design.tuning_seeds}
        assert len(design.primary) == len(PROBLEMS) * (len(FRAMEWORKS) + 1)
        for one in design.primary:
            assert [(part.measure, part.direction, part.smallest) for part in one.parts] == [
                ("last", "higher", 1.0), ("lambda-max", "higher", 0.0)
            ]  # fmt: skip
            assert one.control == {"direction": LOSS}
            equal_rise = "framework" not in one.where
            assert one.treatment == {"direction": RISE if equal_rise else NORM} and "radius" not in one.where


@pytest.mark.parametrize("problem", PROBLEMS)
def test_directions_differ_in_the_objective_and_in_the_radius_where_it_is_said(problem, tmp_path):
    """At equal norm nothing else differs; falling radii end at 0."""
    alpha = find(f"{problem}-gsam").method.alpha
    expected = {"sam": SAM, "gsam": GSAM, "asam": ASAM}
    for framework in FRAMEWORKS:
        rho = find(f"{problem}-{framework}").method.rho
        for schedule, lowest in zip(SCHEDULES, (None, 0.0), strict=True):
            ascent = perturbed(LOSS, problem, framework, schedule)
            assert type(ascent) is expected[framework] and (ascent.rho, ascent.rho_min) == (rho, lowest)
            for direction, gamma in ((NORM, 1.0), (MARGIN, 0.0)):
                obf = perturbed(direction, problem, framework, schedule)
                if framework == "sam":
                    assert obf == OBF(rho=rho, rho_min=lowest, gamma=gamma)
                else:
                    assert obf == replace(ascent, objective=OutputBias(gamma=gamma))
            levels = {"direction": RISE, "framework": framework, "radius": schedule, "problem": problem}
            config = QUICK.work(levels, 3).config
            assert config.method.rho == pytest.approx(rho * FARTHER[problem])
            assert (config.epochs, config.seed) == (EPOCHS[problem], 3)
            assert FULL.work(levels, 3).config.epochs == find(f"{problem}-sgd").epochs
        assert perturbed(SGD, problem, framework, "constant") == Unperturbed()
    assert perturbed(NORM, problem, "gsam", "constant").alpha == alpha
    assert len(make_plan(QUICK.study(), tmp_path).jobs) == 6 * 2 * (1 + 3 * (2 + 1 + 1))


def test_farther_is_what_the_pilot_found():
    pilot = json.loads(PILOT.read_text())
    assert {problem: found["farther"] for problem, found in pilot["problems"].items()} == FARTHER
    assert pilot["seed"] not in FULL.seeds and pilot["epochs"] == QUICK.epochs == EPOCHS
    for found in pilot["problems"].values():
        multiples, rises = zip(*((float(multiple), rise) for multiple, rise in found["obf"].items()), strict=True)
        there = np.exp(np.interp(np.log(found["farther"]), np.log(multiples), np.log(np.maximum(rises, 1e-9))))
        assert there == pytest.approx(found["loss ascent"], rel=0.1) or found["farther"] in multiples


def test_a_cell_has_all_that_is_measured(tmp_path):
    levels = {"direction": RISE, "framework": "gsam", "radius": "constant", "problem": "digits-shortcut"}
    work = replace(QUICK, epochs={"digits-shortcut": 6}).work(levels, 0)
    small.quietly(Job(tmp_path / "cell", levels, 0, work).do)
    found = find_cell(tmp_path / "cell")
    assert isinstance(found, Finished), found
    for measure in MEASURES:
        if measure.name != "flipped":  # of the other problem
            assert math.isfinite(found.outcome.values[measure.value]), measure


def planted(tmp_path, accuracy, sharpness):
    """OBF, at either radius, with these gains over loss ascent."""

    def run(levels, seed):
        own = np.random.default_rng([seed, *"".join(levels.values()).encode()])
        values = {value: 10.0 + 0.3 * own.normal() for value in VALUES.values()}
        if levels["direction"] in (NORM, RISE):
            values[VALUES["last"]] += accuracy
            values[VALUES["lambda-max"]] += sharpness
        return values, {}

    results = synthetic.results_of(QUICK.study().design, run, tmp_path)
    return {one.verdict for one in judge(results.design, results.table)}


def test_planted_gains_count_together_only(tmp_path):
    assert planted(tmp_path, 3.0, 2.0) == {"supported"}
    assert planted(tmp_path, 3.0, -2.0) == {"contradicted"}  # better, and flatter
    assert planted(tmp_path, 0.0, 2.0) == {"contradicted"}
