"""I(X;Z|Y) of a hidden layer: known informations, bounds, invariances, and the hook that takes the features."""

from __future__ import annotations

import math
import weakref

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from samnesia.measure.forgetting.hidden import hidden_features, hidden_information, noise_scale
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError, UnsupportedError


def features(samples: int, dimensions: int, seed: int = 0) -> Tensor:
    """From a standard normal distribution."""
    return torch.randn(samples, dimensions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def one_class(samples: int) -> Tensor:
    """Labels."""
    return torch.zeros(samples, dtype=torch.long)


@pytest.mark.parametrize(("dimensions", "spread"), [(1, 1.0), (2, 1.0), (1, 3.0)])
def test_of_gaussian_features_it_is_that_of_a_gaussian_channel(dimensions: int, spread: float):
    samples, noise = 2500, 0.7
    found = hidden_information(spread * features(samples, dimensions), one_class(samples), scale=noise)
    known = 0.5 * dimensions * math.log(1.0 + (spread / noise) ** 2)
    assert found["superfluous"].value == pytest.approx(known, abs=4.0 * found["superfluous"].error)
    assert found["superfluous"].error < 0.03 * known
    assert found["lower"].value < known < found["upper"].value < found["jensen"].value


def test_of_three_points_it_is_the_integral():
    points, noise = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64), 0.8
    z = torch.linspace(-8.0, 12.0, 20_001, dtype=torch.float64)
    density = torch.exp(-0.5 * ((z[:, None] - points) / noise) ** 2) / (noise * math.sqrt(2.0 * math.pi))
    mixture = density.mean(1)
    of_mixture = float(torch.trapezoid(-mixture * mixture.clamp_min(1e-300).log(), z))
    known = of_mixture - 0.5 * math.log(2.0 * math.pi * math.e * noise**2)
    found = hidden_information(points, one_class(3), scale=noise, draws=10_000)
    assert found["superfluous"].value == pytest.approx(known, abs=0.015)


