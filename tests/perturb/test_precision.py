"""Mixed precision, gradient scalers, overflow, and what finite precision does to a perturbation."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from samnesia.perturb.errors import PassesError, UnsupportedError
from samnesia.perturb.tensors import Weights
from tests.battery import BY_NAME, METHODS, PERTURBED, STEADY
from tests.problems import criterion_of, loss_of

TINY = 1e-30  # the default epsilon is absolute, and would be a difference of its own between scaled and unscaled norms
HALF = [torch.float16, torch.bfloat16]


def net(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(1, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3)).to(dtype)


def batch(dtype=torch.float32, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(16, 1, 8, generator=generator).to(dtype), torch.randint(3, (16,), generator=generator)


def momentum(model):
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()]).clone()


def worst(row):
    """The indices of the passes whose gradient can overflow."""
    return [index for index in range(row.passes) if row.needs_gradient(index)]


OVERFLOWS = [pytest.param(row, index, id=f"{row}, pass {index}") for row in STEADY for index in worst(row)]
SCALED = [row for row in METHODS if row.scales]


# -- a gradient scaler -----------------------------------------------------------------------------------------------


def scaled_step(model, optimizer, method, scaler, x, y, half=None, spoil=None):
    """The loop of the documentation. `spoil`: the index of a pass in which the loss overflows."""
    for p in method.passes():
        with torch.autocast("cpu", half or torch.bfloat16, enabled=half is not None):
            loss = loss_of(p, model, x, y)
        if p.needs_gradient:
            scaler.scale(loss * (float("inf") if p.index == spoil else 1.0)).backward()
    scaler.unscale_(optimizer)
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
    return norm


@pytest.mark.parametrize("half", HALF, ids=str)
@pytest.mark.parametrize("row", [row for row in PERTURBED if row.scales], ids=str)
def test_half_precision_follows_single(row, half):
    def train(half, scale):
        model = net()
        optimizer = momentum(model)
        method, scaler = row(model, optimizer), torch.amp.GradScaler("cpu", init_scale=scale, enabled=half is not None)
        start, losses = weights(model), []
        for seed in range(10):
            scaled_step(model, optimizer, method, scaler, *batch(seed=seed), half=half)
            losses.append(method.last_step.loss)
        return weights(model) - start, torch.tensor(losses)

    (moved, losses), (half_moved, half_losses) = train(None, 1.0), train(half, 1024.0)
    assert torch.linalg.vector_norm(half_moved - moved) < 0.2 * torch.linalg.vector_norm(moved)
    torch.testing.assert_close(half_losses, losses, rtol=0, atol=0.05)


@pytest.mark.parametrize("row", SCALED, ids=str)
def test_a_scaled_loss_gives_the_unscaled_step(row):
    def train(scale):
        model = net(torch.float64)
        optimizer = momentum(model)
        method = row(model, optimizer, epsilon=TINY)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale, enabled=scale != 1.0)
        norms = [scaled_step(model, optimizer, method, scaler, *batch(torch.float64, seed)) for seed in range(5)]
        assert method.steps == 5
        return weights(model), torch.stack(norms)

    # a power of two: the scaler divides by its scale in single precision
    for scaled, plain in zip(train(2.0**16), train(1.0), strict=True):
        torch.testing.assert_close(scaled, plain, rtol=5e-14, atol=5e-14)


@pytest.mark.parametrize("scale", [1000.0, 1e-3])
@pytest.mark.parametrize("row", SCALED, ids=str)
def test_a_loss_scaled_by_hand_gives_the_gradient_scaled(row, scale):
    def gradient(scale):
        model = net(torch.float64)
        method = row(model, momentum(model), epsilon=TINY)
        x, y = batch(torch.float64)
        for p in method.passes():
            (scale * loss_of(p, model, x, y)).backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()]) / scale

    torch.testing.assert_close(gradient(scale), gradient(1.0), rtol=1e-12, atol=5e-14)


@pytest.mark.parametrize(("row", "spoilt"), [p for p in OVERFLOWS if p.values[0].scales])
def test_overflow_in_any_pass_is_one_skipped_step(row, spoilt):
    model = net()
    optimizer = momentum(model)
    method, scaler = row(model, optimizer), torch.amp.GradScaler("cpu", init_scale=1024.0)
    x, y = batch()
    scaled_step(model, optimizer, method, scaler, x, y)
    before, buffers = weights(model), [optimizer.state[p]["momentum_buffer"].clone() for p in model.parameters()]

    scaled_step(model, optimizer, method, scaler, x, y, spoil=spoilt)
    assert torch.equal(weights(model), before)
    assert scaler.get_scale() == 512.0
    assert method.steps == 1
    assert not method.last_step.finite
    assert all(
        torch.equal(optimizer.state[p]["momentum_buffer"], b) for p, b in zip(model.parameters(), buffers, strict=True)
    )

    scaled_step(model, optimizer, method, scaler, x, y)
    assert method.steps == 2 and method.last_step.finite
    assert weights(model).isfinite().all() and not torch.equal(weights(model), before)


@pytest.mark.parametrize("row", [BY_NAME[name] for name in ("sam", "sign ascent", "asam element")], ids=str)
@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_one_bad_entry_of_the_ascent_gradient_shows_in_the_final_one(row, value):
    """Divided by an infinite norm, or by sign(), it could vanish and the step would be taken as if all were well."""
    model = net()
    method = row(model, momentum(model))
    x, y = batch()
    for p in method.passes():
        loss_of(p, model, x, y).backward()
        if p.ascent:
            model[0].weight.grad[0, 0, 0] = value
    assert not method.last_step.finite
    assert any(not p.grad.isfinite().all() for p in model.parameters())


def test_overflow_skips_while_the_schedule_waits():
    """A skipped step is no step: the perturbation due on it falls on the next."""
    model = net()
    optimizer = momentum(model)
    method = samnesia.sam(model, optimizer, loss=F.cross_entropy, when=samnesia.every(2))
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    evaluations = []
    for spoil in (None, 0, None, None):
        scaled_step(model, optimizer, method, scaler, *batch(), spoil=spoil)
        evaluations.append(method.last_step.gradient_evaluations)
    assert evaluations == [2, 1, 1, 2]
    assert method.steps == 3


def test_a_scaler_is_refused_by_the_optimizer_with_closures():
    model = net()
    optimizer = samnesia.as_optimizer(samnesia.sam(model, momentum(model)))
    scaler = torch.amp.GradScaler("cpu")
    x, y = batch()
    scaler.scale(F.cross_entropy(model(x), y)).backward()
    with pytest.raises(PassesError, match=r"cannot step without a closure.*loop over method\.passes\(\).*GradScaler"):
        scaler.step(optimizer)


# -- autocast --------------------------------------------------------------------------------------------------------


def autocast_around(row, half, *, whole_loop, steps=2):
    model = net()
    optimizer = momentum(model)
    method = row(model, optimizer)
    for seed in range(steps):
        x, y = batch(seed=seed)
        with torch.autocast("cpu", half, enabled=whole_loop):
            for p in method.passes():
                with torch.autocast("cpu", half):
                    loss = loss_of(p, model, x, y)
                loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return weights(model)


@pytest.mark.parametrize("half", HALF, ids=str)
@pytest.mark.parametrize("row", PERTURBED, ids=str)
def test_autocast_around_all_passes_sees_the_perturbed_weights(row, half):
    """Autocast keeps its casts of the weights until the outermost region ends."""
    assert torch.equal(autocast_around(row, half, whole_loop=True), autocast_around(row, half, whole_loop=False))


@pytest.mark.parametrize("name", ["sam", "gsam"])
def test_without_clearing_the_cache_autocast_would_hide_the_perturbation(name, monkeypatch):
    right = autocast_around(BY_NAME[name], torch.bfloat16, whole_loop=False)
    monkeypatch.setattr(torch, "clear_autocast_cache", lambda: None)
    assert not torch.equal(autocast_around(BY_NAME[name], torch.bfloat16, whole_loop=True), right)


def test_evaluation_in_the_same_autocast_region_sees_the_restored_weights():
    model = net().eval()
    method = samnesia.sam(model, momentum(model), rho=0.5)
    x, y = batch()
    with torch.autocast("cpu", torch.bfloat16):
        before = model(x)
        for _ in method.passes():
            F.cross_entropy(model(x), y).backward()
        after = model(x)
    assert torch.equal(after, before)


# -- types and norms -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("half", HALF, ids=str)
@pytest.mark.parametrize("row", METHODS, ids=str)
def test_half_precision_weights_are_refused(row, half):
    model = net(half)
    with pytest.raises(
        UnsupportedError, match=r"cannot perturb parameter '0\.weight'.*keep the weights in float32.*autocast"
    ):
        row(model, momentum(model))


def test_weights_turned_to_half_later_are_refused_at_the_next_step():
    model = net()
    method = samnesia.sam(model, momentum(model))
    model.bfloat16()
    with pytest.raises(UnsupportedError, match="float32"):
        next(method.passes())


def test_norms_are_taken_in_single_precision_at_least():
    entries = torch.full((10**6,), 300.0, dtype=torch.float16)
    weights = Weights(["w"], [nn.Parameter(entries)], [entries])
    assert entries.norm().isinf()
    norm, product = weights.norm([entries]), weights.dot([entries], [entries.sign()])
    assert norm.dtype == product.dtype == torch.float32
    torch.testing.assert_close(norm.item(), 3.0e5, rtol=1e-3, atol=0)
    torch.testing.assert_close(product.item(), 3.0e8, rtol=1e-3, atol=0)


@pytest.mark.parametrize("row", PERTURBED, ids=str)
def test_single_precision_realizes_the_perturbation(row):
    """Weights really move by what was asked: rounding neither shortens nor bends it."""

    def step(dtype):
        model = net(dtype)
        method = row(model, momentum(model))
        x, y = batch(dtype)
        for p in method.passes():
            loss_of(p, model, x, y).backward()
        return method.last_step

    single, double = step(torch.float32), step(torch.float64)
    assert single.cosine > 1 - 1e-5
    if not row.draws:  # the generator draws other numbers for other types
        # a gradient of nearly zero may have another sign in the other precision, or none: one entry of about a hundred
        rtol = 5e-2 if row.abrupt else 1e-4
        torch.testing.assert_close(single.perturbation_norm, double.perturbation_norm, rtol=rtol, atol=0)


@pytest.mark.parametrize("name", ["sam", "random", "asam before norm"])
def test_the_realized_norm_is_rho(name):
    model = net()
    method = BY_NAME[name](model, momentum(model), rho=0.05)
    x, y = batch()
    for p in method.passes():
        loss_of(p, model, x, y).backward()
    torch.testing.assert_close(method.last_step.perturbation_norm, 0.05, rtol=1e-4, atol=0)


# -- steps that skip -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", ["step", "as_optimizer"])
@pytest.mark.parametrize(("row", "spoilt"), OVERFLOWS)
def test_closures_skip_a_step_that_is_not_finite_and_lose_nothing(row, spoilt, driver):
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    method = row(model, optimizer)
    step = method.step if driver == "step" else samnesia.as_optimizer(method).step
    x, y = batch()
    calls = []

    def closure(spoil=None):
        optimizer.zero_grad()
        loss = criterion_of(method, model, x, y)
        (loss * float("nan") if len(calls) == spoil else loss).backward()
        calls.append(loss)
        return loss

    def moments():
        return [
            optimizer.state[p][key].clone() for p in model.parameters() for key in ("exp_avg", "exp_avg_sq", "step")
        ]

    step(closure)
    before, moments_before = weights(model), moments()
    calls.clear()
    assert step(lambda: closure(spoilt)) is calls[0]
    assert not method.last_step.finite
    assert torch.equal(weights(model), before)
    assert all(torch.equal(a, b) for a, b in zip(moments(), moments_before, strict=True))
    assert method.steps == 1

    step(closure)
    assert method.last_step.finite and method.steps == 2
    assert weights(model).isfinite().all() and not torch.equal(weights(model), before)


def test_a_bare_loop_leaves_the_bad_gradient_to_its_owner():
    model = net()
    method = samnesia.sam(model, momentum(model))
    before, (x, y) = weights(model), batch()
    for _ in method.passes():
        (F.cross_entropy(model(x), y) * float("nan")).backward()
    assert torch.equal(weights(model), before)
    assert not method.last_step.finite
    assert not model[0].weight.grad.isfinite().any()
