"""What one optimizer step does to the weights, against oracles in float64, and what is logged of it."""

import gc
import math
from dataclasses import replace

import psutil
import pytest
import torch
from torch.nn.functional import cross_entropy

from samnesia.data.loader import Plan
from samnesia.train import log
from samnesia.train.checkpoint import Position, Store
from samnesia.train.config import SGD, Checkpoints, Constant, CrossEntropy, Hardware, Linear, Logging, Perturbed
from samnesia.train.observers import Observer
from samnesia.train.parts.methods import GSAM, METHODS, SAM, Unperturbed
from tests.train.small import BATCH, STEPS, TRAIN, clouds, config, last_weights, lines, smooth, smooth_net, trained

EVERY_STEP = Checkpoints(every_steps=1, last=99, keep_epochs=(0,))
PLAIN = SGD(lr=1.0, momentum=0.0, weight_decay=0.0)


def course(run_config, out):
    """The weights before the first step and after each."""
    trained(replace(run_config, checkpoints=EVERY_STEP), out)
    store = Store(out)
    positions = [p for p in store.positions() if p.step or p.epoch == 0] + [
        Position(epoch) for epoch in range(1, run_config.epochs + 1)
    ]
    return [store.read(position).model for position in sorted(positions)]


def net_at(weights):
    net = smooth_net((1, 4, 4), 6).double()
    net.load_state_dict(weights)
    return net


def gradient(weights, indices, epoch=0):
    """Of the cross-entropy over these samples, by name."""
    net = net_at(weights)
    inputs, targets = clouds(0).train.batch(indices, epoch)
    cross_entropy(net(inputs.double()), targets).backward()
    return {name: p.grad for name, p in net.named_parameters()}


def norm(gradients):
    return math.sqrt(sum(float(g.square().sum()) for g in gradients.values()))


def sam_gradient(weights, indices, rho):
    ascent = gradient(weights, indices)
    length = norm(ascent)
    return gradient({name: w + rho * ascent[name] / length for name, w in weights.items()}, indices)


def batch(step, *, epoch=0, drop_last=True):
    plan = Plan(samples=TRAIN, batch=BATCH, chunk=None, piece=None, drop_last=drop_last, seed=0)
    return plan.batch_of(epoch, step)


def assert_same(found, expected, tolerance=1e-12):
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("size", [1, 3, 5, 9, 10])
def test_micro_batches_count_by_their_samples(tmp_path, size):
    """Ten samples in threes: the last perturbation is of one sample, and weighs a tenth."""
    before, after = course(smooth(optimizer=PLAIN, method=SAM(0.3), micro_batch=size, epochs=1), tmp_path)[:2]
    indices, total = batch(0), dict.fromkeys(before, 0.0)
    for start in range(0, BATCH, size):
        group = indices[start : start + size]
        for name, g in sam_gradient(before, group, 0.3).items():
            total[name] = total[name] + g * len(group) / BATCH
    assert_same(after, {name: before[name] - total[name] for name in before})


def test_what_is_left_of_an_epoch_is_a_smaller_batch(tmp_path):
    """Three samples after five tens, in perturbations of two and one."""
    run_config = smooth(optimizer=PLAIN, method=SAM(0.3), micro_batch=2, drop_last=False, schedule=Constant(), epochs=1)
    before, after = course(run_config, tmp_path)[STEPS:]
    indices = batch(STEPS, drop_last=False)
    assert len(indices) == 3
    two, one = sam_gradient(before, indices[:2], 0.3), sam_gradient(before, indices[2:], 0.3)
    assert_same(after, {name: w - (2 * two[name] + one[name]) / 3 for name, w in before.items()})


ON_PARTS = [name for name in METHODS if name not in ("esam", "sam-on")]
"""ESAM selects among the samples of each part; SAM-ON needs normalization layers, which would see the parts."""


@pytest.mark.parametrize("name", ON_PARTS)
def test_how_much_fits_into_a_forward_does_not_change_the_run(tmp_path, name):
    options = {"method": METHODS[name](), "drop_last": False}
    trained(smooth(**options), tmp_path / "whole")
    for device_batch in (1, 4):
        trained(smooth(device_batch=device_batch, **options), tmp_path / str(device_batch))
        assert_same(last_weights(tmp_path / str(device_batch)), last_weights(tmp_path / "whole"))


@pytest.mark.parametrize("size", [4, 10])
def test_nor_does_it_with_perturbations_of_their_own(tmp_path, size):
    options = {"method": GSAM(0.1), "micro_batch": size}
    trained(smooth(**options), tmp_path / "whole")
    trained(smooth(device_batch=3, **options), tmp_path / "parts")
    assert_same(last_weights(tmp_path / "parts"), last_weights(tmp_path / "whole"))


