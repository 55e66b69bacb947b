"""The study of late SAM: its claims, its phases, and the valleys that are measured of planted runs."""

import math
from dataclasses import replace

import pytest
import torch

from samnesia.study.engine.plan import make_plan
from samnesia.study.measured import Measured
from samnesia.study.named.cells.valleys import PLAIN, InValley, plain_of
from samnesia.study.named.late_phase import COMPARED, LATE, MEASURES, PHASES, PROBLEMS, configuration, late_phase, work
from samnesia.train.config import MLP, Digits, Perturbed
from samnesia.train.loaded import load
from samnesia.train.log import RESULT
from samnesia.train.recipes import find
from tests.train import small


def test_it_is_asked_as_it_was_announced(tmp_path):
    for quick in (False, True):
        design = late_phase(quick=quick).design
        claims = [(one.measure, one.treatment["phase"], one.control["phase"], one.direction, one.smallest)
                  for one in design.primary]  # fmt: skip
        ends = [
            ("lambda-max", "late-25", "sgd", "lower", 0.0),
            ("barrier", "late-25", "sgd", "higher", 2.0),
            ("escape", "late-25", "sgd", "higher", 0.0),
        ]
        assert claims == [
            ("last", "late-25", "sgd", "higher", 1.0),
            ("last", "sam", "late-25", "higher", 1.0),
            ("last", "early-50", "sgd", "higher", 1.0),
            *ends,
            *ends,
        ]
        assert all(one.where["schedule"] == "steps" for one in design.primary)  # the paper's
        assert [one.where["problem"] for one in design.primary] == ["digits-noisy"] * 6 + ["digits-few"] * 3
        against = [one.claim.startswith("AGAINST") for one in design.primary]
        assert against == [False, True, True, False, True, False, False, True, False]
        assert len(design.seeds) >= 5 and not {*design.seeds} & {*design.tuning_seeds}
    assert len(make_plan(late_phase(quick=True), tmp_path).jobs) == 8 * 2 * 6


def of(phase, schedule="cosine", problem="digits-noisy"):
    return {"phase": phase, "schedule": schedule, "problem": problem}


def test_phases_are_parts_of_the_same_run():
    sam, late, early = (configuration(of(phase), 3) for phase in ("sam", LATE, "early-75"))
    recipe = find("digits-noisy-sam")
    same = {"recipe": "", **{name: getattr(recipe, name) for name in ("checkpoints", "logging", "evaluation")}}
    assert replace(sam, **same) == replace(recipe, **same, seed=3)
    assert late.when == Perturbed(60.0, fresh_state=True)
    assert not configuration(of("late-25-kept"), 0).when.fresh_state
    assert early.when == Perturbed(4.0, 60.0)
    assert configuration(of(LATE, problem="digits-few"), 0).when.start_epoch == 45.0
    assert late.perturbed_steps(10) == 200 and early.perturbed_steps(10) == 560
    assert plain_of(late) == plain_of(sam) == configuration(of("sgd"), 3)
    steps = configuration(of("sgd", "steps"), 0)
    rates = [round(steps.learning_rate(10 * epoch, 10) / steps.optimizer.lr, 3) for epoch in (2, 25, 26, 48, 49, 79)]
    assert rates == [1.0, 1.0, 0.2, 0.2, 0.04, 0.04]  # at 30 and 60 % of what follows the warm-up


def test_all_phases_have_the_radius_of_the_recipe_but_the_far_one():
    for problem in PROBLEMS:
        rho = find(f"{problem}-sam").method.rho
        radii = {phase: configuration(of(phase, problem=problem), 0).method.rho for phase in PHASES if phase != "sgd"}
        assert radii.pop("late-25-far") == 2.0 * rho and {*radii.values()} == {rho}
        assert work(of(LATE, problem=problem), 0).at_end.rho == rho


def short(phase):
    """A small run of the phase, of four epochs."""
    config = configuration(of(phase), 1)
    when = Perturbed(3.0, fresh_state=True) if phase == LATE else Perturbed()
    return replace(
        config, data=Digits(flipped=0.4, train=200), model=MLP(hidden=(16,)), batch_size=20, epochs=4, when=when
    )


def measured(directory, phase, **changes):
    look = InValley(rho=0.2, vectors=0, points=3, escape_steps=4, repeats=1, samples=200, **changes)
    cell = Measured(short(phase), look)
    small.quietly(cell.run, directory)
    return cell.read(directory).values


def test_a_late_run_is_held_against_the_plain_one_that_it_was_until_then(tmp_path):
    late, plain = measured(tmp_path / "late", LATE), measured(tmp_path / "plain", "sgd")
    values = {measure.value for measure in MEASURES}
    assert values <= late.keys() and values <= plain.keys()
    assert all(math.isfinite(late[value]) for value in values - {"last.flipped_fitted"})
    ends = [load(tmp_path / place).model for place in ("late/training", f"late/{PLAIN}", "plain/training")]
    one, twin, other = (torch.cat([p.flatten() for p in model.parameters()]) for model in ends)
    assert torch.equal(twin, other) and not torch.equal(one, twin)
    assert late["valley.distance"] == pytest.approx(float((one - twin).detach().norm()), rel=1e-5)
    assert late["valley.error"] >= 0.0
    assert plain["valley.error"] == plain["valley.distance"] == 0.0
    assert not (tmp_path / "plain" / PLAIN).exists()
    assert late["escape.rate"] != plain["escape.rate"]
    before = (tmp_path / "late" / PLAIN / RESULT).read_bytes()
    (tmp_path / "late" / RESULT).unlink()
    assert measured(tmp_path / "late", LATE)["valley.error"] == late["valley.error"]
    assert (tmp_path / "late" / PLAIN / RESULT).read_bytes() == before  # not trained again


def test_what_is_not_compared_has_its_curvature_alone(tmp_path):
    found = measured(tmp_path, "early-50", compared=False)
    assert found["final.lambda_max"] > 0.0
    assert not [name for name in found if name.startswith(("valley.", "escape."))]
    assert {phase: work(of(phase), 0).at_end.compared for phase in PHASES} == {
        phase: phase in COMPARED for phase in PHASES
    }
