"""The course of the learning rate."""

import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from samnesia.train.config import SGD, Constant, Cosine, Linear, Perturbed, Steps
from tests.train.small import STEPS, config, lines, trained

COURSES = st.one_of(
    st.builds(Cosine, final=st.floats(0, 1)),
    st.builds(Linear, final=st.floats(0, 1)),
    st.just(Constant()),
    st.builds(Steps, milestones=st.lists(st.floats(0.01, 1), max_size=4).map(tuple), gamma=st.floats(0.05, 1)),
)


def factors(schedule, total, warmup=0):
    return [schedule.factor(step, total_steps=total, warmup_steps=warmup) for step in range(total)]


def torch_factors(build, total):
    """What a scheduler of torch gives for each step, as a share of the optimizer's lr."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR passes an epoch, which its own parts warn of
        scheduler, found = build(optimizer), []
        for _ in range(total):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    return found


@given(COURSES, st.integers(1, 60), st.integers(0, 20))
def test_warm_up_is_linear_and_the_course_begins_where_it_ends(schedule, steps, warmup):
    found = factors(schedule, warmup + steps, warmup)
    assert found[:warmup] == [(step + 1) / warmup for step in range(warmup)]
    assert found[warmup] == 1.0
    assert all(0.0 <= factor <= 1.0 for factor in found)


@given(COURSES, st.integers(2, 60))
def test_after_the_warm_up_the_rate_never_rises_nor_falls_below_the_lowest(schedule, steps):
    found = factors(schedule, steps)
    assert all(later <= earlier for earlier, later in zip(found, found[1:], strict=False))
    assert all(factor >= schedule.lowest * (1 - 1e-12) for factor in found)


@given(COURSES)
def test_the_lowest_is_what_the_course_ends_at(schedule):
    assert schedule.course(1.0) == pytest.approx(schedule.lowest, abs=1e-15)


@pytest.mark.parametrize("final", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("total", [1, 2, 37])
def test_cosine_is_that_of_torch(final, total):
    expected = torch_factors(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=total, eta_min=final), total)
    assert factors(Cosine(final=final), total) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("final", [0.0, 0.1, 1.0])
def test_linear_is_that_of_torch(final):
    def build(optimizer):
        return lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=final, total_iters=37)

    assert factors(Linear(final=final), 37) == pytest.approx(torch_factors(build, 37), abs=1e-12)


def test_steps_are_those_of_torch_at_exactly_their_milestones():
    def build(optimizer):
        return lr_scheduler.MultiStepLR(optimizer, milestones=[30, 60, 90], gamma=0.2)

    schedule = Steps(milestones=(0.3, 0.6, 0.9), gamma=0.2)
    assert factors(schedule, 100) == pytest.approx(torch_factors(build, 100), rel=1e-12)


@given(st.integers(2, 2000), st.data())
def test_a_milestone_meant_to_fall_on_a_step_does_so(total, data):
    """Whatever the rounding of step / total: Zagoruyko's 60, 120 and 160 of 200 epochs, for instance."""
    step = data.draw(st.integers(1, total - 1))
    found = factors(Steps(milestones=(step / total,), gamma=0.5), total)
    assert found == [1.0] * step + [0.5] * (total - step)


def test_warm_up_and_cosine_are_those_of_torch_in_sequence():
    def build(optimizer):
        # torch's first step has start_factor; ours is the first of ten equal stairs, and the tenth reaches 1
        warm = lr_scheduler.LinearLR(optimizer, start_factor=0.1, end_factor=1.0, total_iters=9)
        cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)
        return lr_scheduler.SequentialLR(optimizer, [warm, cosine], milestones=[10])

    assert factors(Cosine(), 50, 10) == pytest.approx(torch_factors(build, 50), abs=1e-12)


def test_a_warm_up_longer_than_the_run_never_reaches_the_top():
    assert factors(Cosine(), 5, 10) == [0.1, 0.2, 0.3, 0.4, 0.5]


@pytest.mark.parametrize("final", [0.0, 0.25])
def test_the_last_step_is_one_before_the_end_of_the_course(final):
    """The final factor belongs to the step after the last: no step is taken at a rate of 0."""
    assert factors(Linear(final=final), 4)[-1] == pytest.approx(final + (1 - final) / 4)
    assert factors(Cosine(final=final), 4)[-1] == pytest.approx(
        final + (1 - final) * (0.5 + 0.5 * math.cos(0.75 * math.pi))
    )


def test_a_run_takes_its_steps_at_these_rates(tmp_path):
    run_config = config(schedule=Linear(warmup_epochs=0.6, final=0.5), optimizer=SGD(lr=0.2))
    result = trained(run_config, tmp_path / "run")
    expected = [0.2 * factor for factor in factors(Linear(final=0.5), 3 * STEPS, warmup=3)]
    assert [line["learning_rate"] for line in lines(tmp_path / "run" / "steps.jsonl")] == pytest.approx(expected)
    assert result.curves["learning_rate"] == pytest.approx(expected[STEPS - 1 :: STEPS])


@given(st.integers(0, 60), st.none() | st.integers(0, 60), st.integers(1, 9), st.integers(0, 80))
def test_a_window_fires_first_where_it_says(start, stop, interval, total):
    window = Perturbed(start / 10, None if stop is None else stop / 10, interval).window(10)
    fired = [step for step in range(total) if window(step)]
    assert window.count(total) == len(fired)
    assert not fired or fired[0] == window.first
