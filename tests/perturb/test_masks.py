"""Sparse perturbations: which entries move, and how they are found."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import samnesia
from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.masks import kth_largest
from samnesia.perturb.tensors import Weights
from tests.perturb.test_ascents import flow
from tests.problems import assert_close, assert_same, batch, batches, differentiate, network, sgd, train, weights

X, Y = batch()


def built(rho=0.3, **options):
    model = network()
    return samnesia.sparse_sam(model, sgd(model), rho, loss=F.cross_entropy, **options), model


def perturbation(method, model):
    """Of one step that is taken, with its clean gradient."""
    points, taken = flow(method, model)
    method.optimizer.step()
    method.optimizer.zero_grad()
    return points[1] - points[0], taken[0]


def entries(method):
    return torch.cat([t.flatten() for t in method.state_dict()["memory"]["masked.mask"].values()])


@settings(max_examples=60)
@given(
    values=st.lists(st.sampled_from([0.0, 1e-40, 1e-30, 0.1, 0.5, 1.0, 3e30, float("inf")]), min_size=1, max_size=30),
    types=st.sampled_from([(torch.float32,), (torch.float64,), (torch.float32, torch.float64)]),
    data=st.data(),
)
def test_the_kth_largest_of_all_tensors(values, types, data):
    """Ties, zeros, subnormal and infinite numbers, and types that differ."""
    cut = data.draw(st.integers(0, len(values)))
    k = data.draw(st.integers(1, len(values)))
    sizes = [torch.tensor(values[:cut], dtype=types[0]), torch.tensor(values[cut:], dtype=types[-1])]
    weights = Weights.of(["a", "b"], [nn.Parameter(torch.zeros_like(s)) for s in sizes])
    expected = sorted((v for s in sizes for v in s.tolist()), reverse=True)[k - 1]
    assert float(kth_largest(weights, sizes, k)) == pytest.approx(expected, rel=1e-7)
    if len(set(types)) == 1:
        assert float(kth_largest(weights, sizes, k)) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_kth_largest_of_many(dtype):
    sizes = [torch.rand(1000, generator=torch.Generator().manual_seed(i), dtype=dtype) for i in range(3)]
    weights = Weights.of(list("abc"), [nn.Parameter(s) for s in sizes])
    everything = torch.cat(sizes).sort(descending=True).values
    for k in (1, 2, 1500, 2999, 3000):
        assert float(kth_largest(weights, sizes, k)) == float(everything[k - 1])


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9])
def test_the_largest_entries_move_along_sams_direction(sparsity):
    method, model = built(sparsity=sparsity)
    e, g = perturbation(method, model)
    assert method.last_step.gradient_evaluations == 2
    largest = g.abs().topk(math.ceil((1 - sparsity) * len(g))).indices
    kept = torch.zeros_like(g).index_fill(0, largest, 1.0)
    torch.testing.assert_close(e, 0.3 * kept * g / g.norm(), rtol=1e-9, atol=1e-12)


def test_a_share_that_is_whole_marks_as_many():
    """(1 - 0.57) · 100 is more than 43 for a computer."""
    model = nn.Linear(100, 1, bias=False).double()
    start = model.weight.detach().clone()
    method = samnesia.sparse_sam(model, sgd(model), 0.3, sparsity=0.57)
    for p in method.passes():
        if p.last:
            assert int((model.weight != start).sum()) == 43
        (model.weight * torch.arange(1.0, 101.0)).sum().backward()


def test_nothing_masked_is_sam():
    method, model = built(sparsity=0.0)
    train(method, model, batches(3))
    plain = network()
    train(samnesia.sam(plain, sgd(plain), 0.3, loss=F.cross_entropy), plain, batches(3))
    assert_close(weights(model), weights(plain))


def test_a_mask_is_kept_until_it_is_refreshed():
    method, model = built(sparsity=0.8, refresh=3)
    masks = []
    for x, y in batches(7):
        train(method, model, [(x, y)])
        masks.append(entries(method))
    assert all(torch.equal(masks[i], masks[i + 1]) for i in (0, 1, 3, 4))
    assert not torch.equal(masks[2], masks[3]) and not torch.equal(masks[5], masks[6])


def test_all_micro_batches_of_a_step_have_the_mask_of_the_first():
    method, model = built(sparsity=0.8, refresh=1)
    (x, y), (other_x, other_y) = batches(2)
    differentiate(method, model, x, y)
    differentiate(method, model, other_x, other_y)
    method.optimizer.step()
    alone, model = built(sparsity=0.8, refresh=1)
    train(alone, model, [(x, y)])
    assert torch.equal(entries(method), entries(alone))


def test_a_schedule_that_skips_the_step_of_the_refresh_only_delays_it():
    method, model = built(sparsity=0.8, refresh=3, when=samnesia.every(2, 1))  # steps 1, 3, 5
    masks = []
    for x, y in batches(6):
        train(method, model, [(x, y)])
        masks.append(entries(method) if method.last_step.perturbed else None)
    assert torch.equal(masks[1], masks[3]) and not torch.equal(masks[3], masks[5])


def test_resuming_is_bit_exact_and_the_mask_has_one_byte_for_an_entry():
    data = batches(5)
    method, model = built(sparsity=0.8, refresh=4)
    train(method, model, data[:2])
    saved = [model.state_dict(), method.optimizer.state_dict(), method.state_dict()]
    saved = [torch.utils._pytree.tree_map_only(torch.Tensor, torch.clone, state) for state in saved]
    assert {t.dtype for t in saved[2]["memory"]["masked.mask"].values()} == {torch.bool}
    train(method, model, data[2:])
    again, other = built(sparsity=0.8, refresh=4)
    for part, state in zip((other, again.optimizer, again), saved, strict=True):
        part.load_state_dict(state)
    train(again, other, data[2:])
    assert_same(weights(other), weights(model))


def test_a_step_that_is_not_taken_leaves_no_mask():
    method, model = built()
    differentiate(method, model, X, Y)
    method.optimizer.zero_grad()
    with method.passes() as passes:
        next(passes)
    assert not method.remembered.next


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"sparsity": 1.0}, r"cannot mask the share .*; choose it in \[0, 1\)"),
        ({"sparsity": -0.1}, r"cannot mask the share .*; choose it in \[0, 1\)"),
        ({"refresh": 0}, "cannot make a new mask .*; choose a whole number >= 1"),
        ({"refresh": 2.5}, "cannot make a new mask .*; choose a whole number >= 1"),
        ({"sync": "rank"}, "cannot perturb with sync='rank' .*; use sync='batch'"),
    ],
)
def test_what_is_refused(option, message):
    with pytest.raises(ConfigurationError, match=f"^{message}$"):
        built(**option)
