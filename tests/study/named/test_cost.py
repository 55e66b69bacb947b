"""The study of cost: what it asks, that its arms cost what they are called after, and that they run."""

from dataclasses import replace

import pytest

from samnesia.study.comparison.budgets import StepsPerEpoch, refuse_idle
from samnesia.study.named.cost import (
    ARMS,
    CHEAP,
    CHEAPER,
    CLAIMED_ON,
    HALF,
    LONGER,
    PLAIN,
    PROBLEMS,
    SAM,
    SHORTER,
    UNFIT,
    configuration,
    cost,
)
from samnesia.train.config import METHODS
from samnesia.train.recipes import find
from tests.train import small

STEPS = StepsPerEpoch()


def price(problem, arm):
    config = configuration(problem, arm)
    return config.gradient_evaluations(STEPS(config))


def test_each_cheaper_method_is_held_against_sam_and_against_sam_of_its_cost():
    for quick in (True, False):
        design = cost(quick=quick).design
        assert len(design.seeds) == (8 if quick else 10) and not {*design.seeds} & {*design.tuning_seeds}
        behind = [one for one in design.primary if one.direction == "lower"]
        better = [one for one in design.primary if one.direction == "higher"]
        assert [one.treatment["method"] for one in behind] == list(CHEAPER)
        assert {one.control["method"] for one in behind} == {SAM} and len(better) == 5
        for one in design.primary:
            assert (one.measure, one.smallest, one.where) == ("last", 1.0, {"problem": CLAIMED_ON})
        for one in better:
            ratio = price(CLAIMED_ON, one.control["method"]) / price(CLAIMED_ON, one.treatment["method"])
            assert 0.99 < ratio < 1.07
    assert {"problem": "digits-few", "method": "sam-on"} in design.left_out


def test_the_quick_form_has_all_that_costs_less_than_sam():
    kinds = {type(configuration(CLAIMED_ON, arm).method) for arm in ARMS}
    assert kinds == set(METHODS.values())
    assert {arm for arm in ARMS if price(CLAIMED_ON, arm) < price(CLAIMED_ON, SAM)} <= {*CHEAP}
    assert cost(quick=True).design.factor("method").levels == CHEAP
    assert cost().design.factor("method").levels == ARMS


@pytest.mark.parametrize("problem", PROBLEMS)
def test_shorter_and_longer_trainings_cost_what_they_are_called_after(problem):
    plain = price(problem, PLAIN)
    for arm, times in {**SHORTER, **dict.fromkeys(HALF, 0.5)}.items():
        assert price(problem, arm) / plain == pytest.approx(times, abs=0.07)  # whole epochs
    assert price(problem, LONGER) == price(problem, SAM)
    for arm in ARMS:
        config, base = configuration(problem, arm), find(f"{problem}-{PLAIN}")
        for name in ("data", "model", "optimizer", "schedule", "when", "batch_size"):
            assert getattr(config, name) == getattr(base, name)
        if arm not in (LONGER, *SHORTER, *HALF):
            assert config.epochs == base.epochs
    refuse_idle({arm: configuration(problem, arm) for arm in ARMS}, STEPS)


def test_a_radius_follows_that_of_its_reference_to_another_problem():
    assert configuration("digits-few", "zsharp").method.rho == pytest.approx(0.4 * 0.2 / 0.4)
    assert configuration("digits-few", "asam-after").method.rho == pytest.approx(6.0 * 0.1 / 2.0)
    assert configuration("wine", "obf-steps").method == replace(find("digits-noisy-obf-steps").method, rho=0.02)
    assert configuration("wine", "swa").average.start_epoch == 50
    assert configuration("photographs", SAM).method == find("photographs-sam").method


@pytest.mark.slow
@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_arm_runs_on_every_problem(problem, tmp_path):
    for arm in ARMS:
        if arm in UNFIT.get(problem, ()):
            continue
        config = configuration(problem, arm)
        average = config.average and replace(config.average, start_epoch=0.0)
        run = small.quietly(small.train, replace(config, epochs=5, average=average), out=tmp_path / arm)
        assert run.steps > 0, arm
