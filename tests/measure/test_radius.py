"""A first radius: right where the rise is known, and no trace left of the probe."""

import math
import random
from collections import namedtuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import samnesia
from samnesia.measure.traceless import on_device
from samnesia.perturb.parts.ascents import AfterNormAscent

CURVATURES = torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)
POINT = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
RADII = tuple(0.01 * 1.1**k for k in range(80))


class Bowl(nn.Module):
    """Puts out its weights."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(POINT.clone())

    def forward(self, inputs):
        return self.weight.expand(len(inputs), 3)


def bowl(output, target):
    """Half of w A w, with a diagonal A."""
    return 0.5 * (CURVATURES * output[0].square()).sum() * target[0]


ONES = [(torch.zeros(2, 1), torch.ones(2, dtype=torch.float64))]


def expected(radius, scaling=1.0):
    """Slope and rise on the bowl, along T² g / ‖T g‖."""
    gradient = CURVATURES * POINT
    direction = scaling**2 * gradient / (scaling * gradient).norm()
    slope = float(gradient @ direction)
    return slope, slope * radius + 0.5 * radius**2 * float(direction @ (CURVATURES * direction))


@pytest.mark.parametrize(
    ("ball", "scaling"),
    [
        (None, torch.ones(3, dtype=torch.float64)),
        (samnesia.Ball(scaling=samnesia.ElementScaling(eta=0.01)), POINT.abs() + 0.01),
        (samnesia.Ball(scaling=samnesia.LayerScaling(eta=0.0)), POINT.norm()),
    ],
    ids=["sam", "asam", "layer"],
)
def test_on_a_quadratic_the_rise_is_the_known_one(ball, scaling):
    found = samnesia.suggest_rho(Bowl(), bowl, ONES, ball=ball, radii=RADII, rise=2.0)
    slope, _ = expected(1.0, scaling)
    assert found.slope == pytest.approx(slope, rel=1e-12)
    assert found.rises == pytest.approx([expected(radius, scaling)[1] for radius in RADII], rel=1e-9)
    assert expected(found.rho, scaling)[1] == pytest.approx(2.0, rel=2e-3)
    curvature = 2.0 * (expected(1.0, scaling)[1] - slope)
    assert found.curvature == pytest.approx(2.0 * slope / curvature, rel=1e-2)
    assert found.loss == pytest.approx(float(0.5 * (CURVATURES * POINT**2).sum()), rel=1e-12)
    assert (found.low, found.high) == (found.rho / 8.0, found.rho * 8.0)


def test_without_radii_it_finds_some_around_the_aim():
    for rise in (1e-3, 1.0, 1e3):
        found = samnesia.suggest_rho(Bowl(), bowl, ONES, rise=rise)
        assert found.radii[0] < found.rho / 100 < found.rho < found.radii[-1]
        assert expected(found.rho)[1] == pytest.approx(rise, rel=0.1)
        assert found.target == rise


def test_the_mean_and_its_error_are_over_batches():
    batches = [(inputs, targets * factor) for inputs, targets in ONES for factor in (1.0, 2.0, 3.0)]
    found = samnesia.suggest_rho(Bowl(), bowl, batches, radii=(0.1, 1.0, 10.0), rise=2.0)
    rises = np.array([[factor * expected(radius)[1] for radius in (0.1, 1.0, 10.0)] for factor in (1, 2, 3)])
    assert found.rises == pytest.approx(rises.mean(axis=0))
    assert found.errors == pytest.approx(rises.std(axis=0, ddof=1) / math.sqrt(3))
    assert (found.batches, found.skipped) == (3, 0)
    one = samnesia.suggest_rho(Bowl(), bowl, batches, batches=1, radii=(0.1, 1.0, 10.0), rise=2.0)
    assert (one.batches, one.errors) == (1, (None,) * 3) and "one batch was probed" in str(one)


def test_the_directions_of_other_ascents():
    found = samnesia.suggest_rho(Bowl(), bowl, ONES, ascent=AfterNormAscent(), radii=(0.1, 1.0, 10.0), rise=2.0)
    gradient = CURVATURES * POINT
    assert found.slope == pytest.approx(float(gradient @ (POINT.abs() * gradient)) / float(gradient.norm()))


def test_what_knowing_nothing_costs():
    torch.manual_seed(0)
    x, y = torch.randn(50, 4), torch.arange(50) % 5
    net = nn.Linear(4, 5)
    with torch.no_grad():
        net.weight.mul_(1e-3)
        net.bias.zero_()
    found = samnesia.suggest_rho(net, F.cross_entropy, [(x, y)])
    assert found.ignorance == pytest.approx(math.log(5), abs=1e-4)
    assert any("knows next to nothing" in doubt for doubt in found.doubts)
    heights = 170.0 + 10.0 * torch.randn(50, 1)
    line = nn.Linear(4, 1)
    with torch.no_grad():
        line.bias.fill_(float(heights.mean()))
        line.weight.mul_(1e-3)
    found = samnesia.suggest_rho(line, F.mse_loss, [(x, heights)])
    assert found.ignorance == pytest.approx(float(heights.var(correction=0)), rel=1e-3)


def trainable():
    """A model with all that a forward moves."""
    torch.manual_seed(1)
    frozen = nn.Linear(8, 8)
    frozen.requires_grad_(False)
    model = nn.Sequential(
        nn.Linear(6, 8),
        nn.BatchNorm1d(8),
        nn.Dropout(0.5),
        frozen,
        nn.BatchNorm1d(8).eval(),
        nn.ReLU(),
        nn.Linear(8, 3),
    )
    for index, parameter in enumerate(model.parameters()):
        if parameter.requires_grad and index % 2:
            parameter.grad = torch.randn_like(parameter)
    return model


def traces(model):
    """All that could be changed, bit by bit."""
    state = {name: (value.data_ptr(), value.clone()) for name, value in model.state_dict(keep_vars=True).items()}
    gradients = [(p.grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()]
    modes = [module.training for module in model.modules()]
    hooks = [len(model._state_dict_pre_hooks), len(model._forward_pre_hooks)]
    return state, gradients, modes, hooks, torch.get_rng_state(), random.getstate(), np.random.get_state()


def assert_untouched(before, after):
    for name, (place, value) in before[0].items():
        assert after[0][name][0] == place and torch.equal(after[0][name][1], value), name
    for (was, value), (now, still) in zip(before[1], after[1], strict=True):
        assert was is now and (value is None or torch.equal(value, still))
    assert before[2:4] == after[2:4]
    assert torch.equal(before[4], after[4]) and before[5] == after[5]
    assert all(np.array_equal(a, b) for a, b in zip(before[6], after[6], strict=True))


def shuffled():
    """A loader that draws from the global generator."""
    torch.manual_seed(2)
    return DataLoader(TensorDataset(torch.randn(40, 6), torch.arange(40) % 3), batch_size=10, shuffle=True)


def test_nothing_is_left_of_it():
    model, loader = trainable(), shuffled()
    before = traces(model)
    found = samnesia.suggest_rho(model, F.cross_entropy, loader, batches=3)
    assert found.batches == 3
    assert_untouched(before, traces(model))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("call", [1, 2, 3, 4, 7, 30, 45])
def test_nothing_is_left_of_it_when_something_raises(error, call):
    model, loader, calls = trainable(), shuffled(), iter(range(call - 1))

    def loss(output, target):
        if next(calls, None) is None:
            random.random(), np.random.rand()
            raise error("now")
        return F.cross_entropy(output, target)

    before = traces(model)
    with pytest.raises(error, match="now"):
        samnesia.suggest_rho(model, loss, loader, batches=3)
    assert_untouched(before, traces(model))


def test_nothing_is_left_of_it_when_the_backward_raises():
    class Refuses(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            raise RuntimeError("no way back")

    model, loader = trainable(), shuffled()
    before = traces(model)
    with pytest.raises(RuntimeError, match="no way back"):
        samnesia.suggest_rho(model, lambda o, t: F.cross_entropy(Refuses.apply(o), t), loader)
    assert_untouched(before, traces(model))


def test_all_forwards_of_a_batch_draw_the_same_and_find_the_same_buffers():
    """Otherwise a small rise would drown: the dropped units alone move this loss by a tenth."""

    class Counted(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x):
            self.seen += 1
            return x * (1.0 + self.seen)

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.Dropout(0.5), Counted(), nn.Linear(32, 3)).double()
    batch = [(torch.randn(16, 6).double(), torch.arange(16) % 3)]
    found = samnesia.suggest_rho(model, F.cross_entropy, batch, radii=(1e-5, 1e-4, 1e3), rise=1.0)
    assert [rise / (found.slope * radius) for rise, radius in zip(found.rises[:2], found.radii, strict=False)] == (
        pytest.approx([1.0, 1.0], rel=1e-2)
    )


def test_losses_that_are_not_finite():
    def loss(output, target):
        value = bowl(output, target)
        return value / (value < 10.0)  # infinite far up

    found = samnesia.suggest_rho(Bowl(), loss, ONES, radii=(0.5, 1.0, 2.0, 100.0, 200.0), rise=5.0)
    assert found.rises[3:] == (None, None) and "not finite" in str(found)
    assert 0.5 < found.rho < 2.0
    beyond = samnesia.suggest_rho(Bowl(), loss, ONES, radii=(0.1, 0.2, 100.0), rise=5.0)
    assert beyond.rho == 0.2 and "the loss is not finite close by" in beyond.doubts
    bad = [(torch.zeros(2, 1), torch.full((2,), math.nan, dtype=torch.float64)), *ONES]
    found = samnesia.suggest_rho(Bowl(), bowl, bad, rise=1.0)
    assert (found.batches, found.skipped) == (1, 1) and "1 more could not be used" in str(found)


class Flat(nn.Module):
    """Its gradient is zero."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, inputs):
        return inputs.sum(1, keepdim=True) + 0.0 * self.weight.sum()