@pytest.mark.parametrize("clip", [0.05, 100.0])
def test_the_final_gradient_is_clipped_and_no_other(tmp_path, clip):
    """A clipped ascent would give the same perturbation: what is clipped is the gradient at the perturbed weights."""
    run_config = smooth(optimizer=PLAIN, method=SAM(0.3), clip_norm=clip, epochs=1)
    before, after = course(run_config, tmp_path)[:2]
    update = {name: before[name] - after[name] for name in before}
    expected = sam_gradient(before, batch(0), 0.3)
    assert norm(expected) > 0.05
    share = min(1.0, clip / norm(expected))
    assert norm(update) == pytest.approx(min(clip, norm(expected)), rel=1e-5)
    assert_same(update, {name: share * g for name, g in expected.items()}, 1e-5)  # torch adds 1e-6 to the norm
    assert lines(tmp_path / "steps.jsonl")[0]["gradient_norm"] == pytest.approx(norm(expected), rel=1e-10)


def test_shrink_and_perturb_follows_its_formula(tmp_path):
    """After each update w <- s w_init + (1 - s) w, with s in proportion to the learning rate."""
    share, rates = 0.2, [0.5 * (1 - step / 10) for step in range(10)]
    run_config = smooth(optimizer=SGD(0.5, 0.0, 0.0), schedule=Linear(), shrink_perturb=share, epochs=2)
    states = course(run_config, tmp_path)
    weights = states[0]
    for number, rate in enumerate(rates):
        gradients = gradient(weights, batch(number % STEPS, epoch=number // STEPS), number // STEPS)
        s = share * rate / 0.5
        weights = {name: s * states[0][name] + (1 - s) * (w - rate * gradients[name]) for name, w in weights.items()}
        assert_same(states[number + 1], weights)


def test_shrink_and_perturb_moves_running_statistics_as_well(tmp_path):
    plain = course(config(epochs=1, optimizer=SGD(lr=0.1)), tmp_path / "plain")
    shrunk = course(config(epochs=1, optimizer=SGD(lr=0.1), shrink_perturb=0.25), tmp_path / "shrunk")
    for name in ("1.running_mean", "1.running_var", "0.weight"):
        torch.testing.assert_close(shrunk[1][name], 0.25 * plain[0][name] + 0.75 * plain[1][name])
        assert not torch.equal(shrunk[1][name], plain[1][name])
    assert shrunk[1]["1.num_batches_tracked"] == 1


@pytest.mark.parametrize(("start", "interval", "cleared"), [(0.6, 1, 3), (0.6, 2, 4), (1.0, 1, 5), (9.0, 1, None)])
@pytest.mark.filterwarnings("ignore::samnesia.perturb.errors.IdleScheduleWarning")
def test_fresh_state_forgets_the_momentum_at_the_first_perturbed_step_alone(tmp_path, start, interval, cleared):
    """With a radius of 0, so that plain SGD with momentum is the oracle."""
    late = Perturbed(start_epoch=start, interval_steps=interval, fresh_state=True)
    optimizer = SGD(lr=0.3, momentum=0.9, weight_decay=0.0)
    run_config = smooth(method=SAM(0.0), when=late, optimizer=optimizer, schedule=Constant(), epochs=2)
    states = course(run_config, tmp_path)
    weights, velocity = states[0], dict.fromkeys(states[0], 0.0)
    for number in range(2 * STEPS):
        gradients = gradient(weights, batch(number % STEPS, epoch=number // STEPS), number // STEPS)
        kept = 0.0 if number == cleared else 0.9
        velocity = {name: kept * velocity[name] + g for name, g in gradients.items()}
        weights = {name: w - 0.3 * velocity[name] for name, w in weights.items()}
        assert_same(states[number + 1], weights)


def test_the_radius_follows_the_learning_rate(tmp_path):
    """rho at the highest rate, rho_min at the lowest, on the line between."""
    run_config = smooth(method=SAM(0.3, rho_min=0.1), schedule=Linear(final=0.2), optimizer=SGD(lr=0.1))
    trained(run_config, tmp_path)
    for line in lines(tmp_path / "steps.jsonl"):
        expected = 0.1 + (0.3 - 0.1) * (line["learning_rate"] - 0.02) / (0.1 - 0.02)
        assert line["rho"] == [pytest.approx(expected)]
        assert line["perturbation_norm"] == pytest.approx(expected)


KEYS = ["step", "epoch", "loss", "learning_rate", "rho", "perturbation_norm", "cosine", "gradient_norm",
        "gradient_evaluations", "finite"]  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_lines_have_the_documented_keys_each_step_once(tmp_path, name):
    run = config(method=METHODS[name](), when=Perturbed(start_epoch=1.0))
    trained(run, tmp_path)
    found = lines(tmp_path / "steps.jsonl")
    assert all(list(line) == KEYS for line in found)
    assert all(f"``{key}``" in log.__doc__ for key in KEYS)
    assert [line["step"] for line in found] == list(range(3 * STEPS))
    assert [line["epoch"] for line in found] == [step // STEPS for step in range(3 * STEPS)]
    fires = run.window(STEPS)
    perturbed = [hasattr(run.method, "rho") and step >= STEPS and fires(step) for step in range(3 * STEPS)]
    assert [bool(line["rho"] and line["rho"][0]) for line in found] == perturbed


def test_a_line_says_what_the_step_did(tmp_path):
    states = course(smooth(method=SAM(0.3), epochs=1), tmp_path)
    for step, line in enumerate(lines(tmp_path / "steps.jsonl")):
        inputs, targets = clouds(0).train.batch(batch(step), 0)
        loss = float(cross_entropy(net_at(states[step])(inputs.double()), targets).detach())
        assert line["loss"] == pytest.approx(loss, rel=1e-10)
        assert line["gradient_norm"] == pytest.approx(norm(sam_gradient(states[step], batch(step), 0.3)), rel=1e-10)
        assert (line["rho"], line["gradient_evaluations"], line["finite"]) == ([0.3], 2, True)


@pytest.mark.parametrize("options", [{"device_batch": 3}, {"micro_batch": 4}, {"micro_batch": 4, "device_batch": 3}])
def test_the_loss_of_a_line_is_the_mean_over_the_samples_however_they_are_cut(tmp_path, options):
    trained(smooth(epochs=1), tmp_path / "whole")
    trained(smooth(epochs=1, **options), tmp_path / "cut")
    whole, cut = (lines(tmp_path / name / "steps.jsonl") for name in ("whole", "cut"))
    assert [line["loss"] for line in cut] == pytest.approx([line["loss"] for line in whole], rel=1e-12)


def test_every_group_has_its_radius(tmp_path):
    trained(config(method=SAM(0.2), optimizer=SGD(decayed="matrices")), tmp_path)
    assert {tuple(line["rho"]) for line in lines(tmp_path / "steps.jsonl")} == {(0.2, 0.2)}


@pytest.mark.parametrize(("every", "steps"), [(0, None), (4, [0, 4, 8, 12]), (100, [0])])
def test_as_many_lines_as_asked_for(tmp_path, every, steps):
    trained(config(logging=Logging(every_steps=every)), tmp_path)
    if steps is None:
        assert not (tmp_path / "steps.jsonl").exists()
    else:
        assert [line["step"] for line in lines(tmp_path / "steps.jsonl")] == steps


class Told(Observer):
    def __init__(self):
        self.events = []

    def begin(self, config, steps_per_epoch, position):
        self.events.append(("begin", steps_per_epoch, position))

    def step(self, line):
        self.events.append(("step", line["step"]))

    def epoch(self, row):
        self.events.append(("epoch", row["epoch"]))

    def end(self):
        self.events.append(("end",))


def test_observers_are_told_what_is_logged_in_its_order(tmp_path):
    told = Told()
    trained(config(epochs=2, logging=Logging(every_steps=2)), tmp_path, observers=[told])
    steps = [[("step", step) for step in range(0, STEPS, 2)], [("step", step) for step in range(6, 2 * STEPS, 2)]]
    assert told.events == [
        ("begin", STEPS, Position(0)), *steps[0], ("epoch", 0), *steps[1], ("epoch", 1), ("end",)
    ]  # fmt: skip


def test_smoothing_is_in_the_training_loss_alone(tmp_path):
    trained(smooth(method=Unperturbed(), loss=CrossEntropy(0.4), epochs=1), tmp_path / "smoothed")
    trained(smooth(method=Unperturbed(), epochs=1), tmp_path / "plain")
    smoothed, plain = (lines(tmp_path / name / "steps.jsonl")[0]["loss"] for name in ("smoothed", "plain"))
    assert smoothed != plain
    result = log.read_result(tmp_path / "smoothed")
    outputs, test = net_at(last_weights(tmp_path / "smoothed"))(clouds(0).test.inputs.double()), clouds(0).test
    assert result.last["test_loss"] == pytest.approx(float(cross_entropy(outputs.detach(), test.labels)))


class Memory(Observer):
    """How much a process holds after every tenth epoch."""

    def __init__(self):
        self.resident, self.tensors = [], []

    def epoch(self, row):
        if row["epoch"] % 10 != 9:
            return
        gc.collect()
        self.resident.append(psutil.Process().memory_info().rss)
        self.tensors.append(sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects()))


def test_memory_is_flat_over_epochs(tmp_path):
    memory, half = Memory(), Hardware(precision="bf16-mixed")
    run_config = config(epochs=30, method=GSAM(0.1), hardware=half, checkpoints=Checkpoints(every_epochs=5))
    trained(replace(run_config, epochs=6), tmp_path / "warm")  # what is imported late, and what allocators keep
    trained(run_config, tmp_path / "run", observers=[memory])
    assert len(memory.tensors) == 3
    assert len(set(memory.tensors)) == 1
    assert memory.resident[-1] - memory.resident[0] < 32 * 2**20  # allocators keep some, the more the process has done
