"""Averages of the weights against averages that are taken slowly, by hand."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from samnesia.data.loader import Plan
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.averaging import AveragedWeights
from samnesia.train.checkpoint import Position, Store
from samnesia.train.config import EMA, SAM, SWA, Checkpoints, Logging, OwnModel
from tests.train.small import BATCH, STEPS, TRAIN, clouds, config, lines, net, smooth, trained


def module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()


def moved(model, count):
    """The states of a module that walks about."""
    for _ in range(count):
        with torch.no_grad():
            for value in model.state_dict().values():
                value += torch.randn_like(value) if value.is_floating_point() else 1
        yield copy.deepcopy(model.state_dict())


def held(average, model):
    with average.applied():
        return copy.deepcopy(model.state_dict())


def test_ema_is_the_sum_of_its_definition():
    model = module()
    average, seen = AveragedWeights(model, EMA(decay=0.7), steps_per_epoch=4), []
    for step, state in enumerate(moved(model, 9)):
        average.update(step)
        seen.append(state)
    weights = [0.7**8] + [0.3 * 0.7 ** (8 - i) for i in range(1, 9)]
    assert sum(weights) == pytest.approx(1.0)
    for name, value in held(average, model).items():
        if value.is_floating_point():
            expected = sum(weight * state[name] for weight, state in zip(weights, seen, strict=True))
            torch.testing.assert_close(value, expected, rtol=1e-13, atol=1e-13)
        else:
            assert torch.equal(value, seen[-1][name])  # a count is not averaged


def test_ema_is_that_of_torch():
    model = module()
    average = AveragedWeights(model, EMA(decay=0.9), steps_per_epoch=4)
    expected = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    for step, _ in enumerate(moved(model, 9)):
        average.update(step)
        expected.update_parameters(model)
    for name, value in held(average, model).items():
        if value.is_floating_point():
            torch.testing.assert_close(value, expected.module.state_dict()[name], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("start", "every", "taken"), [(0, 1, [4, 8, 12, 16, 20]), (2, 1, [12, 16, 20]), (1, 2, [8, 16])]
)
def test_swa_is_the_mean_of_the_weights_at_the_ends_of_epochs(start, every, taken):
    model = module()
    average, seen = AveragedWeights(model, SWA(start_epoch=start, every_epochs=every), steps_per_epoch=4), {}
    for step, state in enumerate(moved(model, 22)):
        average.update(step)
        seen[step + 1] = state
    assert average.seen == len(taken)
    for name, value in held(average, model).items():
        if value.is_floating_point():
            torch.testing.assert_close(value, sum(seen[steps][name] for steps in taken) / len(taken))


@given(st.floats(0, 5), st.integers(1, 4), st.integers(1, 7))
def test_swa_takes_weights_only_at_ends_of_epochs_after_its_start(start, every, steps_per_epoch):
    course, seen, taken = SWA(start_epoch=start, every_epochs=every), 0, []
    for step in range(12 * steps_per_epoch):
        if course.share(step, steps_per_epoch=steps_per_epoch, seen=seen) is not None:
            seen, taken = seen + 1, [*taken, (step + 1) / steps_per_epoch]
    assert all(epoch == int(epoch) and epoch > start for epoch in taken)
    assert all(b - a == every for a, b in zip(taken, taken[1:], strict=False))
    assert taken[0] - start <= 1


@pytest.mark.parametrize("start", [0.0, 0.5, 1.0, 1.3])
def test_ema_begins_as_a_copy_of_the_weights_at_its_start(start):
    model = module()
    average = AveragedWeights(model, EMA(decay=0.5, start_epoch=start), steps_per_epoch=10)
    for step, state in enumerate(moved(model, 20)):
        average.update(step)
        if average.seen == 1:
            assert step + 1 == max(1, round(start * 10))
            assert all(torch.equal(value, state[name]) for name, value in held(average, model).items())


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_afterwards_all_is_back_bit_by_bit(error):
    model = module().float()
    average = AveragedWeights(model, EMA(decay=0.9), steps_per_epoch=4)
    for step, _ in enumerate(moved(model, 3)):
        average.update(step)
    before = copy.deepcopy(model.state_dict())
    places = [p.data_ptr() for p in model.parameters()]
    try:
        with average.applied():
            assert not torch.equal(model[0].weight, before["0.weight"])
            model(torch.randn(5, 3))  # moves the running statistics
            if error:
                raise error
    except KeyboardInterrupt:
        pass
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [p.data_ptr() for p in model.parameters()] == places  # the optimizer's tensors, not others


def test_using_the_average_does_not_change_it():
    model = module()
    average = AveragedWeights(model, EMA(decay=0.9), steps_per_epoch=4)
    for step, _ in enumerate(moved(model, 3)):
        average.update(step)
    first = held(average, model)
    with average.applied(), torch.no_grad():
        model[0].weight += 1.0
    assert all(torch.equal(value, first[name]) for name, value in held(average, model).items())


def every_epoch(**changes):
    return smooth(checkpoints=Checkpoints(last=99), **changes)


def test_in_a_run_swa_is_the_mean_of_what_was_saved(tmp_path):
    trained(every_epoch(average=SWA(start_epoch=1.0), method=SAM(0.1), epochs=4), tmp_path)
    store = Store(tmp_path)
    states = [store.read(Position(epoch)).model for epoch in (2, 3, 4)]
    for name, value in store.read(Position(4)).average.items():
        torch.testing.assert_close(value, sum(state[name] for state in states) / 3, rtol=1e-13, atol=1e-15)


def test_in_a_run_ema_takes_every_step(tmp_path):
    saving = Checkpoints(every_steps=1, last=99)
    trained(smooth(average=EMA(decay=0.6), checkpoints=saving, epochs=2), tmp_path)
    store = Store(tmp_path)
    steps = [p for p in store.positions() if p.step] + [Position(1), Position(2)]
    expected = None
    for position in sorted(steps):
        state = store.read(position).model
        expected = state if expected is None else {k: 0.6 * expected[k] + 0.4 * state[k] for k in state}
    assert len(steps) == 2 * STEPS
    for name, value in store.read(Position(2)).average.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-13, atol=1e-15)


def test_an_average_does_not_change_the_run(tmp_path):
    plain = trained(config(logging=Logging(every_steps=0)))
    for average in (EMA(decay=0.9), SWA()):
        result = trained(config(average=average, logging=Logging(every_steps=0)))
        assert {name: curve for name, curve in result.curves.items() if "average" not in name} == plain.curves
        assert result.weight_norm == plain.weight_norm


def test_statistics_of_a_mean_of_weights_are_those_over_the_epoch(tmp_path):
    """The mean over the batches of the last epoch, at the averaged weights, of each batch's mean and variance."""
    run_config = config(average=SWA(), checkpoints=Checkpoints(last=99))
    trained(run_config, tmp_path)
    average = Store(tmp_path).read(Position(3)).average
    model = net((1, 4, 4), 6)
    model.load_state_dict(average)
    train, plan = clouds(0).train, Plan(TRAIN, BATCH, None, None, drop_last=True, seed=0)
    means, variances = [], []
    for step in range(STEPS):
        inputs, _ = train.batch(plan.batch_of(2, step), 2)
        activations = model[0](inputs).detach().double()
        means.append(activations.mean(dim=(0, 2, 3)))
        variances.append(activations.var(dim=(0, 2, 3), unbiased=True))
    torch.testing.assert_close(average["1.running_mean"].double(), torch.stack(means).mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(average["1.running_var"].double(), torch.stack(variances).mean(0), rtol=1e-5, atol=1e-6)


def test_rows_have_the_figures_of_the_average_or_none(tmp_path):
    result = trained(config(average=EMA(decay=0.5, start_epoch=1.9), epochs=3), tmp_path)
    assert [value is None for value in result.curves["average_test_accuracy"]] == [True, False, False]
    swa = trained(config(average=SWA(), epochs=3))
    assert [value is None for value in swa.curves["average_test_loss"]] == [True, True, False]
    for row in lines(tmp_path / "metrics.jsonl"):
        plain = [name for name in row if not name.startswith("average_")]
        assert [*plain, *(f"average_{name}" for name in plain[2:])] == list(row)  # in an order of its own


def test_an_epoch_that_ends_with_a_skipped_step_is_averaged_too(tmp_path):
    """What is skipped is the step: the weights are as good as before it."""
    result = trained(config(average=SWA(), model=OwnModel(overflowing_net), epochs=2), tmp_path)
    assert result.skipped_steps == 2 * STEPS
    assert Store(tmp_path).read(Position(2)).state["average_seen"] == 2


def overflowing_net(shape, num_outputs):
    class Overflowing(nn.Linear):
        def forward(self, x):
            return super().forward(x.flatten(1)) * (float("inf") if self.training else 1.0)

    return Overflowing(16, num_outputs)


@pytest.mark.parametrize(
    "build", [lambda: EMA(decay=-0.1), lambda: EMA(decay=float("nan")), lambda: SWA(start_epoch=-1)]
)
def test_what_is_no_average_is_refused(build):
    with pytest.raises(ConfigurationError, match="^cannot .*, because .*; use"):
        build()
