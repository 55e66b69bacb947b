"""Eigenpairs against the dense Hessian in double precision; residuals are what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from samnesia.measure.curvature.finite import DifferenceHessian
from samnesia.measure.curvature.lanczos import Lanczos
from samnesia.measure.curvature.operators import GaussNewton, Hessian, Operator
from samnesia.measure.curvature.spectrum import eigenpairs
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError
from tests.measure.curvature import cases
from tests.measure.test_subject import everything, same


def values(pairs) -> list[float]:
    return [pair.value for pair in pairs]


@pytest.mark.parametrize("name", cases.DENSE)
def test_both_ends_are_those_of_the_dense_hessian_with_their_sign(name):
    expected = cases.eigenvalues(name).numpy()
    found = eigenpairs(cases.CASES[name].subject(), 5, tolerance=1e-8)
    assert found.converged
    np.testing.assert_allclose(values(found.largest), expected[::-1][:5], rtol=1e-6)
    np.testing.assert_allclose(values(found.smallest), expected[:5], rtol=1e-6)
    assert found.dominant.value == pytest.approx(expected[np.abs(expected).argmax()], rel=1e-6)
    assert found.ratio(5) == pytest.approx(expected[-1] / expected[-5], rel=1e-6)


def test_a_dominant_negative_eigenvalue_is_found_as_negative():
    """The user's own criterion bends downwards more than upwards."""
    expected = cases.eigenvalues("cnn, own")
    assert -expected[0] > 1.2 * expected[-1] > 0.0
    found = eigenpairs(cases.CASES["cnn, own"].subject(), 3, ends="magnitude", tolerance=1e-8)
    leading = expected[expected.abs().argsort(descending=True)[:3]]
    np.testing.assert_allclose(values(found.pairs), leading.numpy(), rtol=1e-6)
    assert found.dominant.value < 0.0
    assert values(found.smallest)[0] == found.dominant.value


