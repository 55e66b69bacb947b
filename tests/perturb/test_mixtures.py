"""Rules that mix or rescale the two gradients."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

import samnesia
from samnesia.perturb.errors import ConfigurationError
from tests.perturb.test_rules import combine, flat, pair
from tests.problems import assert_close, batches, differentiate, gradients, network, sgd, train, train_plainly, weights

RULES = [samnesia.Mixture(share=0.8), samnesia.Mixture(share=4.0), samnesia.RescaledNorm()]


def trained(preset, data, **options):
    model = network()
    method = preset(model, sgd(model), rho=0.2, loss=F.cross_entropy, **options)
    train(method, model, data)
    return weights(model)


@given(seed=st.integers(0, 1000), share=st.floats(-3, 9))
def test_a_mixture(seed, share):
    clean, perturbed = pair(seed)
    expected = flat(clean) + share * (flat(perturbed) - flat(clean))
    torch.testing.assert_close(
        combine(samnesia.Mixture(share=share), clean, perturbed), expected, rtol=1e-12, atol=1e-12
    )


@given(seed=st.integers(0, 1000))
def test_rescaling_keeps_the_direction_of_one_and_the_length_of_the_other(seed):
    """Over all parameters together."""
    clean, perturbed = pair(seed)
    rescaled = combine(samnesia.RescaledNorm(), clean, perturbed)
    torch.testing.assert_close(rescaled.norm(), flat(clean).norm(), rtol=1e-12, atol=0)
    torch.testing.assert_close(
        rescaled / rescaled.norm(), flat(perturbed) / flat(perturbed).norm(), rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("rule", RULES, ids=str)
@given(seed=st.integers(0, 1000), power=st.integers(-30, 30))
def test_rules_are_of_degree_one(rule, seed, power):
    clean, perturbed = pair(seed)
    scaled = combine(rule, [2.0**power * t for t in clean], [2.0**power * t for t in perturbed])
    assert torch.equal(scaled, 2.0**power * combine(rule, clean, perturbed))


def test_zero_gradients_are_finite():
    clean, perturbed = pair(0)
    zeros = [torch.zeros_like(t) for t in clean]
    assert not combine(samnesia.RescaledNorm(), clean, zeros).any()
    assert not combine(samnesia.RescaledNorm(), zeros, perturbed).any()
    assert not combine(samnesia.RescaledNorm(), zeros, zeros).any()


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("which", [0, 1])
def test_a_gradient_that_is_not_finite_stays_so(rule, which):
    gradients = pair(0)
    gradients[which][0][0, 0] = torch.inf
    assert not combine(rule, *gradients).isfinite().all()


def test_the_penalty_with_the_whole_share_is_sam_and_with_none_the_base_optimizer():
    data = batches(4)
    whole = trained(samnesia.gradient_norm_penalty, data, share=1.0)
    assert_close(whole, trained(samnesia.sam, data), 1e-14)
    model = network()
    train_plainly(model, sgd(model), data)
    assert_close(trained(samnesia.gradient_norm_penalty, data, share=0.0), weights(model), 1e-14)


def test_the_penalty_is_the_gradient_of_the_penalized_loss():
    """Up to the square of the radius: the norm's own gradient from autograd."""
    (x, y), rho, model = batches(1)[0], 1e-5, network()
    (*slopes,) = torch.autograd.grad(F.cross_entropy(model(x), y), model.parameters(), create_graph=True)
    (0.7 * rho * torch.cat([g.flatten() for g in slopes]).norm()).backward()
    expected = {n: p.grad / rho for n, p in model.named_parameters()}
    method = samnesia.gradient_norm_penalty(model, sgd(model), rho=rho, share=0.7, loss=F.cross_entropy)
    model.zero_grad()
    differentiate(method, model, x, y)
    found = {n: (p.grad - g.detach()) / rho for (n, p), g in zip(model.named_parameters(), slopes, strict=True)}
    assert_close(found, expected, 1e-4)
    assert method.last_step.gradient_evaluations == 2


def test_stable_sam_steps_as_far_as_plain_training():
    (x, y), model = batches(1)[0], network()
    F.cross_entropy(model(x), y).backward()
    plain = gradients(model)
    model.zero_grad()
    method = samnesia.stable_sam(model, sgd(model), rho=0.2, loss=F.cross_entropy)
    differentiate(method, model, x, y)
    sizes = [torch.cat([g.flatten() for g in each.values()]).norm() for each in (gradients(model), plain)]
    torch.testing.assert_close(*sizes, rtol=1e-12, atol=0)
    assert method.last_step.gradient_evaluations == 2


def test_a_share_is_a_number():
    with pytest.raises(ConfigurationError, match=r"^cannot mix two gradients with share=nan.*because.*; "):
        samnesia.Mixture(share=float("nan"))
