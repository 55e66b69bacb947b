"""The study of lifelong learning: what it asks and runs, and that it finds what is planted."""

import math
from dataclasses import replace

import numpy as np
import pytest

from samnesia.lifelong.config import EWC
from samnesia.perturb.errors import ConfigurationError
from samnesia.study.comparison.budgets import StepsPerEpoch
from samnesia.study.engine.jobs import Job
from samnesia.study.engine.plan import make_plan
from samnesia.study.engine.store import Finished, find_cell
from samnesia.study.judging.verdicts import judge
from samnesia.study.named.cells.lifelong import Learned
from samnesia.study.named.lifelong import JOINT, MEASURES, METHODS, PROBLEMS, QUICK, STRATEGIES, lifelong, sequence
from samnesia.train.config import ByClasses, Permuted, Reservoir
from tests.study import synthetic
from tests.train import small

VALUES = {measure.name: measure.value for measure in MEASURES}


@pytest.mark.parametrize("quick", [True, False])
def test_it_claims_what_the_papers_do_on_each_problem(quick):
    design = lifelong(quick=quick).design
    assert design.seeds == tuple(range(8 if quick else 20)) and not {*design.seeds} & {*design.tuning_seeds}
    for place, problem in enumerate(PROBLEMS):
        sam, asam, forgets, equal, equal_forgets = design.primary[5 * place : 5 * place + 5]
        for one, base in ((sam, "sam"), (asam, "asam")):
            assert one.treatment == {"method": f"lookbehind-{base}"} and one.control == {"method": base}
            assert [(part.measure, part.direction, part.smallest) for part in one.parts] == [
                ("accuracy", "higher", 1.0), ("forgetting", "lower", 1.0)
            ]  # fmt: skip
            assert one.over == {"strategy": STRATEGIES} and one.where == {"problem": problem, "budget": "batches"}
        for one in (forgets, equal_forgets):
            assert (one.measure, one.direction, one.smallest) == ("forgetting", "lower", 1.0)
            assert one.treatment == {"method": "sam"} and one.control == {"method": "sgd"}
        assert equal.treatment == {"method": "lookbehind-sam"} and equal.control == {"method": "sam"}
        for one in (equal, equal_forgets):
            assert one.where == {"problem": problem, "budget": "gradients", "strategy": "plain"}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_at_equal_gradients_all_have_as_many_and_at_equal_batches_all_is_shared(problem):
    steps, costs = StepsPerEpoch(), {}
    for name in METHODS:
        runs = [sequence(problem, name, "plain", "gradients", 0).run(number) for number in range(5)]
        costs[name] = sum(run.gradient_evaluations(steps(run)) for run in runs)
        at_batches = sequence(problem, name, "plain", "batches", 0)
        plain = sequence(problem, "sgd", "plain", "batches", 0)
        assert replace(at_batches.training, method=plain.training.method) == plain.training
        assert replace(at_batches, training=plain.training) == plain
    assert len({*costs.values()}) == 1 and costs["sgd"] > 0


def test_what_a_cell_is(tmp_path):
    assert len(make_plan(QUICK.study(), tmp_path).jobs) == 8 * 2 * (5 * 3 + 1 + 3)  # Lookbehind's are the same runs
    split, permuted = (sequence(problem, "sgd", "plain", "batches", 3) for problem in PROBLEMS)
    assert split.tasks == ByClasses(5) and split.known and split.seed == 3
    assert permuted.tasks == Permuted(5) and not permuted.known
    assert isinstance(sequence("split", "sam", "replay", "batches", 0).memory, Reservoir)
    assert isinstance(sequence("split", "sam", "ewc", "batches", 0).ewc, EWC)
    assert sequence("split", "sgd", JOINT, "batches", 0).together


def short(problem="split", strategy="replay"):
    config = sequence(problem, "lookbehind-sam", strategy, "batches", 0)
    return Learned(replace(config, tasks=replace(config.tasks, count=2), training=replace(config.training, epochs=1)))


def test_a_cell_has_all_that_is_measured(tmp_path):
    levels = {"method": "lookbehind-sam", "problem": "split", "strategy": "replay", "budget": "batches"}
    work = short()
    small.quietly(Job(tmp_path / "cell", levels, 0, work).do)
    found = find_cell(tmp_path / "cell")
    assert isinstance(found, Finished), found
    for measure in MEASURES:
        assert math.isfinite(found.outcome.values[measure.value]), measure
    assert work.read(tmp_path / "cell").values == found.outcome.values and work.done(tmp_path / "cell") == 1.0
    with pytest.raises(ConfigurationError, match="it was run with other settings"):
        short(strategy="ewc").read(tmp_path / "cell")
    (tmp_path / "cell" / "result.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="it is damaged"):
        work.read(tmp_path / "cell")


def test_a_cell_that_was_interrupted_goes_on_and_one_of_other_settings_begins_anew(tmp_path):
    other, work = short(strategy="plain"), short()
    assert work.done(tmp_path) == 0.0
    for one in (other, work):
        small.quietly(one.run, tmp_path)
        after = tmp_path / "tasks" / "000" / "after.json"
        made = after.stat().st_mtime_ns
        (tmp_path / "result.json").unlink()
        small.quietly(one.run, tmp_path)
        assert after.stat().st_mtime_ns == made
        one.read(tmp_path)
        (tmp_path / "result.json").unlink()


def planted(tmp_path, gains):
    def run(levels, seed):
        own = np.random.default_rng([seed, *"".join(levels.values()).encode()])
        gain = gains.get(levels["method"], {})
        values = {VALUES[name]: 50.0 + gain.get(name, 0.0) + 0.3 * own.normal() for name in VALUES}
        return values, {}

    results = synthetic.results_of(QUICK.study().design, run, tmp_path)
    return [one.verdict for one in judge(results.design, results.table)][:5]


def test_planted_gains_are_found(tmp_path):
    assert planted(tmp_path, {}) == ["contradicted"] * 5
    better = {"accuracy": 3.0, "forgetting": -4.0}
    found = planted(tmp_path, {"lookbehind-sam": better, "lookbehind-asam": better, "sam": {"forgetting": -2.0}})
    assert found == ["supported"] * 5
    learned_less = {"accuracy": 0.0, "forgetting": -4.0}  # there was less to forget
    assert planted(tmp_path, {"lookbehind-sam": learned_less})[0] == "contradicted"
