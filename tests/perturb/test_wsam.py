"""WSAM: the weight of sharpness, and the difference of gradients that is stepped beside the base optimizer."""

import io

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from samnesia.perturb.flow.base import Flow
from tests.problems import (
    assert_close,
    assert_same,
    batch,
    batches,
    differentiate,
    gradients,
    network,
    sgd,
    train,
    train_plainly,
    weights,
)

ENTRY = samnesia.KeptDifference.ENTRY


def wsam(*, lr=0.1, momentum=0.9, **options):
    model = network()
    optimizer = sgd(model, lr, momentum)
    return samnesia.wsam(model, optimizer, **{"rho": 0.2, "gamma": 0.8, "loss": F.cross_entropy, **options})


def trained(method, data):
    train(method, method.model, data)
    return weights(method.model)


def stepped(method):
    method.optimizer.step()
    method.optimizer.zero_grad()


# -- the formula -------------------------------------------------------------------------------------------------------


def test_one_half_is_sam():
    model = network()
    plain = samnesia.sam(model, sgd(model), rho=0.2, loss=F.cross_entropy)
    assert_close(trained(wsam(gamma=0.5, decoupled=False), batches(4)), trained(plain, batches(4)), 1e-14)


@pytest.mark.parametrize("decoupled", [True, False])
def test_nothing_is_the_base_optimizer(decoupled):
    model = network()
    train_plainly(model, sgd(model), batches(4))
    assert_close(trained(wsam(gamma=0.0, decoupled=decoupled), batches(4)), weights(model), 1e-14)


def test_both_forms_are_one_under_plain_descent_and_two_under_momentum():
    forms = [trained(wsam(decoupled=decoupled, momentum=0.0), batches(4)) for decoupled in (True, False)]
    assert_close(*forms, 1e-13)
    forms = [trained(wsam(decoupled=decoupled), batches(4)) for decoupled in (True, False)]
    with pytest.raises(AssertionError):
        assert_close(*forms, 1e-3)


def test_decoupled_the_base_optimizer_gets_the_clean_gradient():
    method = wsam()
    x, y = batch()
    F.cross_entropy(method.model(x), y).backward()
    clean = gradients(method.model)
    method.optimizer.zero_grad()
    differentiate(method, method.model, x, y)
    assert_close(gradients(method.model), clean, 1e-14)
    assert method.last_step.gradient_evaluations == 2


def test_clipping_leaves_the_difference_alone():
    """The base update is bounded, what follows it is not."""
    clipped, zeroed = wsam(momentum=0.0), wsam(momentum=0.0)
    for method, factor in ((clipped, 0.25), (zeroed, 0.0)):
        differentiate(method, method.model, *batch())
        clean = gradients(method.model)
        for parameter in method.model.parameters():
            parameter.grad.mul_(factor)
        method.optimizer.step()
    expected = {name: w - 0.1 * 0.25 * clean[name] for name, w in weights(zeroed.model).items()}
    assert_close(weights(clipped.model), expected, 1e-14)


def test_lookahead_comes_after_the_difference():
    method = wsam(updates=[samnesia.Lookahead(k=1, alpha=0.5)])
    start, full = weights(method.model), trained(wsam(), batches(1))
    assert_close(trained(method, batches(1)), {n: (start[n] + w) / 2 for n, w in full.items()}, 1e-14)


# -- micro-batches, schedules, skipped steps ---------------------------------------------------------------------------


def test_differences_of_micro_batches_add_up():
    """Under plain descent to the coupled form's sum, whose micro-batches have perturbations of their own as well."""
    forms = []
    for decoupled in (True, False):
        method = wsam(decoupled=decoupled, momentum=0.0)
        for x, y in batches(3):
            for rows, share in ((slice(0, 5), 5 / 8), (slice(5, 8), 3 / 8)):
                differentiate(method, method.model, x[rows], y[rows], scale=share)
            stepped(method)
        forms.append(weights(method.model))
    assert_close(*forms, 1e-13)


def test_steps_that_are_not_perturbed_are_plain():
    method = wsam(when=samnesia.after(2))
    model = network()
    train_plainly(model, sgd(model), batches(2))
    assert_same(trained(method, batches(2)), weights(model))
    assert method.last_step.gradient_evaluations == 1


def test_nothing_stays_after_the_step():
    method = wsam()
    differentiate(method, method.model, *batch())
    assert ENTRY in method.state_dict()["next_memory"]
    stepped(method)
    assert "memory" not in method.state_dict()


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("kept", [True, False])
def test_a_step_that_is_not_taken_leaves_no_difference(kept, set_to_none):
    method, undisturbed = (wsam(keep_gradient_buffers=kept) for _ in range(2))
    data = batches(3)
    for number, (x, y) in enumerate(data):
        differentiate(method, method.model, *batch(seed=9))
        if number == 1:  # also one of two micro-batches
            differentiate(method, method.model, *batch(seed=10))
        method.optimizer.zero_grad(set_to_none=set_to_none)
        for each in (method, undisturbed):
            differentiate(each, each.model, x, y)
            assert each.last_step.micro_batches == 1
            each.optimizer.step()
            each.optimizer.zero_grad(set_to_none=set_to_none)
    assert_same(weights(method.model), weights(undisturbed.model))