FROZEN = nn.Linear(1, 3).requires_grad_(False)


@pytest.mark.parametrize(
    ("model", "loss", "loader", "options", "reason"),
    [
        (Bowl(), bowl, ONES, {"batches": 0}, "cannot probe 0 batches"),
        (Bowl(), bowl, ONES, {"radii": (1.0, 0.5)}, "cannot probe at radii 1.0, 0.5"),
        (Bowl(), bowl, ONES, {"radii": ()}, r"cannot probe at radii \(none\)"),
        (Bowl(), bowl, ONES, {"radii": (0.0, 1.0)}, "give positive numbers"),
        (Bowl(), bowl, ONES, {"rise": -1.0}, "cannot aim at a rise of -1.0"),
        (Bowl(), bowl, [], {"rise": 1.0}, "cannot suggest a radius from an empty loader, because .*; look at what"),
        (Bowl(), bowl, [torch.zeros(2, 1)], {}, "with a batch of type Tensor, because it has to be a pair"),
        (Bowl(), bowl, [(torch.zeros(2, 1), torch.ones(2), torch.ones(2))], {}, "a pair .inputs, targets."),
        (Bowl(), bowl, [(torch.zeros(2, 1), [1, 2])], {}, "whose targets are a tensor"),
        (Bowl(), lambda o, t: o.square(), ONES, {"rise": 1.0}, "no single number"),
        (Bowl(), lambda o, t: o.sum() * math.nan, ONES, {"rise": 1.0}, "from 1 batch, because a way up requires"),
        (Flat(), lambda o, t: o.mean(), ONES, {"rise": 1.0}, "from 1 batch, because a way up requires"),
        (Bowl(), lambda o, t: torch.tanh(o).sum(), ONES, {"rise": 100.0}, "did not rise by 200"),
        (Bowl(), bowl, ONES, {"rise": 100.0, "radii": (0.1, 0.2)}, "rises there by .* at most"),
        (nn.Identity(), bowl, ONES, {"rise": 1.0}, "without trainable parameters"),
        (FROZEN, F.cross_entropy, ONES, {}, "without trainable parameters"),
    ],
)
def test_what_is_refused(model, loss, loader, options, reason):
    with pytest.raises(samnesia.SamnesiaError, match=reason):
        samnesia.suggest_rho(model, loss, loader, **options)