@pytest.mark.parametrize("basis", [None, 24], ids=["one basis", "restarts"])
@pytest.mark.parametrize("precision", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("tolerance", [1e-1, 1e-3])
def test_residuals_are_those_of_the_vectors(basis, precision, tolerance):
    batches = [(x.to(precision), y) for x, y in cases.CASES["cnn, cross-entropy"].batches()]
    subject = Subject(cases.cnn().to(precision), nn.CrossEntropyLoss(), batches)
    found = eigenpairs(subject, 4, tolerance=tolerance, basis=basis)
    assert found.converged
    operator = Operator(subject, Hessian())
    rounding = 30.0 * operator.space.eps * abs(found.dominant.value)
    for pair in found.pairs:
        vector = operator.space.join(pair.vector)
        assert operator.space.norm(vector) == pytest.approx(1.0, abs=10.0 * operator.space.eps)
        distance = operator.space.norm(operator(vector) - pair.value * vector)
        assert abs(distance - pair.distance) <= rounding + (0.0 if basis is None else 0.01 * distance)
        assert pair.residual == pair.distance / abs(pair.value) <= tolerance
    apart = torch.stack([operator.space.join(pair.vector) for pair in found.pairs]).double()
    torch.testing.assert_close(apart @ apart.T, torch.eye(8, dtype=torch.float64), atol=1e-5, rtol=0.0)


def test_an_unsymmetric_product_shows_in_the_residuals():
    """Then the equations are still those of the products that were made, and no residual is too small."""
    operator = Operator(cases.CASES["cnn, cross-entropy"].subject(), Hessian())
    generator = torch.Generator().manual_seed(0)
    lean = 1e-3 * torch.randn(232, 232, generator=generator, dtype=torch.float64)
    matrix = cases.dense_hessian("cnn, cross-entropy") + lean
    lanczos = Lanczos(lambda v: matrix @ v, operator.space, operator.space.gaussian(0), seed=0)
    for _ in range(60):
        lanczos.grow()
    ritz = lanczos.ritz()
    chosen = np.array([0, 1, 58, 59])
    for i, vector in zip(chosen, lanczos.vectors(ritz, chosen), strict=True):
        assert float((matrix @ vector - ritz.values[i] * vector).norm()) == pytest.approx(ritz.residuals[i], rel=1e-6)
        assert ritz.residuals[i] > 1e-4
    kept = np.array([0, 1, 2, 57, 58, 59])
    lanczos.restart(kept, ritz)
    for _ in range(8):
        lanczos.grow()
    ritz = lanczos.ritz()
    for i, vector in zip((0, 13), lanczos.vectors(ritz, np.array([0, 13])), strict=True):
        distance = float((matrix @ vector - ritz.values[i] * vector).norm())
        assert distance <= ritz.residuals[i] < 3.0 * distance  # a bound, once something was dropped


def test_the_whole_spectrum_is_found_with_multiple_eigenvalues():
    """A linear model under squared error: each eigenvalue four times, many of them zero."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 4, bias=False)).double()
    inputs, targets = cases.images()[:20], torch.randn(20, 4, dtype=torch.float64)
    subject = Subject(model, nn.MSELoss(), [(inputs, targets)])
    single = torch.linalg.eigvalsh(2.0 / (20 * 4) * inputs.flatten(1).T @ inputs.flatten(1))
    found = eigenpairs(subject, 144, ends="largest", tolerance=1e-6, max_products=144)
    np.testing.assert_allclose(
        values(found.largest), single.repeat_interleave(4).flip(0).numpy(), rtol=1e-9, atol=1e-12
    )
    assert found.products == 144
    once = eigenpairs(subject, 3, ends="largest")
    np.testing.assert_allclose(values(once.largest), single.flip(0)[:3].numpy(), rtol=1e-5)


def test_gauss_newton_has_one_end_worth_looking_at():
    subject = cases.CASES["vit, cross-entropy"].subject()
    expected = torch.linalg.eigvalsh(cases.dense_gauss_newton("vit, cross-entropy"))
    found = eigenpairs(subject, 5, matrix=GaussNewton(), tolerance=1e-8)
    np.testing.assert_allclose(values(found.largest), expected.flip(0)[:5].numpy(), rtol=1e-6)
    assert found.smallest == () and found.matrix == "Gauss-Newton"
    lowest = eigenpairs(subject, 2, matrix=GaussNewton(), ends="smallest", tolerance=1e-3)
    assert lowest.converged and abs(lowest.smallest[0].value) < 1e-6 * found.largest[0].value


def test_differences_give_the_same_pairs_and_say_how_far_they_may_be_off():
    expected = cases.eigenvalues("cnn, cross-entropy").numpy()
    found = eigenpairs(cases.CASES["cnn, cross-entropy"].subject(), 5, matrix=DifferenceHessian(), tolerance=1e-5)
    np.testing.assert_allclose(values(found.largest), expected[::-1][:5], rtol=1e-6)
    assert 0.0 < found.error < 1e-6
    assert "each within" in str(found)
    assert found.as_dict()["error"] == found.error


def test_it_stops_at_the_tolerance_or_says_that_it_has_not():
    subject = cases.CASES["vit, cross-entropy"].subject()
    loose, tight = (eigenpairs(subject, 5, tolerance=t).products for t in (1e-1, 1e-6))
    assert loose < tight < 100
    found = eigenpairs(subject, 5, tolerance=1e-6, max_products=14)
    assert not found.converged and found.products == 14 and len(found.pairs) == 10
    assert "not converged" in str(found)
    assert found.as_dict()["converged"] is False
    assert max(pair.residual for pair in found.pairs) > 1e-6
    restarted = eigenpairs(subject, 5, tolerance=1e-6, basis=22)
    assert restarted.converged
    np.testing.assert_allclose(
        values(restarted.pairs), values(eigenpairs(subject, 5, tolerance=1e-6).pairs), rtol=1e-10
    )


def test_it_is_deterministic_and_leaves_the_model_as_it_was():
    model = cases.cnn().train()
    subject, before = cases.CASES["cnn, cross-entropy"].subject(model), everything(model)
    first, second, other = (eigenpairs(subject, 3, seed=seed) for seed in (0, 0, 1))
    assert values(first.pairs) == values(second.pairs) != values(other.pairs)
    for left, right in zip(first.pairs, second.pairs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(left.vector, right.vector, strict=True))
    assert same(before, everything(model))
    passes = subject.products
    assert subject.products - passes == 0 and first.products <= first.dimension
    assert [tuple(part.shape) for part in first.largest[0].vector] == [tuple(p.shape) for p in model.parameters()]


def test_passes_are_products_and_are_counted_for_whoever_watches():
    class Watching:
        def __init__(self):
            self.told, self.seen = [], 0.0

        def begin(self, name, passes):
            self.told.append((name, passes))

        def advance(self, passes):
            self.seen += passes

        def end(self):
            self.told.append("end")

    watching = Watching()
    subject = cases.CASES["cnn, cross-entropy"].subject(progress=watching)
    found = eigenpairs(subject, 2, max_products=50)
    assert subject.products == found.products
    assert watching.told == [("eigenpairs", 50), "end"]
    assert watching.seen == pytest.approx(found.products)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"k": 0}, "cannot find 0 eigenpairs"),
        ({"k": 233}, "cannot find 233 eigenpairs, because the matrix has 232"),
        ({"ends": "middle"}, "there are both, largest, smallest, magnitude"),
        ({"tolerance": 0.0}, "cannot stop at a residual of 0.0"),
        ({"tolerance": math.nan}, "cannot stop at a residual of nan"),
        ({"max_products": 3}, "cannot find 10 eigenpairs in 3 products"),
        ({"basis": 12}, "with 12 vectors"),
    ],
)
def test_what_cannot_be_asked_is_refused(options, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        eigenpairs(cases.CASES["cnn, cross-entropy"].subject(), **options)


def test_results_are_plain_values():
    found = eigenpairs(cases.CASES["cnn, cross-entropy"].subject(), 5)
    plain = found.as_dict()
    assert plain["largest"][0]["value"] == found.largest[0].value
    assert plain["ratio_1_5"] == found.ratio(5)
    assert set(plain["smallest"][0]) == {"value", "residual", "distance", "converged"}
    assert math.isnan(found.ratio(6))
    assert "largest / fifth" in str(found)


def test_a_matrix_of_zeros_has_no_ratio():
    """A loss that is linear in the weights."""
    batch = (torch.ones(4, 2), torch.zeros(4))
    found = eigenpairs(Subject(nn.Linear(2, 1), lambda output, _: output.mean(), [batch]), 2)
    assert values(found.pairs) == [0.0] * 3
    assert found.converged
    assert math.isnan(found.ratio(2))
    assert "ratio_1_2" not in found.as_dict()


def test_ends_do_not_stand_in_for_each_other():
    """Lanczos' space is closed after three products: two eigenvalues, and one zero of many."""
    subject, written = cases.written("cnn, cross-entropy")
    diagonal = torch.zeros(len(written.matrix), dtype=torch.float64)
    diagonal[:2] = torch.tensor([5.0, 4.0])
    found = eigenpairs(subject, 2, matrix=cases.Written(torch.diag(diagonal)))
    assert values(found.largest) == pytest.approx([5.0, 4.0])
    assert values(found.smallest) == pytest.approx([0.0, 0.0], abs=1e-12)
