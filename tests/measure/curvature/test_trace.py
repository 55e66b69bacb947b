"""Trace and Frobenius norm lie within their standard errors of the dense Hessian's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from samnesia.measure.curvature.operators import GaussNewton
from samnesia.measure.curvature.trace import frobenius_norm, moments, trace
from samnesia.perturb.errors import ConfigurationError
from tests.measure.curvature import cases


@pytest.mark.parametrize("name", cases.DENSE)
def test_they_lie_within_their_errors(name):
    matrix = cases.dense_hessian(name)
    found = moments(cases.CASES[name].subject(), vectors=60)
    for one, exact in ((found.trace, matrix.trace()), (found.frobenius_norm, matrix.norm())):
        assert abs(one.value - float(exact)) <= 2.5 * one.error
        assert one.count == 60
    assert found.mean_eigenvalue.value == pytest.approx(found.trace.value / found.dimension)


def test_errors_are_honest_over_many_seeds():
    """The spread of the estimates over seeds is what each says of itself."""
    name = "cnn, cross-entropy"
    subject, written = cases.written(name)
    found = [moments(subject, matrix=written, vectors=20, seed=seed) for seed in range(100)]
    for part, exact in (("trace", written.matrix.trace()), ("frobenius_norm", written.matrix.norm())):
        values = np.array([getattr(one, part).value for one in found])
        errors = np.array([getattr(one, part).error for one in found])
        assert 0.8 < values.std(ddof=1) / errors.mean() < 1.25
        assert abs(values.mean() - float(exact)) < 3.0 * values.std(ddof=1) / np.sqrt(100)


def test_of_a_diagonal_matrix_one_vector_is_exact():
    """Signs have no variance there."""
    torch.manual_seed(0)
    model = torch.nn.Linear(6, 1, bias=False).double()
    subject = cases.Subject(
        model, torch.nn.MSELoss(), [(torch.eye(6, dtype=torch.float64), torch.zeros(6, 1).double())]
    )
    found = moments(subject, vectors=3)
    assert found.trace.value == pytest.approx(2.0, rel=1e-12) and found.trace.error < 1e-12
    assert found.frobenius_norm.value == pytest.approx(2.0 / np.sqrt(6.0), rel=1e-12)


def test_it_stops_at_the_error_asked_for():
    subject, matrix = cases.written("vit, cross-entropy")
    found = moments(subject, matrix=matrix, vectors=400, relative_error=0.15)
    assert 8 <= found.products < 400
    assert found.trace.error <= 0.15 * found.trace.value
    assert found.frobenius_norm.error <= 0.15 * found.frobenius_norm.value
    assert found.products == found.trace.count == subject.products


def test_the_short_forms():
    subject = cases.CASES["cnn, bce"].subject()
    both = moments(subject, matrix=GaussNewton(), vectors=5, seed=2)
    assert trace(subject, matrix=GaussNewton(), vectors=5, seed=2) == both.trace
    assert frobenius_norm(subject, matrix=GaussNewton(), vectors=5, seed=2) == both.frobenius_norm
    plain = both.as_dict()
    assert plain["trace"] == {"value": both.trace.value, "error": both.trace.error, "count": 5}
    assert moments(subject, vectors=1).as_dict()["trace"]["error"] is None
    assert "±" in str(both)


@pytest.mark.parametrize("options", [{"vectors": 0}, {"relative_error": 0.0}])
def test_what_cannot_be_asked_is_refused(options):
    with pytest.raises(ConfigurationError, match="cannot"):
        moments(cases.CASES["cnn, own"].subject(), **options)