def test_what_a_model_raises_says_which_batch_it_was():
    """A batch that does not fit is the model's affair; but whose batch it was, its message does not say."""
    model, batches = (
        nn.Linear(6, 3),
        [(torch.randn(4, 6), torch.arange(4) % 3), (torch.randn(4, 5), torch.arange(4) % 3)],
    )
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as raised:
        samnesia.suggest_rho(model, F.cross_entropy, batches)
    assert raised.value.__notes__ == [
        "It was batch 1 of the loader of suggest_rho: inputs float32 [4, 5], targets int64 [4]."
    ]


def test_without_a_rise_it_aims_at_half_of_the_loss():
    found = samnesia.suggest_rho(Bowl(), bowl, ONES, radii=RADII)
    assert found.target == found.loss / 2.0
    assert expected(found.rho)[1] == pytest.approx(found.target, rel=2e-3)
    assert "half of what it is. That is rho" in str(found)
    with pytest.raises(samnesia.ConfigurationError, match="cannot aim at half of a loss of -2.75.*give rise="):
        samnesia.suggest_rho(Bowl(), lambda output, target: -bowl(output, target), ONES)


def test_an_output_without_a_mean():
    class Pair(Bowl):
        def forward(self, inputs):
            return {"w": super().forward(inputs)}

    found = samnesia.suggest_rho(Pair(), lambda output, target: bowl(output["w"], target), ONES)
    assert found.rho > 0.0 and found.ignorance is None and "know nothing" not in str(found)


def test_it_shows_its_reasoning():
    text = str(samnesia.suggest_rho(Bowl(), bowl, [*ONES, *ONES], rise=2.0))
    lines = text.splitlines()
    assert lines[0].split() == ["radius", "mean", "rise", "of", "the", "loss", "first", "order", "ratio"]
    assert lines[1].split()[-1] == "1.00"
    for words in ("Curvature takes over at ", "Rule: the radius at which the loss rises by 2, as asked for", "Try ",
                  ", each radius twice the one before, and choose on validation."):  # fmt: skip
        assert words in text
    assert all(len(line) < 121 for line in lines)


def test_batches_go_to_the_model_s_device():
    Both = namedtuple("Both", "a b")
    moved = on_device({"x": [torch.ones(1), Both(torch.ones(2), "text")], "y": (torch.ones(3),)}, torch.device("meta"))
    assert moved["x"][0].device.type == moved["x"][1].a.device.type == moved["y"][0].device.type == "meta"
    assert isinstance(moved["x"][1], Both) and moved["x"][1].b == "text" and isinstance(moved["y"], tuple)
