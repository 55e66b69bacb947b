"""Power iteration: the largest in magnitude, with its sign, by the rules of PyHessian; others by deflation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from samnesia.measure.curvature.operators import Hessian, Operator
from samnesia.measure.curvature.power import power_iteration
from samnesia.measure.curvature.spectrum import eigenpairs
from samnesia.perturb.errors import ConfigurationError
from tests.measure.curvature import cases


@pytest.mark.parametrize("name", ["cnn, own", "vit, cross-entropy"])
def test_it_is_the_textbook_iteration(name):
    """Written out with the dense matrix, from the same vector, by the same rule."""
    subject = cases.CASES[name].subject()
    matrix, vector = cases.dense_hessian(name), Operator(subject, Hessian()).space.gaussian(4)
    value, steps = None, 0
    while True:
        vector = vector / vector.norm()
        product, steps = matrix @ vector, steps + 1
        before, value = value, float(vector @ product)
        if steps == 100 or (before is not None and abs(value - before) < 1e-4 * abs(before)):
            break
        vector = product
    found = power_iteration(subject, seed=4)
    assert found.products == steps
    assert found.dominant.value == pytest.approx(value, rel=1e-9)
    exact = eigenpairs(subject, 1, ends="magnitude", tolerance=1e-6).dominant
    assert found.dominant.value == pytest.approx(exact.value, rel=1e-2)
    assert found.dominant.converged == (steps < 100)


def test_the_sign_is_kept():
    found = power_iteration(cases.CASES["cnn, own"].subject())
    assert found.dominant.value < 0.0
    assert found.largest == () and len(found.smallest) == 1


def test_deflation_finds_one_after_the_other_with_the_residual_asked_for():
    expected = cases.eigenvalues("cnn, own")
    leading = expected[expected.abs().argsort(descending=True)[:3]].numpy()
    subject, matrix = cases.written("cnn, own")
    found = power_iteration(subject, 3, matrix=matrix, change=None, residual=1e-3, steps=3000)
    np.testing.assert_allclose([pair.value for pair in found.pairs], leading, rtol=1e-4)
    assert found.converged
    assert found.pairs[0].residual <= 1e-3
    assert max(pair.residual for pair in found.pairs) <= 3e-3  # a later one carries the errors of the earlier
    operator = Operator(subject, matrix)
    for pair in found.pairs:
        vector = operator.space.join(pair.vector)
        assert operator.space.norm(operator(vector) - pair.value * vector) == pytest.approx(pair.distance, rel=1e-6)


def test_steps_are_bounded_and_said():
    found = power_iteration(cases.CASES["vit, cross-entropy"].subject(), change=1e-12, steps=5)
    assert found.products == 5 and not found.converged


def test_a_vector_without_curvature_ends_it():
    subject = cases.Case(cases.cnn, lambda output, target: output.mean() * 0.0).subject()
    assert power_iteration(subject).dominant.value == 0.0
    assert not torch.tensor([pair.value for pair in eigenpairs(subject, 2).pairs]).any()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"k": 0}, "cannot find 0 eigenpairs"),
        ({"steps": 0}, "cannot iterate 0 times"),
        ({"change": None}, "without a rule"),
        ({"change": 2.0}, "without a rule"),
    ],
)
def test_what_cannot_be_asked_is_refused(options, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        power_iteration(cases.CASES["cnn, own"].subject(), **options)