def test_points_far_apart_tell_all_but_no_more_than_their_number():
    labels = torch.tensor([0] * 4 + [1] * 8)
    found = hidden_information(1000.0 * torch.arange(12.0)[:, None], labels, scale=1.0)
    assert found["superfluous"].value == pytest.approx((4 * math.log(4.0) + 8 * math.log(8.0)) / 12, rel=1e-9)
    twice = hidden_information(1000.0 * (torch.arange(12.0) // 2)[:, None], labels, scale=1.0)
    assert twice["superfluous"].value == pytest.approx((4 * math.log(2.0) + 8 * math.log(4.0)) / 12, rel=1e-9)


def test_features_that_do_not_depend_on_the_sample_tell_nothing():
    labels = torch.arange(20) % 2
    found = hidden_information(5.0 * labels[:, None].double(), labels)  # the label, and no more
    for name in ("superfluous", "lower", "upper", "jensen"):
        assert found[name].value == pytest.approx(0.0, abs=1e-12)


def test_shift_and_scale_together_with_the_noise_change_nothing_and_rotation_no_bound():
    h, labels = features(60, 5), torch.arange(60) % 3
    here = hidden_information(h, labels, scale=1.5, draws=200)
    moved = hidden_information(4.0 * h + torch.arange(5.0), labels, scale=6.0, draws=200)
    rotation = torch.linalg.qr(features(5, 5, seed=1)).Q
    turned = hidden_information(h @ rotation, labels, scale=1.5, draws=200)
    for name in ("superfluous", "lower", "upper", "jensen"):
        assert moved[name].value == pytest.approx(here[name].value, rel=1e-9)
    for name in ("lower", "upper", "jensen"):
        assert turned[name].value == pytest.approx(here[name].value, rel=1e-9)
    assert turned["superfluous"].value == pytest.approx(here["superfluous"].value, abs=0.02)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(2))
    shuffled = hidden_information(h[order], labels[order], scale=1.5)
    assert shuffled["upper"].value == pytest.approx(here["upper"].value, rel=1e-9)


def test_the_noise_of_a_budget_lets_that_much_pass_at_most():
    h, labels = 7.0 * features(200, 30), torch.arange(200) % 4
    for nats in (0.5, 1.0, 3.0):
        found = hidden_information(h, labels, scale=noise_scale(h, labels, nats))
        assert found["jensen"].value == pytest.approx(nats, rel=1e-9)
        assert found["lower"].value < found["superfluous"].value < found["upper"].value < nats
    assert noise_scale(torch.ones(6, 2), one_class(6)) == 1.0
    assert noise_scale(torch.ones(6, 2) * torch.linspace(1.0, 1.0 + 3e-7, 6)[:, None], one_class(6)) == 1.0  # rounding
    assert noise_scale(1e-6 * features(6, 2), one_class(6)) < 1e-5


def test_many_rows_are_cut_without_a_trace(monkeypatch):
    h, labels = features(50, 3), torch.arange(50) % 2
    here = hidden_information(h, labels)
    monkeypatch.setattr("samnesia.measure.forgetting.hidden._ROWS", 7)
    assert hidden_information(h, labels)["superfluous"].value == pytest.approx(here["superfluous"].value, rel=1e-12)


class Alive(TorchDispatchMode):
    """How many entries of tensors [..., 3] are held at once, at most."""

    def __init__(self):
        super().__init__()
        self.alive, self.most = weakref.WeakValueDictionary(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for each in (found, *args):
            if isinstance(each, Tensor) and each.shape[1:] == (3,):
                self.alive[id(each)] = each
        self.most = max(self.most, sum(each.numel() for each in self.alive.values()))
        return found


def test_noise_is_never_held_for_all_samples_at_once(monkeypatch):
    h, labels = features(500, 3), one_class(500)
    monkeypatch.setattr("samnesia.measure.forgetting.hidden._ROWS", 50)
    most = []
    for draws in (1, 20):
        with Alive() as alive:
            hidden_information(h, labels, scale=1.0, draws=draws)
        most.append(alive.most)
    assert most[1] <= most[0] + 3 * 50 * 3


def test_groups_and_bad_input():
    h, labels = features(30, 3), torch.arange(30) % 2
    found = hidden_information(h, labels, groups={"parity": labels})
    parts = [found.groups[f"parity={i}"]["superfluous"].value for i in (0, 1)]
    assert sum(parts) / 2.0 == pytest.approx(found["superfluous"].value, rel=1e-12)
    for scale, draws in ((0.0, 1), (-1.0, 1), (math.inf, 1), (1.0, 0)):
        with pytest.raises(ConfigurationError, match="noise of scale"):
            hidden_information(h, labels, scale=scale, draws=draws)
    with pytest.raises(ConfigurationError, match="one class"):
        hidden_information(h, labels[:7])


# -- the hook ----------------------------------------------------------------------------------------------------------


class Twice(nn.Module):
    """Calls one layer two times, and another never."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.unused, self.pair = nn.Linear(4, 4), nn.Linear(4, 4), Pair()

    def forward(self, x: Tensor) -> Tensor:
        """Of shape [n, 4]."""
        return self.layer(self.layer(x)) + self.pair(x)[0]


class Pair(nn.Module):
    """Puts out two tensors."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both."""
        return x, x


def subject_of(model: nn.Module, shape: tuple[int, ...]) -> Subject:
    """Twelve samples in batches of five."""
    x, y = torch.randn(12, *shape, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 4
    return Subject(model, nn.functional.cross_entropy, list(zip(x.split(5), y.split(5), strict=True)))


def test_features_of_a_named_layer_are_what_it_puts_out_and_no_hook_is_left():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Dropout(0.5), nn.Linear(48, 4))
    subject = subject_of(model, (1, 6, 6))
    found, labels = hidden_features(subject, "1")
    model.eval()
    expected = model[1](model[0](torch.randn(12, 1, 6, 6, generator=torch.Generator().manual_seed(0))))
    torch.testing.assert_close(found, expected.detach().flatten(1))
    assert torch.equal(labels, torch.arange(12) % 4)
    assert all(not module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("layer", "kind", "words"),
    [
        ("layr", ConfigurationError, "did you mean 'layer'"),
        ("layer", ConfigurationError, "calls it 2 times"),
        ("unused", ConfigurationError, "calls it 0 times"),
        ("pair", UnsupportedError, "one tensor"),
    ],
)
def test_a_layer_without_one_output_per_sample_is_refused_and_no_hook_is_left(layer, kind, words):
    model = Twice()
    with pytest.raises(kind, match=words):
        hidden_features(subject_of(model, (4,)), layer)
    assert all(not module._forward_hooks for module in model.modules())
