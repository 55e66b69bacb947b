"""Loops that train something else than asked, in silence, unless somebody has thought of them."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

import samnesia
from samnesia.perturb.errors import ConfigurationError, PassesError, UnsupportedError
from tests.battery import BY_NAME
from tests.problems import assert_same, batch, differentiate, network, sgd, weights

X, Y = batch()


class Renormed(nn.Linear):
    """Gives its weight new storage in every forward, as networks with a maximum norm do."""

    def forward(self, x):
        self.weight.data = torch.renorm(self.weight.data, 2, 0, 100.0)
        return super().forward(x)


class Momentum(nn.Module):
    """An encoder beside a frozen copy that follows it in the forward."""

    def __init__(self):
        super().__init__()
        self.encoder, self.follower = nn.Linear(4, 3).double(), nn.Linear(4, 3).double().requires_grad_(False)

    def forward(self, x):
        with torch.no_grad():
            self.follower.weight.mul_(0.9).add_(self.encoder.weight, alpha=0.1)
        return self.encoder(x) + self.follower(x)


class Symmetric(nn.Module):
    def forward(self, weight):
        return (weight + weight.T) / 2


def losses_of(model, rho=0.5):
    losses = []
    for p in samnesia.sam(model, sgd(model), rho=rho, loss=F.cross_entropy).passes():
        losses.append(p.loss(model(X), Y))
        losses[-1].backward()
    return [float(loss.detach()) for loss in losses]


def test_a_forward_that_gives_a_weight_new_storage_is_perturbed_and_restored():
    torch.manual_seed(0)
    model = Renormed(4, 3).double()
    plain = nn.Linear(4, 3).double()
    plain.load_state_dict(model.state_dict())
    before = weights(model)
    assert losses_of(model) == pytest.approx(losses_of(plain), rel=1e-12)
    assert_same(weights(model), before)


def test_cached_parametrizations_see_the_perturbation():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3)).double()
    parametrize.register_parametrization(model[0], "weight", Symmetric())
    uncached = losses_of(model)
    model.zero_grad()
    with parametrize.cached():
        assert losses_of(model) == pytest.approx(uncached, rel=1e-12)


def test_a_frozen_parameter_that_follows_in_the_forward_is_refused_after_the_second_pass():
    model = Momentum()
    method = samnesia.sam(model, sgd_of(model.encoder), loss=F.cross_entropy)
    with pytest.raises(PassesError, match=r"frozen parameter 'follower.weight' was changed .*make it a buffer"):
        differentiate(method, model, X, Y)
    differentiate(samnesia.unperturbed(model, sgd_of(model.encoder), loss=F.cross_entropy), model, X, Y)


def sgd_of(module):
    return torch.optim.SGD(module.parameters(), lr=0.1)


@pytest.mark.parametrize("name", ["sam", "asam element", "gsam", "obf", "sign ascent", "sam 3 steps"])
def test_the_forward_never_meets_weights_that_are_not_finite(name):
    """A routine overflow must not crash code that checks its inputs; the step shows it in the final gradient."""
    model = network()
    method = BY_NAME[name](model, sgd(model))
    for p in method.passes():
        output = model(X)
        assert output.isfinite().all()
        (p.loss(output, Y) * (float("inf") if p.index == 0 else 1.0)).backward()
    assert not method.last_step.finite
    assert any(p.grad.isnan().any() for p in model.parameters())
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_a_scaler_skips_does_not_count_also_with_a_fused_optimizer(fused):
    model = network().float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=fused)
    method = samnesia.sam(model, optimizer, loss=F.cross_entropy)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    x = X.float()
    for step in range(3):
        for p in method.passes():
            scaler.scale(p.loss(model(x), Y) * (float("inf") if step == 0 else 1.0)).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    assert method.steps == 2


@pytest.mark.parametrize("inference", [False, True])
def test_buffers_that_nobody_can_write_to_are_left_alone(inference):
    model = network()
    with torch.inference_mode(inference):
        model.register_buffer("mask", torch.ones(1, 1).expand(1, 3))
    differentiate(samnesia.sam(model, sgd(model), loss=F.cross_entropy), model, X, Y)
    assert model.mask.shape == (1, 3)


def test_what_is_no_model_or_optimizer_is_refused_in_words():
    model = network()
    for arguments in ((sgd(model), model), (model.parameters(), sgd(model)), (model, torch.optim.SGD)):
        with pytest.raises(UnsupportedError, match=r"the first argument must be the model"):
            samnesia.sam(*arguments)


def test_parameters_without_values_or_of_complex_type_are_refused_in_words():
    lazy = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(UnsupportedError, match=r"'0.weight', because it has no values before the first forward"):
        samnesia.sam(lazy, torch.optim.SGD(lazy.parameters(), lr=0.1))
    wave = nn.Linear(2, 2, dtype=torch.complex64)
    with pytest.raises(UnsupportedError, match=r"'weight' of type torch.complex64, because .* real weights"):
        samnesia.sam(wave, sgd(wave))


@pytest.mark.parametrize("when", [samnesia.after, samnesia.every, 3])
def test_a_schedule_that_was_not_called_is_refused(when):
    model = network()
    with pytest.raises(ConfigurationError, match=r"must be a callable step -> bool"):
        samnesia.sam(model, sgd(model), when=when)


def test_a_scaling_of_weights_needs_a_name_that_says_so():
    model = nn.Module()
    model.kernel = nn.Parameter(torch.ones(2, 2))
    with pytest.raises(ConfigurationError, match=r"whose name contains 'weight', because this model has none"):
        samnesia.asam(model, sgd(model))
    samnesia.asam(model, sgd(model), scaled="all")


def test_a_random_perturbation_has_no_objective():
    model = network()
    with pytest.raises(ConfigurationError, match=r"cannot combine objective=OutputBiasForgetting with RandomAscent"):
        samnesia.random_perturbation(model, sgd(model), objective=samnesia.OutputBiasForgetting(), loss=F.cross_entropy)


def test_output_bias_forgetting_says_what_targets_it_takes():
    forget = samnesia.OutputBiasForgetting(link="sigmoid")
    with pytest.raises(UnsupportedError, match=r"two or more"):
        forget(torch.randn(5, 1), torch.zeros(5, dtype=torch.long))
    for output, target in ((torch.randn(5, 3), (5, 1)), (torch.randn(4, 3, 4), (4,))):
        with pytest.raises(UnsupportedError, match=r"because each sample needs one"):
            forget(output, torch.zeros(target, dtype=torch.long))


def test_several_classes_at_once_keep_alpha_in_its_range():
    """p_y is then the mean probability of the labels: two sure labels are forgotten like one."""
    output = torch.tensor([[9.0, 9.0, -9.0]], dtype=torch.float64, requires_grad=True)
    samnesia.OutputBiasForgetting(link="sigmoid")(
        output, torch.tensor([[1.0, 1.0, 0.0]], dtype=torch.float64)
    ).backward()
    p = torch.sigmoid(output.detach())
    torch.testing.assert_close(output.grad, 1 / 3 - p, rtol=0.0, atol=1e-3)  # alpha near 1: u - alpha p - (1 - alpha) y
