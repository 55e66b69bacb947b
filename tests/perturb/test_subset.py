"""Perturbations of some parameters only."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.methods.subset import _of_normalizations
from tests.perturb.test_ascents import flow
from tests.perturb.test_ball import generators, inner, random_weights, tensors
from tests.problems import assert_same, batch, network, sgd, weights

X, Y = batch()
NAMED = ("conv.bias", "head.weight")
NORMS = {"L2": samnesia.L2(), "Linf": samnesia.Linf(), "layer": samnesia.LargestLayer()}
SCALINGS = {"none": samnesia.Unscaled(), "element": samnesia.ElementScaling(scaled="all")}
every_ball = pytest.mark.parametrize(
    "ball",
    [
        pytest.param(samnesia.Ball(samnesia.Only(frozenset(NAMED), norm), scaling), id=f"{n} {s}")
        for n, norm in NORMS.items()
        for s, scaling in SCALINGS.items()
    ],
)


class RootMeanSquareNorm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(size))


class NormedLinear(nn.Linear):
    """No normalization layer, whatever it is called."""


def normalized():
    """A network with a normalization between its layers."""
    return network(norm=nn.BatchNorm2d)


@every_ball
def test_the_others_do_not_move_and_the_size_is_that_of_the_named(ball):
    w, gradient = random_weights(0), tensors(1)
    for direction in (ball.steepest(w, gradient, 1e-300), ball.random(w, generators(2))):
        moved = dict(zip(w.names, direction.values(), strict=True))
        assert {name for name, e in moved.items() if bool(e.any())} == set(NAMED)
        assert float(ball.measure(w, list(moved.values()))) == pytest.approx(1.0, abs=1e-12)


@every_ball
def test_nothing_in_the_ball_is_steeper(ball):
    w, gradient = random_weights(0), tensors(1)
    best = inner(gradient, ball.steepest(w, gradient).values())
    for seed in range(5):
        assert inner(gradient, ball.random(w, generators(seed)).values()) < best
        projected = ball.project(w, tensors(seed), 1.0)
        assert inner(gradient, projected) <= best * (1 + 1e-9)
        assert float(ball.measure(w, projected)) <= 1 + 1e-12
        assert not projected[0].any()


def test_noise_does_not_depend_on_how_many_parameters_do_not_move():
    """Of length one, and uniform on the sphere of those that do."""
    w = random_weights(0)
    ball = samnesia.Ball(samnesia.Only(frozenset({"scalar"})))
    assert [abs(float(ball.random(w, generators(s)).values()[3])) for s in range(3)] == [1.0] * 3


@pytest.mark.parametrize("steps", [1, 3])
def test_sam_on_moves_normalization_alone(steps):
    model = normalized()
    before = weights(model)
    method = samnesia.sam_on(model, sgd(model), 0.3, steps=steps, loss=F.cross_entropy)
    for p in method.passes():
        moved = {name for name, w in weights(model).items() if not torch.equal(w, before[name])}
        assert moved == (set() if p.index == 0 else {"2.weight", "2.bias"})
        p.loss(model(X), Y).backward()
    assert_same(weights(model), before)
    assert method.last_step.gradient_evaluations == 1 + steps
    assert all(p.grad is not None and bool(p.grad.any()) for p in model.parameters() if p.dim() != 1)
    if steps == 1:
        assert method.last_step.perturbation_norm == pytest.approx(0.3)


def test_the_norm_is_that_of_the_gradient_there():
    model = normalized()
    (start, end), (g, _) = flow(samnesia.sam_on(model, sgd(model), 0.3, loss=F.cross_entropy), model)
    chosen = torch.cat([torch.full_like(p, n.startswith("2.")).flatten() for n, p in model.named_parameters()]).detach()
    torch.testing.assert_close(end - start, 0.3 * chosen * g / (chosen * g).norm(), rtol=1e-9, atol=1e-12)


def test_elementwise_it_scales_biases_as_well():
    model = normalized()
    for p in model.parameters():  # biases of normalizations begin at zero
        p.data.add_(0.1)
    (start, end), (g, _) = flow(samnesia.sam_on(model, sgd(model), 2.0, eta=0.05, loss=F.cross_entropy), model)
    chosen = torch.cat([torch.full_like(p, n.startswith("2.")).flatten() for n, p in model.named_parameters()]).detach()
    t = (start.abs() + 0.05) * chosen
    torch.testing.assert_close(end - start, 2.0 * t**2 * g / (t * g).norm(), rtol=1e-9, atol=1e-12)


def test_what_normalizes():
    layers = [
        nn.BatchNorm1d(2),
        nn.SyncBatchNorm(2),
        nn.GroupNorm(1, 2),
        nn.LayerNorm(2),
        nn.RMSNorm(2),
        nn.InstanceNorm1d(2, affine=True),
        RootMeanSquareNorm(2),
        nn.LayerNorm(2, elementwise_affine=False),
        NormedLinear(2, 2),
        nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
        nn.Linear(2, 2),
    ]
    model = torch.compile(nn.Sequential(*layers))  # its wrapper's prefix is left out
    assert {name.split(".")[0] for name in _of_normalizations(model)} == set("0123456")
    assert "6.gain" in _of_normalizations(model)


def test_other_parameters_may_be_named():
    model = network()
    before = weights(model)
    method = samnesia.sam_on(model, sgd(model), names=["6.bias"], loss=F.cross_entropy)
    for p in method.passes():
        moved = {name for name, w in weights(model).items() if not torch.equal(w, before[name])}
        p.loss(model(X), Y).backward()
    assert moved == {"6.bias"}


@pytest.mark.parametrize(("names", "what"), [(None, "normalization layers"), (["7.bias"], r"\['7.bias'\]")])
def test_a_model_without_them_is_refused(names, what):
    model = network()
    with pytest.raises(ConfigurationError, match=f"^cannot perturb only {what}, because .*; give names= of its own$"):
        samnesia.sam_on(model, sgd(model), names=names)


def test_an_empty_list_of_names_is_refused_as_such():
    model = normalized()
    with pytest.raises(ConfigurationError, match=r"^cannot perturb only .*names=\[\].*because it names none; "):
        samnesia.sam_on(model, sgd(model), names=[])


def test_parameters_that_the_optimizer_does_not_hold_are_refused():
    model = normalized().requires_grad_(True)
    model[2].requires_grad_(False)
    method = samnesia.sam_on(model, torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1))
    with pytest.raises(ConfigurationError, match="^cannot perturb only .*; choose among those that it holds$"):
        for _ in method.passes():
            F.cross_entropy(model(X), Y).backward()


@pytest.mark.parametrize("names", [frozenset(), {"a"}])
def test_no_names_at_all(names):
    with pytest.raises(ConfigurationError, match="^cannot perturb only the parameters named .*, say$"):
        samnesia.Only(names)
