"""The study of forgetting: what it asks and runs, that it does, and that it finds what is planted."""

import math
from dataclasses import replace

import numpy as np
import pytest

from samnesia.study import report
from samnesia.study.engine.jobs import Job
from samnesia.study.engine.plan import make_plan
from samnesia.study.engine.run import run_study
from samnesia.study.engine.store import Finished, find_cell
from samnesia.study.judging.verdicts import judge
from samnesia.study.named.forgetting import FAR, FULL, METHODS, PLAIN, PROBLEMS, QUICK, RANKED, farther, forgetting
from samnesia.study.named.forgetting_measures import GROUPS, LOST, MEASURES, NULLS, RISE, of_problem
from samnesia.train.recipes import find
from tests.study import synthetic
from tests.train import small

TINY = replace(QUICK, name="tiny", radii=("0.05", "0.4"), sizes=("20", "80"), seeds=(0, 1), points=4, epochs=5)
VALUES = {measure.name: measure.value for measure in MEASURES}


def test_it_is_asked_as_it_was_announced():
    assert VALUES[LOST] == "recorded.late.own.exposed.superfluous"
    assert VALUES[RISE] == "recorded.late.own.exposed.loss_rise"
    for quick, seeds in ((False, 6), (True, 4)):
        design = forgetting(quick=quick).design
        assert design.seeds == tuple(range(seeds)) and not {*design.seeds} & {*design.tuning_seeds}
        first, fresh, other, *rivals, equal = design.primary
        assert (first.x, first.y, first.where, first.within) == (LOST, "accuracy", {"problem": PROBLEMS[0]}, ("rho",))
        assert {*first.seeds} | {*fresh.seeds} == {*design.seeds} and not {*first.seeds} & {*fresh.seeds}
        assert other.where == {"problem": PROBLEMS[1]} and other.seeds == ()
        assert [(one.x, one.rival, one.signs) for one in rivals] == [
            (LOST, RISE, (1, -1)), (LOST, RISE, (1, 1)), (LOST, "lambda-max", (1, -1))
        ]  # fmt: skip
        assert equal.given == RISE
        for one in design.primary:
            assert one.over["perturbation"] == RANKED and "rho" in one.within and one.direction == "higher"
        assert {"claim": "CONFOUNDED", "within": ()}.items() <= {
            "claim": next(one.claim[:10] for one in design.exploratory if "pooled" in one.claim), "within": ()
        }.items()  # fmt: skip
    radii = np.log([float(rho) for rho in FULL.radii])
    assert len(radii) == 5 and np.ptp(np.diff(radii)) == pytest.approx(0.0, abs=1e-9)
    assert len(QUICK.radii) == 3 and FAR in FULL.perturbations and FAR not in QUICK.perturbations


def test_settings_are_those_of_the_recipes_and_what_has_no_perturbation_runs_once(tmp_path):
    levels = {"perturbation": "obf-0", "rho": "0.1", "m": "20", "problem": "digits-shortcut"}
    config = FULL.work(levels, 3).config
    recipe = find("digits-shortcut-sgd")
    for name in ("data", "model", "loss", "optimizer", "schedule", "when", "epochs", "batch_size"):
        assert getattr(config, name) == getattr(recipe, name)
    assert (config.method.rho, config.method.gamma, config.micro_batch, config.seed) == (0.1, 0.0, 20, 3)
    assert FULL.work(levels | {"m": "80"}, 3).config.micro_batch is None
    assert config.record.forgetting.nulls and not QUICK.work(levels, 3).config.record.forgetting.nulls
    plan = make_plan(FULL.study(), tmp_path)
    assert len(plan.jobs) == 6 * 2 * (1 + 5 * 5 * 5)
    assert all(name.startswith(f"{PLAIN},") for name in plan.shared)
    assert METHODS[FAR](0.1).rho == farther(0.1) == pytest.approx(20 * 0.1**0.7)


@pytest.mark.parametrize(("problem", "perturbation"), [("digits-noisy", "obf-1"), ("digits-shortcut", PLAIN)])
def test_a_cell_has_all_that_is_measured(problem, perturbation, tmp_path):
    """Of plain training what is common to all; on each problem its own groups."""
    levels = {"perturbation": perturbation, "rho": "0.4", "m": "80", "problem": problem}
    work = TINY.work(levels, 0)
    small.quietly(Job(tmp_path / "cell", levels, 0, work).do)
    found = find_cell(tmp_path / "cell")
    assert isinstance(found, Finished), found
    elsewhere = {one.name for other in GROUPS if other != problem for one in of_problem(other)}
    nulls = {f"{what}-{null}" for null in NULLS for what in ("lost", "norm")}
    for measure in MEASURES:
        own = ".own" in measure.value or measure.name in nulls
        there = measure.value in found.outcome.values
        if measure.name in elsewhere or (own and perturbation == PLAIN):
            assert not there
        elif measure.name not in nulls and measure.name != "lost-batch":
            assert there and math.isfinite(found.outcome.values[measure.value]), measure


def planted(tmp_path, accuracy):
    """The quick study with made-up numbers: what decides the accuracy is said."""
    design = QUICK.study().design

    def run(levels, seed):
        cell = np.random.default_rng([RANKED.index(levels["perturbation"]) if levels["perturbation"] in RANKED else 9,
                                      int(levels["m"]), PROBLEMS.index(levels["problem"])])  # fmt: skip
        own = np.random.default_rng([seed, *levels["rho"].encode(), *levels["perturbation"].encode(), int(levels["m"])])
        values = {measure.value: cell.normal() + 0.2 * own.normal() for measure in MEASURES}
        rho = np.log(float(levels["rho"]))
        values[VALUES[LOST]] += 3 * rho
        values[VALUES[RISE]] += 3 * rho
        values["last.test_accuracy"] = 80 + accuracy(values, rho)
        return values, {}

    return synthetic.results_of(design, run, tmp_path)


def test_planted_forgetting_is_found_and_a_relation_by_the_radius_alone_is_not(tmp_path):
    found = judge_of(planted(tmp_path, lambda values, rho: values[VALUES[LOST]] - 3 * rho))
    assert found[:3] == ["supported"] * 3
    pooled = planted(tmp_path, lambda values, rho: 3 * rho + values[VALUES["trace"]])
    assert "supported" not in judge_of(pooled)
    confounded = next(one for one in pooled.design.exploratory if one.claim.startswith("CONFOUNDED"))
    assert confounded.estimate(pooled.design, pooled.table).effect > 0.5


def judge_of(results):
    return [one.verdict for one in judge(results.design, results.table)]


@pytest.mark.parametrize("sign", [-1, 1])
def test_planted_sharpness_is_no_forgetting(sign, tmp_path):
    """Forgetting beats it in the wrong sense alone, and has to beat it in both."""
    found = judge_of(planted(tmp_path, lambda values, rho: sign * (values[VALUES[RISE]] - 3 * rho)))
    right, wrong = (found[3], found[4]) if sign < 0 else (found[4], found[3])
    assert (right, wrong) == ("contradicted", "supported")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_runs_and_is_reported(tmp_path):
    """36 short runs: about two minutes."""
    form = replace(TINY, radii=("0.4",), sizes=("40", "80"))
    results = small.quietly(run_study, form.study(), tmp_path, progress=False)
    assert results.complete, results.failures()
    summary = report.write_report(tmp_path)
    assert len(summary["verdicts"]) == 7
    assert len(summary["exploratory"]) == len(results.design.exploratory)
    page = (tmp_path / "report.html").read_text()
    assert "Exploratory: Kendall" in page and "A reconstruction" in page
