"""Other perturbations: by hand, by their length, or as maximisers on their ball."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests import oracles as o
from tests.family import directions as d
from tests.family import table
from tests.family.settings import MLP, at, distance


def test_friendly_sam_and_vasso_by_hand():
    """In two dimensions, with the running vectors written out."""
    now, memory = at("friendly sam"), {}
    now = replace(now, w=np.zeros(2), run=replace(now.run, radii=[np.full(2, 0.5)]))
    one, two = np.array([2.0, 0]), np.array([0, 1.0])
    friendly = d.friendly(0.5, 0.75)
    assert np.allclose(friendly(now, one, memory), [0.5, 0])
    assert np.allclose(friendly(now, two, memory), 0.5 * np.array([-1, 1]) / np.sqrt(2))
    assert np.allclose(memory["m"], [1.5, 0.25])
    vasso, memory = d.vasso(0.25), {}
    assert np.allclose(vasso(now, one, memory), [0.5, 0])
    assert np.allclose(vasso(now, two, memory), 0.5 * np.array([1.5, 0.25]) / np.sqrt(2.3125))


def test_centralized_gradients_have_no_mean():
    problem, v = table.CONVOLUTION, np.random.default_rng(9).normal(size=table.CONVOLUTION.size)
    before, after = problem.tensors(v), problem.tensors(d.centralized(v, problem))
    assert np.allclose(after[0].mean((1, 2, 3)), 0, atol=1e-15) and np.allclose(after[2].mean(1), 0, atol=1e-15)
    assert np.array_equal(after[1], before[1]) and np.array_equal(after[3], before[3])


def test_outliers_by_hand():
    """Mean 0: of four entries a quarter is the one farthest from the mean; a single entry stays."""
    problem = o.Quadratic(("one", "two"), ((4,), (1,)), np.eye(5))
    left = d.outliers(0.25)(np.array([1.0, 2, -5, 2, 0.1]), problem)
    assert np.array_equal(left[:4], [0, 0, -5, 0])
    spread = d.outliers(0.05)(np.random.default_rng(9).normal(size=MLP.size), MLP)
    assert [np.count_nonzero(tensor) for tensor in MLP.tensors(spread)] == [1, 1, 1, 1]


def test_eigen_sam_adds_what_is_orthogonal_whatever_the_sign():
    now = at("eigen-sam")
    g, v = np.random.default_rng(9).normal(size=MLP.size), now.draw
    added = d.eigen(0.2)(now, g, {}) / now.rho - g / o.norm(g)
    assert abs(added @ g) < 1e-11 and added @ v * (v @ g) > 0
    turned = replace(now, run=replace(now.run, draws=[-v]))
    assert distance(d.eigen(0.2)(turned, g, {}), d.eigen(0.2)(now, g, {})) < 1e-15
    assert o.norm(added) == pytest.approx(0.2 * np.sqrt(1 - (v @ g) ** 2 / (g @ g)), rel=1e-9)


def test_sparse_sam_moves_the_largest_entries():
    """Of 43 entries with sparsity 0.6, 18 move; between refreshes they stay the same ones."""
    now, memory, random = at("sparse sam", steps=5), {}, np.random.default_rng(9)
    epsilon, g, other = d.fisher_mask(0.6, 4), random.normal(size=MLP.size), random.normal(size=MLP.size)
    moved = epsilon(now, g, memory) != 0
    assert moved.sum() == 18 and np.abs(g[moved]).min() > np.abs(g[~moved]).max()
    assert np.array_equal(epsilon(replace(now, index=3), other, memory) != 0, moved)
    assert not np.array_equal(epsilon(replace(now, index=4), other, memory) != 0, moved)


def test_sam_on_moves_normalizations_alone():
    now = replace(at("sam-on"), run=replace(at("sam-on").run, radii=[np.float64(0.1)]))
    g = np.random.default_rng(9).normal(size=now.problem.size)
    t = np.abs(now.w) + 0.01
    for epsilon, length in [(d.sam_on(), lambda e: o.norm(e)), (d.asam_on(0.01), lambda e: o.norm(e / t))]:
        moved = now.problem.tensors(epsilon(now, g, {}))
        assert [bool(tensor.any()) for tensor in moved] == [False, False, True, True, False, False]
        assert length(np.concatenate([tensor.ravel() for tensor in moved])) == pytest.approx(0.1, rel=1e-10)


def test_fisher_sam_is_the_maximiser_on_its_ball():
    """epsilon' F epsilon = rho^2, and no other point there has a larger product with g."""
    now = replace(at("fisher sam"), run=replace(at("fisher sam").run, radii=[np.float64(0.1)]))
    random = np.random.default_rng(9)
    g = random.normal(size=MLP.size)
    metric = g**2 + 0.01
    e = d.fisher(0.01)(now, g, {})
    assert e @ (metric * e) == pytest.approx(0.01, rel=1e-10)
    others = random.normal(size=(200, MLP.size))
    others *= 0.1 / np.sqrt((metric * others**2).sum(1, keepdims=True))
    assert g @ e > (others @ g).max()


def test_le_sam_raises_the_loss_by_a_fixed_amount():
    now = at("le-sam")
    for size in (10.0, 100.0):
        g = size * np.random.default_rng(9).normal(size=MLP.size)
        assert g @ d.le_sam(0.08)(now, g, {}) == pytest.approx(0.08, rel=1e-9)
    assert distance(d.le_sam(0.08)(now, 1e-3 * g / o.norm(g), {}), now.rho * g / o.norm(g)) < 1e-8


def test_balls_of_layers_and_filters_written_out():
    now = at("filter ball")
    g, problem = np.random.default_rng(9).normal(size=now.problem.size), now.problem
    moved = problem.tensors(d.relative(d.tensor_norms)(now, g, {}) / now.rho)
    for tensor, weights, gradient in zip(moved, problem.tensors(now.w), problem.tensors(g), strict=True):
        assert np.allclose(tensor, np.linalg.norm(weights) * gradient / np.linalg.norm(gradient))
    moved = problem.tensors(d.relative(d.filter_norms)(now, g, {}) / now.rho)
    for index, parts in enumerate(zip(moved, problem.tensors(now.w), problem.tensors(g), strict=True)):
        filters = [parts] if index in (1, 3) else zip(*parts, strict=True)
        for tensor, weights, gradient in filters:
            assert np.allclose(tensor, o.norm(weights) * gradient / o.norm(gradient))
    assert np.allclose(d.filter_sizes(problem), [4] * 12 + [3] * 15)


def test_noise_of_rwp_is_as_long_as_its_filter():
    """Noise of ones has the length rho ||filter|| in every filter."""
    now = at("rwp")
    now = replace(now, run=replace(now.run, draws=[np.ones_like(now.w)], radii=[np.float64(0.1)]))
    moved = now.problem.tensors(d.random_weights()(now, now.w, {}))[0]
    expected = 0.1 * np.sqrt((now.problem.tensors(now.w)[0] ** 2).sum((1, 2, 3)))
    assert np.allclose(np.sqrt((moved**2).sum((1, 2, 3))), expected)
