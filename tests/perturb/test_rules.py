"""The surrogate gap."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import samnesia
from samnesia.perturb.errors import ConfigurationError, PassesError
from samnesia.perturb.tensors import Weights
from tests.problems import assert_close, assert_same, batch, differentiate, gradients, network, observed, sgd

X, Y = batch()


def combine(rule, clean, perturbed, loss_scale=1.0):
    parameters = [nn.Parameter(torch.zeros_like(c)) for c in clean]
    weights, kept = Weights.of([str(i) for i in range(len(clean))], parameters), [c.clone() for c in clean]
    point = SimpleNamespace(start=weights, loss_scale=lambda: torch.tensor(loss_scale))
    combined = rule.combine(point, clean, [p.clone() for p in perturbed])
    assert all(torch.equal(c, k) for c, k in zip(clean, kept, strict=True)), "the clean gradient is not the rule's"
    return torch.cat([t.flatten() for t in combined])


def pair(seed):
    generator = torch.Generator().manual_seed(seed)
    return tuple([torch.randn(s, generator=generator, dtype=torch.float64) for s in ((3, 2), (4,))] for _ in range(2))


def flat(tensors):
    return torch.cat([t.flatten() for t in tensors])


@pytest.mark.parametrize("backup", ["raw", "normalized"])
@given(seed=st.integers(0, 1000), alpha=st.floats(-2, 2))
def test_the_gap_is_decomposed_globally(backup, seed, alpha):
    """The part of g orthogonal to g_p over all parameters together is removed, alpha times."""
    clean, perturbed = pair(seed)
    g, g_p = flat(clean), flat(perturbed)
    if backup == "normalized":
        g = g / g.norm()
    orthogonal = g - (g @ g_p) / (g_p @ g_p) * g_p
    combined = combine(samnesia.SurrogateGap(alpha=alpha, backup=backup), clean, perturbed)
    torch.testing.assert_close(combined, g_p - alpha * orthogonal, rtol=1e-12, atol=1e-12)
    # to first order, descending it lowers the perturbed loss as descending g_p does
    torch.testing.assert_close(combined @ g_p, g_p @ g_p, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("backup", ["raw", "normalized"])
@given(seed=st.integers(0, 1000), power=st.integers(-30, 30))
def test_the_rule_is_of_degree_one(backup, seed, power):
    clean, perturbed = pair(seed)
    rule, factor = samnesia.SurrogateGap(alpha=0.7, backup=backup), 2.0**power
    scaled = combine(rule, [factor * t for t in clean], [factor * t for t in perturbed], factor)
    assert torch.equal(scaled, factor * combine(rule, clean, perturbed))


@pytest.mark.parametrize("backup", ["raw", "normalized"])
def test_zero_gradients_are_finite(backup):
    clean, perturbed = pair(0)
    zeros = [torch.zeros_like(t) for t in clean]
    rule = samnesia.SurrogateGap(alpha=0.4, backup=backup)
    assert torch.equal(combine(rule, zeros, perturbed), flat(perturbed))
    assert combine(rule, clean, zeros).isfinite().all()
    assert torch.equal(combine(rule, zeros, zeros), torch.zeros(10, dtype=torch.float64))


def test_a_gradient_that_is_not_finite_stays_so():
    clean, perturbed = pair(0)
    clean[0][0, 0] = torch.inf
    for backup in ("raw", "normalized"):
        assert not combine(samnesia.SurrogateGap(backup=backup), clean, perturbed).isfinite().all()


def test_raw_and_normalized_backups_are_two_methods():
    results = []
    for backup in ("raw", "normalized"):
        model = network()
        differentiate(samnesia.gsam(model, sgd(model), backup=backup, loss=F.cross_entropy), model, X, Y)
        results.append(gradients(model))
    with pytest.raises(AssertionError):
        assert_close(*results, tolerance=1e-3)


def test_a_normalized_backup_needs_to_see_the_loss():
    """It mixes a unit vector with a gradient, so it must know by how much the loss was scaled."""
    model = network()
    method = samnesia.gsam(model, sgd(model), backup="normalized")
    before = observed(model)
    with pytest.raises(PassesError, match="build the method with loss= and compute the loss of each pass with p.loss"):
        for _ in method.passes():
            F.cross_entropy(model(X), Y).backward()
    assert_same(observed(model), before)


def test_a_raw_backup_does_not():
    model, other = network(), network()
    for _ in samnesia.gsam(model, sgd(model)).passes():
        F.cross_entropy(model(X), Y).backward()
    differentiate(samnesia.gsam(other, sgd(other), loss=F.cross_entropy), other, X, Y)
    assert_same(gradients(model), gradients(other))


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.25, 0.75)])
def test_a_normalized_backup_adds_the_shares_of_an_accumulation_inside_a_pass(shares):
    results = []
    for parts in ((1.0,), shares):
        model = network()
        for p in samnesia.gsam(model, sgd(model), backup="normalized", loss=F.cross_entropy).passes():
            for share in parts:
                (share * p.loss(model(X), Y)).backward()
        results.append(gradients(model))
    assert_close(*results)


def test_a_rule_of_ones_own():
    """The mean of both gradients."""

    class Mean(samnesia.Rule):
        def combine(self, point, clean, perturbed):
            return [(a + b) / 2 for a, b in zip(clean, perturbed, strict=True)]

    model = network()
    method = samnesia.PerturbedGradient(model, sgd(model), rho=0.1, rule=Mean(), loss=F.cross_entropy)
    seen = []
    for p in method.passes():
        p.loss(model(X), Y).backward()
        seen.append(gradients(model))
    assert_close(gradients(model), {name: (g + seen[1][name]) / 2 for name, g in seen[0].items()})


@pytest.mark.parametrize("wrong", [{"alpha": float("nan")}, {"alpha": float("inf")}, {"backup": "none"}], ids=str)
def test_wrong_rules_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="^cannot .*, because .*; choose"):
        samnesia.SurrogateGap(**wrong)


def test_a_rule_needs_a_clean_gradient():
    model = network()
    with pytest.raises(
        ConfigurationError, match=r"cannot combine rule=SurrogateGap with RandomAscent, .*; use GradientAscent"
    ):
        samnesia.PerturbedGradient(model, sgd(model), ascent=samnesia.RandomAscent(), rule=samnesia.SurrogateGap())