def test_a_gradient_that_was_changed_in_place_is_still_the_accumulated_one():
    method, clipped = wsam(momentum=0.0), wsam(momentum=0.0)
    for each in (method, clipped):
        differentiate(each, each.model, *batch(seed=1), scale=0.5)
        if each is clipped:
            nn.utils.clip_grad_norm_(each.model.parameters(), 1e6)
        differentiate(each, each.model, *batch(seed=2), scale=0.5)
        assert each.last_step.micro_batches == 2
        stepped(each)
    assert_close(weights(clipped.model), weights(method.model), 1e-6)


def test_a_difference_that_is_not_finite_is_seen_in_the_gradient():
    """Or a step whose own gradient is fine would be followed by a descent to nowhere."""

    class Cliff(nn.Module):
        """The loss rises as the weight falls, down to where there is no root."""

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1, dtype=torch.float64))

        def forward(self, x):
            return -torch.sqrt(self.weight - 0.9) * x

    model = Cliff()
    method = samnesia.wsam(model, sgd(model), rho=0.5, loss=lambda output, target: output.mean())
    differentiate(method, model, torch.ones(2).double(), torch.zeros(2))
    assert not method.last_step.finite
    assert model.weight.grad.isnan()


@pytest.mark.parametrize("scale", [2.0, 65536.0])
def test_a_scaled_loss_is_refused_in_words(scale):
    method = wsam()
    before = weights(method.model)
    with pytest.raises(UnsupportedError, match=f"^cannot step g_p - g.*scaled by {scale:g}.*because.*; .*decoupled"):
        differentiate(method, method.model, *batch(), scale=scale)
    assert_same(weights(method.model), before)
    assert all(p.grad is None for p in method.model.parameters())


def test_coupled_it_runs_under_a_scaler():
    scaled, plain = (wsam(decoupled=False) for _ in range(2))
    for method, scale in ((scaled, 1024.0), (plain, 1.0)):
        differentiate(method, method.model, *batch(), scale=scale)
    assert_close({n: g / 1024.0 for n, g in gradients(scaled.model).items()}, gradients(plain.model), 1e-12)


def test_a_flow_that_fails_in_its_last_lines_has_added_nothing(monkeypatch):
    """The micro-batch is tried again, and counts once."""
    method, undisturbed = wsam(), wsam()
    data = batches(2)
    differentiate(undisturbed, undisturbed.model, *data[0])
    differentiate(undisturbed, undisturbed.model, *data[1])
    stepped(undisturbed)

    differentiate(method, method.model, *data[0])
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Flow, "_restore_model", interrupted)
        differentiate(method, method.model, *data[1])
    differentiate(method, method.model, *data[1])
    stepped(method)
    assert_same(weights(method.model), weights(undisturbed.model))


def interrupted(flow):
    raise KeyboardInterrupt


# -- state -------------------------------------------------------------------------------------------------------------


def test_resuming_within_an_accumulation_is_bit_exact():
    data = batches(3)
    straight, first, second = (wsam() for _ in range(3))
    for method in (straight, first):
        trained(method, data[:1])
        differentiate(method, method.model, *data[1], scale=0.5)
    file = io.BytesIO()
    parts = (first.model, first.optimizer, first)
    torch.save([*(part.state_dict() for part in parts), gradients(first.model)], file)
    file.seek(0)
    *states, saved = torch.load(file, weights_only=True)
    for part, state in zip((second.model, second.optimizer, second), states, strict=True):
        part.load_state_dict(state)
    for name, parameter in second.model.named_parameters():
        parameter.grad = saved[name]
    for method in (straight, second):
        differentiate(method, method.model, *data[2], scale=0.5)
        stepped(method)
    assert_same(weights(second.model), weights(straight.model))


# -- refused -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [-0.1, 1.0, float("nan")])
def test_gamma_is_a_share(gamma):
    with pytest.raises(ConfigurationError, match=r"^cannot weigh sharpness.*because.*; "):
        wsam(gamma=gamma)


@pytest.mark.parametrize("preset", [samnesia.wsam, samnesia.stable_sam, samnesia.gradient_norm_penalty])
def test_an_objective_of_its_own_is_refused(preset):
    """Its gradient would be descended."""
    model = network()
    with pytest.raises(ConfigurationError, match=r"^cannot combine .* with an objective.*because.*; "):
        preset(model, sgd(model), loss=F.cross_entropy, objective=samnesia.OutputBiasForgetting())


def test_a_perturbation_for_each_rank_is_refused_where_the_difference_is_remembered():
    with pytest.raises(ConfigurationError, match="sync='rank'"):
        wsam(sync="rank")
    wsam(sync="rank", decoupled=False)
