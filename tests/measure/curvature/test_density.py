"""The spectral density against all eigenvalues of the dense Hessian."""

from __future__ import annotations

import math

import numpy as np
import pytest

from samnesia.measure.curvature.density import SpectralDensity, spectral_density
from samnesia.measure.curvature.operators import GaussNewton, Hessian, Operator
from samnesia.perturb.errors import ConfigurationError
from tests.measure.curvature import cases
from tests.measure.test_subject import everything, same


def assert_near(found, expected):
    """Within a hundredth of the range."""
    assert found.wasserstein(expected) <= 0.01 * (expected[-1] - expected[0])
    assert found.largest == pytest.approx(expected[-1], rel=1e-3)
    assert found.smallest == pytest.approx(expected[0], rel=1e-2)


@pytest.mark.parametrize("name", ["cnn, cross-entropy", "vit, cross-entropy"])
def test_it_is_within_one_percent_of_the_range_of_the_true_distribution(name):
    found = spectral_density(cases.CASES[name].subject(), steps=24, vectors=12)
    assert_near(found, cases.eigenvalues(name).numpy())
    assert found.products == 24 * 12


@pytest.mark.parametrize("name", cases.DENSE)
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 6))])
def test_it_is_so_for_every_seed(name, seed):
    subject, matrix = cases.written(name)
    found = spectral_density(subject, matrix=matrix, steps=32, vectors=16, seed=seed)
    assert_near(found, cases.eigenvalues(name).numpy())
    assert found.weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert found.spread <= 0.02 * found.range


def test_with_all_steps_each_vector_sees_its_own_measure_exactly():
    """Mean and second moment are then those of the quadratic forms themselves."""
    name = "cnn, cross-entropy"
    matrix = cases.dense_hessian(name)
    found = spectral_density(cases.CASES[name].subject(), steps=10, vectors=1, seed=3)
    vector = Operator(cases.CASES[name].subject(), Hessian()).space.signs(3 * 1_000_003)
    vector = vector / vector.norm()
    power = vector
    for exponent in range(1, 20):  # 2 * steps - 1 moments
        power = matrix @ power
        moment = float((found.nodes**exponent * found.weights).sum())
        assert moment == pytest.approx(float(vector @ power), rel=1e-8, abs=1e-12)


@pytest.mark.slow
def test_more_vectors_come_nearer_on_average():
    expected, (subject, matrix) = cases.eigenvalues("vit, cross-entropy").numpy(), cases.written("vit, cross-entropy")
    off, said = [], []
    for vectors in (2, 12):
        found = [spectral_density(subject, matrix=matrix, steps=32, vectors=vectors, seed=s) for s in range(5)]
        off.append(np.mean([one.wasserstein(expected) for one in found]))
        said.append(np.mean([one.spread for one in found]))
    assert off[1] < 0.7 * off[0]
    np.testing.assert_allclose(said, off, rtol=0.5)  # what the halves differ by is what all are off by


def test_the_smooth_density_integrates_to_one_and_keeps_the_mean():
    found = spectral_density(cases.CASES["cnn, cross-entropy"].subject(), steps=20, vectors=2)
    grid = found.grid(4000, margin=0.3)
    heights = found.at(grid)
    assert np.trapezoid(heights, grid) == pytest.approx(1.0, abs=1e-3)
    assert np.trapezoid(heights * grid, grid) == pytest.approx(found.mean, abs=1e-3 * found.range)
    assert (found.at(grid, width=0.1 * found.range) > 0.0).all()


def test_distances_between_distributions():
    left = SpectralDensity(np.array([[0.0, 1.0]]), np.array([[0.5, 0.5]]), "Hessian", 2, 2, 0.0)
    assert left.wasserstein([0.0, 1.0]) == 0.0
    assert left.wasserstein([1.0, 3.0], [0.5, 0.5]) == pytest.approx(1.5)
    assert math.isnan(left.spread)
    two = SpectralDensity(np.array([[0.0], [1.0]]), np.array([[0.5], [0.5]]), "Hessian", 1, 2, 0.0)
    assert two.spread == 0.5


def test_gauss_newton_is_nowhere_negative():
    found = spectral_density(cases.CASES["cnn, bce"].subject(), matrix=GaussNewton(), steps=20, vectors=2)
    assert found.smallest > -1e-12 * found.largest
    assert found.matrix == "Gauss-Newton"


def test_more_steps_than_parameters_are_as_many_as_there_are():
    model = cases.cnn()
    for part in (model[0], model[1]):
        part.requires_grad_(False)
    model[4].weight.requires_grad_(False)
    found = spectral_density(cases.CASES["cnn, cross-entropy"].subject(model), steps=64, vectors=3)
    assert found.nodes.shape == (3, 4)
    exact = np.linalg.eigvalsh(cases.dense_hessian("cnn, cross-entropy")[-4:, -4:].numpy())
    np.testing.assert_allclose(found.nodes, np.stack([exact] * 3), atol=1e-12)


def test_it_is_deterministic_and_leaves_the_model_as_it_was():
    model = cases.vit().train()
    subject, before = cases.CASES["vit, cross-entropy"].subject(model), everything(model)
    first, second = (spectral_density(subject, steps=5, vectors=2) for _ in range(2))
    np.testing.assert_array_equal(first.nodes, second.nodes)
    np.testing.assert_array_equal(first.weights, second.weights)
    assert same(before, everything(model))
    assert subject.products == 20
    plain = first.as_dict()
    assert np.array(plain["nodes"]).shape == (2, 5) and plain["largest"] == first.largest
    assert "2 vectors" not in str(first) and "10 products" in str(first)


@pytest.mark.parametrize("options", [{"steps": 1}, {"vectors": 0}])
def test_what_cannot_be_asked_is_refused(options):
    with pytest.raises(ConfigurationError, match="cannot draw a density"):
        spectral_density(cases.CASES["cnn, own"].subject(), **options)
