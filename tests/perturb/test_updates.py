"""What follows the optimizer's step: Lookahead, shrink-and-perturb, and when they act."""

import io

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from samnesia.perturb.errors import ConfigurationError
from tests.problems import (
    assert_close,
    assert_same,
    batch,
    batches,
    differentiate,
    network,
    sgd,
    train,
    train_plainly,
    weights,
)

PARTS = {"lookahead": samnesia.Lookahead(k=2, alpha=0.3), "shrink": samnesia.ShrinkAndPerturb(share=0.1, base_lr=0.2)}
BOTH = [*PARTS.values()]


def method_with(*after, momentum=0.9, rho=0.1, fused=None, **options):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=momentum, fused=fused)
    return samnesia.sam(model, optimizer, rho=rho, loss=F.cross_entropy, updates=after, **options)


def trained(method, data):
    train(method, method.model, data)
    return weights(method.model)


def between(a, b, share):
    return {name: (1 - share) * a[name] + share * b[name] for name in a}


# -- formulas ----------------------------------------------------------------------------------------------------------


def test_lookahead_by_hand():
    """Every second step; the weights before the first one are the first slow ones; momentum goes on."""
    data, method = batches(6), method_with(PARTS["lookahead"])
    slow = weights(method.model)
    bare = method_with()
    for number, one in enumerate(data, start=1):
        fast = trained(bare, [one])
        if number % 2 == 0:
            slow = between(slow, fast, 0.3)
            bare.model.load_state_dict(slow)
        assert_close(trained(method, [one]), weights(bare.model), 1e-14)


def test_shrinking_by_hand():
    """By each group's own rate."""
    data, model, bare = batches(4), network(), network()
    first, others = weights(model), [p for n, p in model.named_parameters() if n != "6.bias"]
    groups = [{"params": others}, {"params": [model.get_parameter("6.bias")], "lr": 0.04}]
    shrinking = samnesia.sam(model, torch.optim.SGD(groups, lr=0.1), loss=F.cross_entropy, updates=[PARTS["shrink"]])
    others = [p for n, p in bare.named_parameters() if n != "6.bias"]
    groups = [{"params": others}, {"params": [bare.get_parameter("6.bias")], "lr": 0.04}]
    plain = samnesia.sam(bare, torch.optim.SGD(groups, lr=0.1), loss=F.cross_entropy)
    for one in data:
        now = trained(plain, [one])
        expected = {n: w + (0.02 if n == "6.bias" else 0.05) * (first[n] - w) for n, w in now.items()}
        bare.load_state_dict(expected)
        assert_close(trained(shrinking, [one]), expected, 1e-14)


@pytest.mark.parametrize("part", [samnesia.Lookahead(k=1, alpha=1.0), samnesia.ShrinkAndPerturb(share=0.0)], ids=str)
def test_a_part_that_does_nothing_changes_no_bit(part):
    assert_same(trained(method_with(part), batches(4)), trained(method_with(), batches(4)))


def test_shrinking_all_the_way_stays_at_the_start():
    method = method_with(samnesia.ShrinkAndPerturb(share=1.0))
    start = weights(method.model)
    assert_close(trained(method, batches(3)), start, 1e-14)


class Adds(samnesia.WeightUpdate):
    """One to every weight."""

    def apply(self, weights, rates, step, memory):
        for w in weights.tensors:
            w.add_(1.0)


class Doubles(samnesia.WeightUpdate):
    """Every weight."""

    def apply(self, weights, rates, step, memory):
        for w in weights.tensors:
            w.mul_(2.0)


def test_parts_follow_in_their_order():
    stepped = trained(method_with(), batches(1))
    assert_close(trained(method_with(Adds(), Doubles()), batches(1)), {n: 2 * (w + 1) for n, w in stepped.items()})
    assert_close(trained(method_with(Doubles(), Adds()), batches(1)), {n: 2 * w + 1 for n, w in stepped.items()})


def test_presets_are_the_parts_over_the_base_optimizer():
    data = batches(5)
    presets = {
        samnesia.lookahead: ({"k": 2, "alpha": 0.3}, PARTS["lookahead"]),
        samnesia.shrink_and_perturb: ({"share": 0.1, "base_lr": 0.2}, PARTS["shrink"]),
    }
    for preset, (settings, part) in presets.items():
        model = network()
        method = preset(model, sgd(model), loss=F.cross_entropy, **settings)
        other = network()
        composed = samnesia.unperturbed(other, sgd(other), loss=F.cross_entropy, updates=[part])
        assert_same(trained(method, data), trained(composed, data))
        assert method.last_step.gradient_evaluations == 1
        with pytest.raises(AssertionError):
            plain = network()
            train_plainly(plain, sgd(plain), data)
            assert_close(weights(model), weights(plain))


def test_a_preset_keeps_the_parts_given_beside_its_own():
    model = network()
    method = samnesia.lookahead(model, sgd(model), loss=F.cross_entropy, updates=[PARTS["shrink"]])
    assert [type(part) for part in method.updates] == [samnesia.Lookahead, samnesia.ShrinkAndPerturb]


# -- when they act -----------------------------------------------------------------------------------------------------


