"""Functional SAM: the loss derivative of the weights, the Jacobian of the perturbed ones."""

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

import samnesia
from samnesia.perturb.errors import ConfigurationError, ObjectiveNotUsedError, PassesError, UnsupportedError
from tests.problems import (
    assert_close,
    assert_same,
    batch,
    batches,
    differentiate,
    flat,
    gradients,
    network,
    sgd,
    train,
    train_plainly,
    weights,
)

X, Y = batch()


def functional(model=None, **options):
    model = model or network()
    return samnesia.functional_sam(model, sgd(model), **{"rho": 0.3, **options})


def by_hand(x, y, steps=1):
    """With torch.func, from the formula."""
    model = network()
    start = perturbed = weights(model)
    names = list(start)
    for _ in range(steps):
        slopes = torch.func.grad(lambda w: F.cross_entropy(functional_call(model, w, x), y))(perturbed)
        length = flat(slopes).norm()
        perturbed = {name: perturbed[name] + 0.3 / steps * slopes[name] / length for name in names}
    derivative = torch.func.grad(lambda output: F.cross_entropy(output, y))(functional_call(model, start, x))
    _, pull = torch.func.vjp(lambda w: functional_call(model, w, x), perturbed)
    return {name: g.detach() for name, g in pull(derivative.detach())[0].items()}


@pytest.mark.parametrize("steps", [1, 2])
def test_by_hand(steps):
    method = functional(steps=steps)
    differentiate(method, method.model, X, Y)
    assert_close(gradients(method.model), by_hand(X, Y, steps), 1e-12)
    assert method.last_step.gradient_evaluations == 1 + steps


def test_without_a_radius_it_is_the_base_optimizer():
    method, model = functional(rho=0.0), network()
    train(method, method.model, batches(3))
    train_plainly(model, sgd(model), batches(3))
    assert_close(weights(method.model), weights(model), 1e-14)


def test_for_a_linear_model_there_is_nothing_to_perturb():
    """Its Jacobian is the same everywhere: the step is the plain gradient's, where SAM's is not."""
    model = torch.nn.Linear(4, 3).double()
    F.cross_entropy(model(X), Y).backward()
    plain = gradients(model)
    model.zero_grad()
    method = functional(model)
    differentiate(method, model, X, Y)
    assert_close(gradients(model), plain, 1e-14)


def test_losses_of_parts_of_a_batch():
    """Each call in the last pass takes the derivative of its own part."""
    method = functional()
    for p in method.passes():
        for rows in (slice(0, 5), slice(5, 8)):
            (len(Y[rows]) / 8 * p.loss(method.model(X[rows]), Y[rows])).backward()
    assert_close(gradients(method.model), by_hand(X, Y), 1e-12)


def test_a_scaled_loss_gives_the_gradient_scaled():
    method, scaled = functional(), functional()
    differentiate(method, method.model, X, Y)
    differentiate(scaled, scaled.model, X, Y, scale=256.0)
    assert_close({n: g / 256.0 for n, g in gradients(scaled.model).items()}, gradients(method.model), 1e-10)


def test_half_precision_under_a_gradient_scaler():
    """Derivatives below the least number of half precision, and a scale above its largest."""
    found = []
    for half, scale in ((True, 65536.0), (False, 1.0)):
        model = network().float()
        with torch.no_grad():
            model[-1].bias.copy_(torch.tensor([0.0, 0.0, 17.0]))  # sure of the third class: derivatives of 1e-9
        method = functional(model)
        for p in method.passes():
            with torch.autocast("cpu", torch.float16, enabled=half):
                value = p.loss(model(X.float()), torch.full_like(Y, 2))
                assert value.dtype == torch.float32
                (value * scale).backward()
        found.append(flat(gradients(model)) / scale)
    torch.testing.assert_close(*found, rtol=0, atol=0.1 * float(found[1].norm()))
    assert 0 < found[1].norm() < 1e-6


def test_steps_that_are_not_perturbed_are_plain():
    method, model = functional(when=samnesia.after(2)), network()
    train(method, method.model, batches(2))
    train_plainly(model, sgd(model), batches(2))
    assert_same(weights(method.model), weights(model))


def test_a_flow_that_was_left_leaves_no_derivative():
    method, undisturbed = functional(), functional()
    for p in method.passes():
        if p.last:
            break
        p.loss(method.model(-X), Y).backward()
    for each in (method, undisturbed):
        differentiate(each, each.model, X, Y)
    assert_same(gradients(method.model), gradients(undisturbed.model))


def test_a_closure_reports_the_training_loss():
    method = functional()

    def closure():
        method.optimizer.zero_grad()
        loss = method.criterion(method.model(X), Y)
        loss.backward()
        return loss

    before = F.cross_entropy(method.model(X), Y).item()
    assert method.step(closure).item() == pytest.approx(before, rel=1e-14)
    assert method.last_step.loss == pytest.approx(before, rel=1e-14)


def test_what_cannot_be_is_refused():
    method = functional()
    with pytest.raises(PassesError, match=r"^cannot descend with the derivative of another batch.*because.*; "):
        for p in method.passes():
            rows = slice(0, 4) if p.last else slice(0, 8)
            p.loss(method.model(X[rows]), Y[rows]).backward()
    with pytest.raises(ObjectiveNotUsedError):
        for _ in method.passes():
            F.cross_entropy(method.model(X), Y).backward()
    with pytest.raises(UnsupportedError, match=r"^cannot differentiate the loss by an output of tuple.*because.*; "):
        for p in functional(loss=lambda outputs, y: F.cross_entropy(outputs[0], y)).passes():
            p.loss((method.model(X),), Y)
    model = network()
    frozen = {"loss": F.cross_entropy, "descent": samnesia.FrozenDerivative()}
    with pytest.raises(ConfigurationError, match=r"^cannot (use|combine) .*descent=FrozenDerivative.*because.*; "):
        samnesia.sam(model, sgd(model), **{**frozen, "loss": None})
    with pytest.raises(ConfigurationError, match=r"^cannot (use|combine) .*descent=FrozenDerivative.*because.*; "):
        samnesia.random_perturbation(model, sgd(model), **frozen)
    with pytest.raises(ConfigurationError, match=r"^cannot (use|combine) .*descent=FrozenDerivative.*because.*; "):
        samnesia.sam(model, sgd(model), **frozen, remainder=F.cross_entropy)
    with pytest.raises(ConfigurationError, match=r"^cannot vectorize.*a descent.*because.*; "):
        samnesia.Vectorized(functional(), 4)
