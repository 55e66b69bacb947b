"""Gradients that are centralized, or left with their outliers, before they are followed."""

import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import samnesia
from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.filtered import centralized
from tests.perturb.test_ascents import flow
from tests.perturb.test_ball import SHAPES, random_weights, tensors
from tests.problems import assert_close, batch, batches, gradients, network, sgd, train, weights

SEEDS = st.integers(0, 2**30)


def built(preset, **options):
    model = network()
    return preset(model, sgd(model), 0.3, loss=F.cross_entropy, **options), model


@settings(max_examples=20)
@given(seed=SEEDS)
def test_centralized_gradients_have_no_mean(seed):
    """Over all dimensions but the first; where there are none, nothing is subtracted."""
    gradient = tensors(seed)
    found = centralized(random_weights(seed), gradient)
    for name, shape, before, after in zip(SHAPES, SHAPES.values(), gradient, found, strict=True):
        assert after is not before
        if len(shape) < 2:
            assert torch.equal(after, before), name
        else:
            torch.testing.assert_close(after.flatten(1).mean(1), torch.zeros(shape[0], dtype=torch.float64))
            offset = torch.randn(shape[0], dtype=torch.float64).view(-1, *[1] * (len(shape) - 1))
            shifted = [g + offset if g is before else g for g in gradient]
            others = centralized(random_weights(seed), shifted)
            torch.testing.assert_close(others[list(SHAPES).index(name)], after)
    assert_close(
        dict(zip(SHAPES, centralized(random_weights(seed), found), strict=True)), dict(zip(SHAPES, found, strict=True))
    )


def test_gcsam_climbs_and_descends_without_means():
    method, model = built(samnesia.gcsam)
    before = weights(model)
    for p in method.passes():
        if p.last:
            moved = {name: w - before[name] for name, w in weights(model).items()}
        p.loss(model(batch()[0]), batch()[1]).backward()
    assert method.last_step.gradient_evaluations == 2
    assert float(torch.cat([m.flatten() for m in moved.values()]).norm()) == pytest.approx(0.3)
    for name in ("1.weight", "6.weight"):
        for tensor in (moved[name], gradients(model)[name]):
            torch.testing.assert_close(tensor.flatten(1).mean(1), torch.zeros(len(tensor), dtype=torch.float64))
    assert float(gradients(model)["6.bias"].abs().min()) > 1e-3


def test_gcsam_keeps_no_copy_of_the_clean_gradient():
    """Its rule does not look at it."""
    method, model = built(samnesia.gcsam)
    kept = []
    for p in method.passes():
        if p.last:
            assert all(reference() is None for reference in kept)
        p.loss(model(batch()[0]), batch()[1]).backward()
        kept += [weakref.ref(parameter.grad) for parameter in model.parameters()]


def moved_entries(share, model=None):
    """What one step moves, and along what, tensor by tensor."""
    model = model or network()
    method = samnesia.zsharp(model, sgd(model), 0.3, share=share, loss=F.cross_entropy)
    (start, end), (g, _) = flow(method, model)
    sizes = [p.numel() for p in model.parameters()]
    return (end - start).split(sizes), g.split(sizes)


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5, 1.0])
def test_zsharp_follows_what_reaches_the_quantile(share):
    moved, gradient = moved_entries(share)
    kept = []
    for g in gradient:
        z = ((g - g.mean()) / g.std()).abs().numpy()
        kept.append(torch.where(torch.from_numpy(z >= np.quantile(z, 1 - share)), g, 0.0))
    norm = torch.cat(kept).norm()
    for m, d in zip(moved, kept, strict=True):
        torch.testing.assert_close(m, 0.3 * d / norm, rtol=1e-9, atol=1e-12)


def test_a_quantile_that_is_an_entry_is_that_entry():
    """(1 - 0.45) · 100 is more than 55 for a computer."""
    model = torch.nn.Linear(101, 1, bias=False).double()
    start = model.weight.detach().clone()
    slopes = torch.arange(101.0).square()
    by_size = (slopes - slopes.mean()).abs().argsort()
    for p in samnesia.zsharp(model, sgd(model), share=0.45).passes():
        if p.last:
            moved = {int(i) for i in (model.weight != start)[0].nonzero()}
            assert moved | {0} == {int(i) for i in by_size[55:]} | {0}  # that of slope 0 cannot move
        (model.weight * slopes).sum().backward()


def test_all_of_the_gradient_is_sam():
    trained = []
    for preset, option in ((samnesia.zsharp, {"share": 1.0}), (samnesia.sam, {})):
        method, model = built(preset, **option)
        train(method, model, batches(3))
        trained.append(weights(model))
    assert_close(*trained)


def test_a_tensor_of_one_entry_moves():
    """It is its own mean, and no deviation divides by zero."""
    moved, _ = moved_entries(0.05, torch.nn.Sequential(Gain(), network()))
    assert float(moved[0].abs()) > 0.0


class Gain(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(1.5, dtype=torch.float64))

    def forward(self, x):
        return self.gain * x


def test_what_is_not_finite_is_not_filtered_out():
    """A scaler has to see it."""
    model = network()
    method = samnesia.zsharp(model, sgd(model), 0.3, loss=F.cross_entropy)
    for p in method.passes():
        p.loss(model(batch()[0]), batch()[1]).backward()
        if not p.last:
            model[1].weight.grad[0, 0, 0, 0] = float("inf")
    assert not method.last_step.finite


@pytest.mark.parametrize("share", [0.0, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ConfigurationError, match=r"^cannot follow the share=.*; choose it in \(0, 1\]$"):
        built(samnesia.zsharp, share=share)
