"""Base optimizers: what they do to weights, and which weights decay."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from samnesia.models.small import mlp
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import SGD, AdamW

X = torch.randn(12, 2, 5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Y = torch.arange(12) % 3


def net():
    torch.manual_seed(0)
    layers = (nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, 6), nn.LayerNorm(6), nn.Linear(6, 3))
    return nn.Sequential(*layers).double()


def stepped(model, optimizer, steps=5):
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(X), Y).backward()
        optimizer.step()
    return [p.detach().clone() for p in model.parameters()]


def decay_of(optimizer):
    return {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}


@pytest.mark.parametrize("part", [SGD(), SGD(decoupled=True), AdamW()])
def test_matrices_alone_decay_where_asked(part):
    model = net()
    found = decay_of(replace(part, weight_decay=0.1, decayed="matrices").build(model))
    for name, p in model.named_parameters():
        matrix = name.endswith("weight") and name[0] in "035"
        assert found[id(p)] == (0.1 if matrix else 0.0), name
    everything = decay_of(replace(part, weight_decay=0.1, decayed="all").build(model))
    assert set(everything.values()) == {0.1} and everything.keys() == found.keys()


def test_a_vector_without_a_gradient_to_decay_it_stays():
    """The scale of a normalization whose output is not used gets no gradient: with decay it would shrink."""
    model, unused = net(), nn.LayerNorm(4).double()
    model.add_module("unused", unused)
    for decayed, stays in (("matrices", True), ("all", False)):
        optimizer = SGD(lr=0.1, weight_decay=0.5, decayed=decayed).build(model)
        unused.weight.data.fill_(1.0)
        unused.weight.grad = torch.zeros(4, dtype=torch.float64)
        optimizer.step()
        assert torch.equal(unused.weight, torch.ones(4, dtype=torch.float64)) == stays


def test_frozen_parameters_are_no_part_of_it():
    model = net()
    model[0].requires_grad_(False)
    frozen = {id(p) for p in model[0].parameters()}
    for part in (SGD(), SGD(decayed="matrices"), AdamW()):
        assert not frozen & decay_of(part.build(model)).keys()


def test_a_model_of_matrices_alone_has_one_group():
    optimizer = SGD(decayed="matrices").build(nn.Linear(3, 2, bias=False))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [5e-4]


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("decoupled", [False, True])
def test_sgd_follows_its_formula(nesterov, decoupled):
    lr, momentum, decay = 0.1, 0.8, 0.03
    part = SGD(lr=lr, momentum=momentum, weight_decay=decay, nesterov=nesterov, decoupled=decoupled)
    model = net()
    found = stepped(model, part.build(model))
    oracle = net()
    velocities = [torch.zeros_like(p) for p in oracle.parameters()]
    for _ in range(5):
        gradients = torch.autograd.grad(nn.functional.cross_entropy(oracle(X), Y), list(oracle.parameters()))
        with torch.no_grad():
            for w, g, v in zip(oracle.parameters(), gradients, velocities, strict=True):
                if decoupled:
                    w *= 1.0 - lr * decay
                else:
                    g = g + decay * w
                v.mul_(momentum).add_(g)
                w -= lr * (g + momentum * v if nesterov else v)
    for a, b in zip(found, oracle.parameters(), strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=1e-12, atol=1e-14)


def test_decoupled_decay_alone_shrinks_by_lr_times_decay():
    model = nn.Linear(3, 2, bias=False).double()
    before = model.weight.detach().clone()
    optimizer = SGD(lr=0.2, momentum=0.9, weight_decay=0.5, decoupled=True).build(model)
    for _ in range(3):
        model.weight.grad = torch.zeros_like(model.weight)
        optimizer.step()
    torch.testing.assert_close(model.weight.detach(), before * 0.9**3)


def test_sgd_is_that_of_torch():
    model, other = net(), net()
    found = stepped(model, SGD(lr=0.1, momentum=0.9, weight_decay=1e-2).build(model))
    expected = stepped(other, torch.optim.SGD(other.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2))
    assert all(map(torch.equal, found, expected))


def test_adamw_is_that_of_torch_with_two_groups():
    model, other = net(), net()
    part = AdamW(lr=0.01, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.3)
    matrices, vectors = ([p for p in other.parameters() if (p.ndim >= 2) == matrix] for matrix in (True, False))
    groups = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
    expected = torch.optim.AdamW(groups, lr=0.01, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.3)
    assert all(map(torch.equal, stepped(model, part.build(model)), stepped(other, expected)))


def test_all_decay_alike_in_adamw_where_asked():
    model, other = net(), net()
    expected = torch.optim.AdamW(other.parameters(), lr=0.01, weight_decay=0.3)
    found = AdamW(lr=0.01, weight_decay=0.3, decayed="all").build(model)
    assert all(map(torch.equal, stepped(model, found), stepped(other, expected)))


@pytest.mark.parametrize("decoupled", [False, True])
def test_with_a_rate_for_each_tensor_rescaled_layers_train_to_the_same_function(decoupled):
    """Layers c times as large and as small have gradients as much smaller and larger: rates of c**2 make up for it."""

    def trained(scale, rates):
        torch.manual_seed(0)
        model = mlp(50, 3, hidden=(6, 6), norm=False, scale=scale).double()
        optimizer = SGD(lr=0.1, weight_decay=0.3, decoupled=decoupled, rates=rates).build(model)
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * group.get("rate", 1.0)  # as the trainer does it
        return stepped(model, optimizer), model(X)

    weights, outputs = trained(1.0, ())
    rescaled, same = trained(8.0, (64.0, 64.0, 1 / 64, 1.0, 1.0, 1.0))
    assert torch.allclose(same, outputs, rtol=1e-10, atol=1e-12)
    for tensor, other, factor in zip(weights, rescaled, (8.0, 8.0, 1 / 8, 1.0, 1.0, 1.0), strict=True):
        assert torch.allclose(other, factor * tensor, rtol=1e-10, atol=1e-12)
    assert not torch.allclose(trained(8.0, ())[1], outputs, rtol=1e-2)


def test_rates_that_do_not_fit_are_refused():
    with pytest.raises(ConfigurationError, match="cannot train 10 tensors with 2 rates"):
        SGD(rates=(1.0, 1.0)).build(net())
    with pytest.raises(ConfigurationError, match=r"with rates \(1.0, 0.0\)"):
        SGD(rates=(1.0, 0.0))
    found = decay_of(SGD(weight_decay=0.1, decayed="matrices", rates=(2.0,) * 10).build(net()))
    assert set(found.values()) == {0.05, 0.0}
