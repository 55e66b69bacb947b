"""When to perturb, and how far."""

import math
import pickle
import warnings

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

import samnesia
from samnesia.perturb.errors import ConfigurationError, IdleScheduleWarning
from tests.battery import METHODS, PERTURBED
from tests.problems import assert_same, batches, differentiate, network, observed, sgd, train, weights


@pytest.mark.parametrize(
    ("when", "steps"),
    [
        (samnesia.always, list(range(10))),
        (samnesia.every(3), [0, 3, 6, 9]),
        (samnesia.every(3, phase=2), [2, 5, 8]),
        (samnesia.every(1), list(range(10))),
        (samnesia.after(7), [7, 8, 9]),
        (samnesia.after(0), list(range(10))),
        (samnesia.before(2), [0, 1]),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_steps_on_which_a_schedule_fires(when, steps):
    assert [step for step in range(10) if when(step)] == steps
    assert pickle.loads(pickle.dumps(when)) == when


@given(p=st.floats(0.01, 1.0), seed=st.integers(0, 100))
def test_randomly_is_a_function_of_seed_and_step(p, seed):
    """So that ranks and resumed runs agree; the order of the questions plays no part."""
    when, again = samnesia.randomly(p, seed), samnesia.randomly(p, seed)
    forward = [when(step) for step in range(40)]
    assert forward == [again(step) for step in reversed(range(40))][::-1]


def test_randomly_fires_with_its_probability_and_differs_by_seed():
    for p in (0.1, 0.5, 0.9):
        fired = [samnesia.randomly(p)(step) for step in range(4000)]
        assert abs(sum(fired) / 4000 - p) < 4 * math.sqrt(p * (1 - p) / 4000)
    assert all(samnesia.randomly(1.0)(step) for step in range(100))
    one, two = (tuple(samnesia.randomly(0.5, seed)(step) for step in range(64)) for seed in (0, 1))
    assert one != two


NEVER = [
    (samnesia.every, (0,)),
    (samnesia.every, (-2,)),
    (samnesia.every, (3, 3)),
    (samnesia.every, (3, -1)),
    (samnesia.after, (-1,)),
    (samnesia.before, (0,)),
    (samnesia.before, (-3,)),
    (samnesia.randomly, (0.0,)),
    (samnesia.randomly, (-0.1,)),
    (samnesia.randomly, (1.5,)),
    (samnesia.randomly, (math.nan,)),
]


@pytest.mark.parametrize(("schedule", "arguments"), NEVER)
def test_schedules_that_can_never_fire_are_refused(schedule, arguments):
    with pytest.raises(ConfigurationError, match="^cannot perturb .*, because .*; choose"):
        schedule(*arguments)


@pytest.mark.parametrize("row", PERTURBED, ids=str)
def test_a_schedule_that_never_fires_in_the_run_warns_at_once(row):
    model = network()
    with pytest.warns(IdleScheduleWarning, match="fires on none of the 100 steps of this run"):
        row(model, sgd(model), when=samnesia.after(100), total_steps=100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row(model, sgd(model), when=samnesia.after(99), total_steps=100)


def test_without_a_perturbation_there_is_nothing_to_warn_of():
    model = network()
    samnesia.unperturbed(model, sgd(model), total_steps=10)


def test_a_schedule_is_any_callable():
    model, other = network(), network()
    train(samnesia.sam(model, sgd(model), when=lambda t: t in (1, 2), loss=F.cross_entropy), model, batches(4))
    method = samnesia.sam(other, sgd(other), loss=F.cross_entropy)
    for step, data in enumerate(batches(4)):
        method.rho = 0.05 if step in (1, 2) else 0.0
        train(method, other, [data])
    assert_same(weights(model), weights(other))


# -- radii ------------------------------------------------------------------------------------------------------------

ALWAYS = [row for row in PERTURBED if not row.varies]


def test_a_radius_proportional_to_the_learning_rate():
    rho = samnesia.proportional_to_lr(0.1, 0.5, 0.0, 0.2)
    assert [rho(0, lr) for lr in (0.0, 0.1, 0.2)] == pytest.approx([0.1, 0.3, 0.5])
    assert rho(7, 0.1) == rho(0, 0.1)
    assert samnesia.proportional_to_lr(0.0, 0.5, 0.1, 0.2)(0, 0.05) == 0.0, "never negative"
    assert samnesia.proportional_to_lr(0.1, 0.5, 0.2, 0.2)(0, 0.2) == 0.5, "no division by zero"


@pytest.mark.parametrize(
    "arguments",
    [(-0.1, 0.5, 0.0, 0.1), (0.5, 0.1, 0.0, 0.1), (0.1, 0.5, 0.2, 0.1), (math.nan, 0.5, 0, 1), (0, math.inf, 0, 1)],
)
def test_disordered_ranges_are_refused(arguments):
    with pytest.raises(ConfigurationError, match="^cannot make the radius proportional"):
        samnesia.proportional_to_lr(*arguments)


@pytest.mark.parametrize("row", ALWAYS, ids=str)
def test_each_group_has_the_radius_of_its_learning_rate(row):
    model = network()
    groups = [{"params": model[1].parameters()}, {"params": model[6].parameters(), "lr": 0.03125}]
    optimizer = torch.optim.SGD(groups, lr=0.125)
    law = samnesia.proportional_to_lr(0.0, 0.5, 0.0, 0.125)
    method = row(model, optimizer, rho=law)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    radii = []
    for data in batches(2):
        train(method, model, [data])
        radii.append(method.last_step.radii)
        scheduler.step()
    assert radii == [(0.5, 0.125), (0.25, 0.0625)]
    # and the perturbation of each group is what a group with that number for a radius gets
    results = []
    for first, second in (({}, {}), ({"rho": 0.5}, {"rho": 0.125})):
        model = network()
        groups = [
            {"params": model[1].parameters(), **first},
            {"params": model[6].parameters(), "lr": 0.03125, **second},
        ]
        method = row(model, torch.optim.SGD(groups, lr=0.125), rho=law)
        differentiate(method, model, *batches(1)[0])
        results.append(observed(model))
    assert_same(*results)


def test_any_callable_is_a_radius_and_sees_step_and_rate():
    model = network()
    asked = []

    def rho(step, lr):
        asked.append((step, lr))
        return 0.1 * (step + 1)

    method = samnesia.sam(model, sgd(model), rho=rho, loss=F.cross_entropy)
    asked.clear()
    norms = []
    for data in batches(3):
        train(method, model, [data])
        norms.append(method.last_step.perturbation_norm)
    assert norms == pytest.approx([0.1, 0.2, 0.3])
    assert asked == [(0, 0.1), (1, 0.1), (2, 0.1)]


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("row", ALWAYS, ids=str)
def test_a_radius_that_is_none_is_refused_as_number_as_law_and_in_a_group(row, value):
    model = network()
    with pytest.raises(ConfigurationError, match="^cannot perturb with rho=.*; choose rho >= 0"):
        row(model, sgd(model), rho=value)
    with pytest.raises(ConfigurationError):
        row(model, torch.optim.SGD([{"params": model.parameters(), "rho": value}], lr=0.1))
    method = row(model, sgd(model), rho=lambda step, lr: 0.1 if step == 0 else value)
    train(method, model, batches(1))
    before = observed(model)
    with pytest.raises(ConfigurationError):
        train(method, model, batches(1))
    assert_same(observed(model), before)


@pytest.mark.parametrize("row", [row for row in METHODS if row.begins is not None], ids=str)
def test_a_plain_step_is_that_of_the_base_optimizer(row):
    """Bit for bit, and its radius is not asked for."""

    asked = []
    model, plain = network(), network()
    method = row(model, sgd(model), rho=lambda step, lr: asked.append(step) or 0.1, when=samnesia.after(11))
    asked.clear()  # construction checks the radius
    train(method, model, batches(3))
    train(samnesia.unperturbed(plain, sgd(plain), loss=F.cross_entropy), plain, batches(3))
    assert_same(weights(model), weights(plain))
    assert asked == []
