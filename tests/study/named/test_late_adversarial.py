"""The study of late adversarial training: what it asks and runs, and that it finds what is planted."""

import json
import math
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from samnesia.study.engine.jobs import Job
from samnesia.study.engine.plan import make_plan
from samnesia.study.engine.store import Finished, find_cell
from samnesia.study.judging.verdicts import judge
from samnesia.study.measured import Measured
from samnesia.study.named.late_adversarial import (
    A_FIFTH,
    FULL,
    GAIN,
    KEPT,
    L2,
    MEASURES,
    PHASES,
    QUICK,
    configuration,
    late_adversarial,
    work,
)
from samnesia.train.config import Evaluation
from samnesia.train.recipes import find
from samnesia.train.recipes.robust import EPS, RHO, digits
from tests.study import synthetic
from tests.train import small

VALUES = {measure.name: measure.value for measure in MEASURES}
CHOICE = json.loads((Path(__file__).parents[3] / "benchmarks" / "results" / "late_adversarial.json").read_text())
LEVELS = {"method": "sgd", "schedule": "steps"}


def at(phase, **levels):
    return configuration(LEVELS | {"attacks": phase} | levels, 0)


def test_it_claims_what_the_paper_does_and_what_an_opponent_would():
    for quick, seeds in ((True, 8), (False, 10)):
        design = late_adversarial(quick=quick).design
        assert design.seeds == tuple(range(seeds)) and not {*design.seeds} & {*design.tuning_seeds}
        check, most, cost, phase, sam = design.primary
        assert {one.measure for one in design.primary} == {"robust"}
        assert most.direction == "lower" and most.smallest == A_FIFTH == pytest.approx((1 - KEPT) * GAIN, abs=0.051)
        assert [one.treatment for one in (most, cost, phase)] == [{"attacks": "last-25"}] * 3
        assert [one.control["attacks"] for one in (check, most, cost, phase)] == [
            "none",
            "all",
            "all-short",
            "first-25",
        ]
        assert all(one.where == {"method": "sgd", "schedule": "steps"} for one in (check, most, cost, phase))
        assert sam.treatment == {"method": "sam"} and sam.where["attacks"] == "none"


def test_what_was_chosen_is_what_validation_chose():
    assert CHOICE["chosen"] == {"eps": EPS, "rho": RHO}
    assert CHOICE["seeds"] == [1000, 1001, 1002] and not {*CHOICE["seeds"]} & {*FULL.study().design.seeds}
    for eps, rows in CHOICE["trained"].items():
        plain = statistics.fmean(one[eps][1] for one in CHOICE["plain"])
        gain = statistics.fmean(robust for _, robust in rows) - plain
        assert CHOICE["sizes"][eps]["gain"] == pytest.approx(gain, abs=0.01)
    affordable = {eps: row["gain"] for eps, row in CHOICE["sizes"].items() if row["clean_cost"] <= 2.0}
    assert f"{EPS:g}" == max(affordable, key=affordable.get)
    assert pytest.approx(affordable[f"{EPS:g}"], abs=0.051) == GAIN
    clean = {rho: statistics.fmean(one[0] for one in rows) for rho, rows in CHOICE["sam"].items()}
    assert clean[f"{RHO:g}"] == max(clean.values())
    base = {
        name: value for name, value in CHOICE["base"].items() if name not in ("checkpoints", "evaluation", "logging")
    }
    assert base.items() <= digits("late-adversarial", find("digits-robust-sgd").method).to_json().items()


def test_phases_are_those_of_the_paper():
    whole = at("all").epochs
    attacked = {phase: at(phase).adversary for phase in PHASES}
    assert attacked["none"] is None and attacked["none-long"] is None
    assert (attacked["last-25"].start_epoch, attacked["last-25"].stop_epoch) == (0.75 * whole, None)
    assert (attacked["first-25"].start_epoch, attacked["first-25"].stop_epoch) == (0.0, 0.25 * whole)
    assert attacked["last-10"].start_epoch == pytest.approx(0.9 * whole)
    for one in filter(None, attacked.values()):
        assert (one.norm, one.eps, one.step, one.steps, one.random_start) == ("linf", EPS, EPS / 2, 10, True)
    shared = replace(at("none"), adversary=None)
    for phase in ("all", "last-50", "last-25", "last-10", "first-25"):
        assert replace(at(phase), adversary=None) == shared
    assert not shared.when.fresh_state  # one optimizer throughout
    assert at("none", method="sam").method.rho == RHO


def test_controls_cost_what_the_last_quarter_costs():
    cost = {phase: at(phase).gradient_evaluations(10) for phase in PHASES}
    assert cost["first-25"] == cost["last-25"] == 10 * 40 * (1 + 10 / 4)
    for phase in ("all-short", "none-long"):
        of_an_epoch = cost[phase] / at(phase).epochs
        assert abs(cost[phase] - cost["last-25"]) <= of_an_epoch / 2 + 1e-9
    assert len(make_plan(QUICK.study(), Path("nowhere")).jobs) == 8 * (8 + 3)


def test_a_cell_has_all_that_is_measured(tmp_path):
    levels = LEVELS | {"attacks": "last-25"}
    made = work(levels, 0)
    assert made.at_end.eps == EPS and made.at_end.l2 == L2 and made.config.evaluation.every_epochs == 40
    config = replace(made.config, epochs=4, evaluation=Evaluation(every_epochs=4))
    made = Measured(config, replace(made.at_end, steps=3, restarts=1))
    small.quietly(Job(tmp_path / "cell", levels, 0, made).do)
    found = find_cell(tmp_path / "cell")
    assert isinstance(found, Finished), found
    values = found.outcome.values
    for measure in MEASURES:
        assert math.isfinite(values[measure.value]), measure
    assert values["robust.clean"] == pytest.approx(values["last.test_accuracy"])
    assert values["robust.pgd"] < values["robust.clean"] and values["robust.pgd"] <= values["robust.fgsm"] + 1.0


def planted(tmp_path, robust):
    def run(levels, seed):
        own = np.random.default_rng([seed, *"".join(levels.values()).encode()])
        gain = robust.get(levels["attacks"], 0.0) + robust.get(levels["method"], 0.0)
        return {VALUES[name]: 30.0 + gain + 0.3 * own.normal() for name in VALUES}, {}

    results = synthetic.results_of(QUICK.study().design, run, tmp_path)
    return [one.verdict for one in judge(results.design, results.table)]


def test_planted_gains_are_found(tmp_path):
    assert planted(tmp_path, {}) == ["contradicted"] * 5
    as_the_paper = {"all": 60.0, "last-25": 55.0, "all-short": 40.0, "sam": 3.0}
    assert planted(tmp_path, as_the_paper) == ["supported", "contradicted", "supported", "supported", "supported"]
    assert planted(tmp_path, {"all": 60.0, "last-25": 20.0, "first-25": 30.0})[1:4] == [
        "supported", "supported", "contradicted",
    ]  # fmt: skip


def test_a_list_of_studies_needs_no_torch():
    code = "import sys; import samnesia.study.named.late_adversarial; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
