"""Escape: on a quadratic the growth is known step by step."""

from __future__ import annotations

import functools
import gc
import json
import math

import pytest
import torch

import samnesia
from samnesia.measure.landscape.escaping import escape, fit_growth
from samnesia.measure.statistics import BatchStatistics
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.parts.ascents import Ascent
from samnesia.perturb.parts.point import Need
from samnesia.perturb.tensors import Direction
from tests.measure.landscape.subjects import convolutional, perceptron, quadratic, seen
from tests.measure.test_subject import everything, same


class Raw(Ascent):
    """``e = rho g``, without the norm: the SAM of the theory."""

    @property
    def num_gradients(self) -> int:
        return 1

    def climb(self, point):
        gradients = yield Need.GRADIENT
        point.move(Direction(gradients, torch.ones((), dtype=torch.float64)))


def raw_sam(model, optimizer, rho, *, loss, seed):
    return PerturbedGradient(model, optimizer, rho=rho, ascent=Raw(), loss=loss, seed=seed)


@pytest.mark.parametrize("lr", [0.1, 0.45, 1.3])
def test_sgd_and_unnormalized_sam_grow_at_the_rates_of_theory(lr: float):
    """``w' = (1 - lr h) w`` and ``w' = (1 - lr h (1 + rho h)) w``, with a loss of ``h w^2 / 2``."""
    h, rho = 2.0, 0.3
    found = escape(quadratic([h], [0.01]), raw_sam, rho=rho, lr=lr, steps=20, repeats=2)
    assert found.control.rate.value == pytest.approx(2.0 * math.log(abs(1.0 - lr * h)), rel=1e-10)
    assert found.perturbed.rate.value == pytest.approx(2.0 * math.log(abs(1.0 - lr * h * (1.0 + rho * h))), rel=1e-10)
    assert found.perturbed.fit == pytest.approx(1.0)
    assert found.gain.value == pytest.approx(found.perturbed.rate.value - found.control.rate.value)
    assert found.perturbed.rate.count == 2 and found.perturbed.rate.error == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("lr", [0.1, 1.3])
def test_sam_steps_are_true_steps(lr: float):
    """With ``|e| = rho``: ``u' = |1 - lr h (1 + rho / u)| u`` along an eigenvector, at a distance u."""
    h, rho, u = 2.0, 0.05, 0.2
    found = escape(quadratic([h], [-u]), rho=rho, lr=lr, steps=30, repeats=1)
    expected = []
    for _ in range(31):
        expected.append(h * u**2 / 2)
        u = abs(1.0 - lr * h * (1.0 + rho / u)) * u
    assert found.perturbed.losses[0] == pytest.approx(expected, rel=1e-9)
    assert found.perturbed.rate.value == pytest.approx(fit_growth(expected, (0, 30))[0], rel=1e-9)
    assert math.isnan(found.perturbed.rate.error)


def test_normalized_sam_does_not_settle_where_sgd_does_and_escapes_as_fast_from_a_sharp_minimum():
    h, rho, lr = 2.0, 0.05, 0.5
    settled = escape(quadratic([h], [0.2]), rho=rho, lr=lr, steps=60, repeats=1).perturbed.losses[0][-1]
    amplitude = lr * h * rho / (2.0 - lr * h)  # the two-cycle w' = -w
    assert settled == pytest.approx(h * amplitude**2 / 2, rel=1e-6)
    late = escape(quadratic([h], [0.01]), rho=rho, lr=1.3, steps=60, repeats=1, window=(40, 60))
    assert late.perturbed.rate.value == pytest.approx(2.0 * math.log(abs(1.0 - 1.3 * h)), rel=1e-3)
    assert late.perturbed.losses[0][-1] > 100.0 * late.control.losses[0][-1]


def test_two_curvatures_are_coupled_only_by_the_norm_of_sam():
    h, w, rho, lr = torch.tensor([5.0, 0.5], dtype=torch.float64), torch.tensor([0.1, 0.3]).double(), 0.1, 0.2
    found = escape(quadratic(h.tolist(), w.tolist()), rho=rho, lr=lr, steps=10, repeats=1)
    expected = []
    for _ in range(11):
        expected.append(float((h * w**2).sum() / 2))
        g = h * w
        w = w - lr * h * (w + rho * g / g.norm())
    assert found.perturbed.losses[0] == pytest.approx(expected, rel=1e-9)