def test_the_start_is_where_the_weights_stand_at_the_first_step():
    """Weights that are loaded after the method was built are the initial ones."""
    loaded = network()
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.mul_(1.5)
    late, early = method_with(*BOTH), method_with(*BOTH)
    late.model.load_state_dict(loaded.state_dict())
    early.model.load_state_dict(loaded.state_dict())
    assert_same(trained(late, batches(5)), trained(early, batches(5)))
    shrunk = method_with(samnesia.ShrinkAndPerturb(share=1.0))
    shrunk.model.load_state_dict(loaded.state_dict())
    assert_close(trained(shrunk, batches(2)), weights(loaded), 1e-14)


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("fused", [None, True])
def test_a_step_that_the_scaler_skips_is_followed_by_nothing(fused, set_to_none):
    """Nor is it counted: the next ones go as if it had not been tried."""
    # a fused step that is skipped leaves its new momentum buffers as the memory was
    skipping, undisturbed = (method_with(*BOTH, fused=fused, momentum=0.0 if fused else 0.9) for _ in range(2))
    scalers = [torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=1000) for _ in range(2)]

    def step(method, scaler, x, y, factor=1.0):
        differentiate(method, method.model, x, y, scale=float(scaler.get_scale()) * factor)
        scaler.scale(torch.zeros(()))
        scaler.step(method.optimizer)
        scaler.update()
        method.optimizer.zero_grad(set_to_none=set_to_none)

    data = batches(4)
    before = weights(skipping.model)
    step(skipping, scalers[0], *data[0], factor=float("inf"))
    assert_same(weights(skipping.model), before)
    assert skipping.steps == 0
    for number, (x, y) in enumerate(data):
        if number == 2:
            step(skipping, scalers[0], x, y, factor=float("inf"))
        for method, scaler in zip((skipping, undisturbed), scalers, strict=True):
            step(method, scaler, x, y)
    assert skipping.steps == 4
    assert_close(weights(skipping.model), weights(undisturbed.model), 1e-14)
    assert skipping.last_step.micro_batches == 1


def test_closures_and_the_optimizer_of_frameworks():
    by_passes = trained(method_with(*BOTH), batches(5))
    method = method_with(*BOTH)
    optimizer = samnesia.as_optimizer(method)
    for x, y in batches(5):

        def closure(x=x, y=y):
            optimizer.zero_grad()
            loss = method.criterion(method.model(x), y)
            loss.backward()
            return loss

        optimizer.step(closure)
    assert_same(weights(method.model), by_passes)


def test_a_closure_that_gives_no_finite_gradient_is_followed_by_nothing():
    method = method_with(*BOTH)
    x, y = batch()

    def closure(factor):
        method.optimizer.zero_grad()
        loss = factor * method.criterion(method.model(x), y)
        loss.backward()
        return loss

    method.step(lambda: closure(1.0))
    before = weights(method.model)
    method.step(lambda: closure(float("nan")))
    assert_same(weights(method.model), before)
    assert method.steps == 1


def test_schedulers_and_averages_see_the_weights_after_it():
    method = method_with(samnesia.ShrinkAndPerturb(share=1.0))
    seen, start = [], weights(method.model)
    method.optimizer.register_step_post_hook(lambda *_: seen.append(weights(method.model)))
    trained(method, batches(1))
    assert_close(seen[0], start, 1e-14)


# -- state -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("accumulated", [0, 1])
def test_resuming_is_bit_exact_also_within_an_accumulation(steps, accumulated):
    data = batches(6)

    def micro(method, x, y, rows):
        differentiate(method, method.model, x[rows], y[rows], scale=0.5)

    def whole(method, some):
        for x, y in some:
            for rows in (slice(0, 5), slice(5, 8)):
                micro(method, x, y, rows)
            method.optimizer.step()
            method.optimizer.zero_grad()

    straight, first, second = (method_with(*BOTH) for _ in range(3))
    whole(straight, data)
    whole(first, data[:steps])
    if accumulated:
        micro(first, *data[steps], slice(0, 5))
    file = io.BytesIO()
    gradients = [None if p.grad is None else p.grad.clone() for p in first.model.parameters()]
    torch.save([part.state_dict() for part in (first.model, first.optimizer, first)], file)
    file.seek(0)
    for parameter in second.model.parameters():
        nn.init.ones_(parameter)
    parts = (second.model, second.optimizer, second)
    for part, state in zip(parts, torch.load(file, weights_only=True), strict=True):
        part.load_state_dict(state)
    for parameter, gradient in zip(second.model.parameters(), gradients, strict=True):
        parameter.grad = gradient
    if accumulated:
        micro(second, *data[steps], slice(5, 8))
        second.optimizer.step()
        second.optimizer.zero_grad()
    whole(second, data[steps + accumulated :])
    assert_same(weights(second.model), weights(straight.model))


def test_a_weight_that_is_thawed_later_starts_where_it_is_then():
    """Zeros in its place would pull it away."""
    method = method_with(samnesia.ShrinkAndPerturb(share=1.0))
    head = method.model[-1]
    head.requires_grad_(False)
    trained(method, batches(1))
    with torch.no_grad():
        head.weight.fill_(0.7)
    head.requires_grad_(True)
    trained(method, batches(2))
    assert_close({"head": head.weight}, {"head": torch.full_like(head.weight, 0.7)}, 1e-14)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: samnesia.Lookahead(k=0), "k=0"),
        (lambda: samnesia.Lookahead(k=2.0), "k=2.0"),
        (lambda: samnesia.Lookahead(alpha=0.0), "alpha=0.0"),
        (lambda: samnesia.Lookahead(alpha=float("nan")), "alpha=nan"),
        (lambda: samnesia.ShrinkAndPerturb(share=-0.1), "share=-0.1"),
        (lambda: samnesia.ShrinkAndPerturb(base_lr=0.0), "base_lr=0.0"),
        (lambda: samnesia.DifferenceStep(factor=-1.0), "factor=-1.0"),
        (lambda: method_with(samnesia.Lookahead(), samnesia.Lookahead(k=2)), "Lookahead twice"),
    ],
)
def test_what_cannot_be_is_refused(build, words):
    with pytest.raises(ConfigurationError, match=f"^cannot .*{words}.*because.*; "):
        build()
