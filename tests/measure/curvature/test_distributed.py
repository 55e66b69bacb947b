"""Two processes measure what one does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from samnesia.measure.subject import Subject
from tests.distributed import problems
from tests.measure.curvature import jobs


@pytest.mark.parametrize("matrix", ["hessian", "gauss-newton", "differences"])
def test_two_processes_with_unequal_shares_are_one(pair, matrix):
    expected, results = jobs.alone(matrix), pair.run(jobs.together, matrix)
    rtol = 1e-9 if matrix != "differences" else 1e-6  # a step of its own for each
    for result in results:
        assert result["samples"] == expected["samples"] == 11
        np.testing.assert_allclose(result["product"], expected["product"], rtol=rtol, atol=rtol)
        for name in ("dot", "norm", "values", "trace", "norm_of_matrix"):
            np.testing.assert_allclose(result[name], expected[name], rtol=rtol)
    assert results[0]["passes"] == results[1]["passes"]


@pytest.mark.parametrize(
    ("nested", "same_data"),
    [(True, False), (False, False), (True, True)],
    ids=["nested", "root only", "all see the same samples"],
)
def test_sharded_is_one_process_by_differences(pair, nested, same_data):
    expected, results = jobs.alone("hessian"), pair.run(jobs.sharded, nested, same_data)
    subject = Subject(problems.network(), nn.CrossEntropyLoss(), jobs.share(None))
    with subject.at([torch.full_like(part, 0.05) for part in subject.weights.tensors]):
        moved = subject.loss()
    for result in results:
        assert result["moved"] == pytest.approx(moved, rel=1e-12)
        assert result["name"].startswith("Hessian by differences (step ")
        assert 0.0 < result["error"] < 1e-6
        assert result["loss"] == pytest.approx(subject.loss(), rel=1e-12)
        assert result["slope"] == pytest.approx(float(subject.weights.norm(subject.gradient())), rel=1e-11)
        for name in ("dot", "norm", "values", "trace", "norm_of_matrix"):
            np.testing.assert_allclose(result[name], expected[name], rtol=1e-6)
        assert max(result["residuals"]) < 1e-3
    assert results[0]["values"] == results[1]["values"]


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("gauss-newton", "cannot multiply with the Gauss-Newton matrix of sharded parameters"),
        ("batches", "the same number of batches"),
    ],
)
def test_what_sharded_models_cannot(pair, what, sentence):
    assert all(sentence in said for said in pair.run(jobs.refused, what))