def test_steps_are_those_of_the_trainer_on_batches_in_the_order_of_the_seed():
    subject = seen(perceptron(steps=30))
    found = escape(subject, functools.partial(samnesia.asam, eta=0.1), rho=0.3, lr=0.1, steps=4, repeats=2, seed=7)
    model = perceptron(steps=30)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.zero_grad()
    method = samnesia.asam(model, optimizer, rho=0.3, eta=0.1)
    batches, generator = list(subject.batches()), torch.Generator().manual_seed(8)
    order = [*torch.randperm(3, generator=generator).tolist(), *torch.randperm(3, generator=generator).tolist()][:4]
    for i in order:
        for _ in method.passes():
            torch.nn.functional.cross_entropy(model(batches[i][0]), batches[i][1]).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert found.perturbed.losses[1][-1] == pytest.approx(seen(model).loss(), rel=1e-12)
    assert found.perturbed.losses[0] != found.perturbed.losses[1]
    assert found.perturbed.label == "ASAM, rho = 0.3"


@pytest.mark.parametrize("options", [{}, {"statistics": BatchStatistics()}])
@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_left_as_it_was(options, fails: bool):
    subject = convolutional(**options)
    subject.model.train()
    subject.parameters[0].grad = kept = torch.ones_like(subject.parameters[0])
    before = everything(subject.model)
    found = escape(subject, rho=0.1, lr=0.1, steps=3, repeats=2)
    if fails:
        subject.criterion = broken_after(subject.criterion, 9)
        with pytest.raises(KeyError):
            escape(subject, rho=0.1, lr=0.1, steps=3, repeats=2)
    else:
        assert found == escape(subject, rho=0.1, lr=0.1, steps=3, repeats=2)
        assert found != escape(subject, rho=0.1, lr=0.1, steps=3, repeats=2, seed=1)
    assert same(before, everything(subject.model))
    assert subject.parameters[0].grad is kept
    gc.collect()
    assert not subject.model._state_dict_pre_hooks


def broken_after(criterion, calls: int):
    """A criterion that raises at last."""
    left = [calls]

    def broken(output, target):
        left[0] -= 1
        if left[0] < 0:
            raise KeyError
        return criterion(output, target)

    return broken


def test_a_loss_that_leaves_all_numbers_ends_the_run_there():
    found = escape(quadratic([1.0], [1.0]), lr=1e60, steps=9, repeats=1)
    losses = found.control.losses[0]
    assert sum(math.isnan(loss) for loss in losses) > 0
    assert all(math.isnan(b) or not math.isnan(a) for a, b in zip(losses, losses[1:], strict=False))
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["control"]["losses"][0][-1] is None
    assert "growth rate" in str(found)


def test_a_growth_that_is_not_exponential_is_said_to_be_none():
    saturating = str(escape(quadratic([2.0], [1e-6]), rho=0.05, lr=0.5, steps=60, repeats=1))
    assert "Doubt: the loss under SAM, rho = 0.05 is no exponential" in saturating and "under SGD is" not in saturating
    assert "Doubt" not in str(escape(quadratic([2.0], [0.01]), raw_sam, lr=1.3, steps=20, repeats=1))


def test_growth_is_fitted_above_the_floor_and_inside_the_window():
    losses = [2.0 + math.exp(0.3 * t) for t in range(10)]
    assert fit_growth(losses, (0, 9), floor=2.0) == pytest.approx((0.3, 1.0))
    bent = [1.0] * 5 + [math.exp(0.7 * t) for t in range(5)]
    assert fit_growth(bent, (5, 9)) == pytest.approx((0.7, 1.0))
    assert fit_growth(bent, (0, 9))[1] < 0.95
    assert all(math.isnan(v) for v in fit_growth([1.0, 1.0], (0, 1), floor=1.0))
    assert fit_growth([2.0, 2.0], (0, 1)) == pytest.approx((0.0, 1.0))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"lr": 0.0}, "lr=0.0, because a step has a length"),
        ({"steps": 0}, "in 0 steps and 5 repeats"),
        ({"repeats": 0}, "in 50 steps and 0 repeats"),
        ({"window": (3, 3)}, "over steps 3 to 3"),
        ({"window": (0, 51)}, "over steps 0 to 51"),
    ],
)
def test_numbers_out_of_range_are_refused_in_a_sentence(options, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        escape(quadratic([1.0], [1.0]), **options)


def test_several_processes_are_refused_in_a_sentence():
    subject = quadratic([1.0], [1.0])
    subject.distributed = True
    with pytest.raises(UnsupportedError, match="over several processes"):
        escape(subject)


def test_there_is_no_escape_from_a_loss_that_is_not_finite():
    x, y = torch.randn(3, 2), torch.arange(3) % 2
    subject = Subject(torch.nn.Linear(2, 2), torch.nn.CrossEntropyLoss(), [(x, y), (math.nan * x, y)])
    with pytest.raises(ConfigurationError, match="loss of nan"):
        escape(subject, steps=2, repeats=1)
