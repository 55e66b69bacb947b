"""Shapes of subspaces: their formulas, and what is drawn on them."""

import math
from functools import partial

import pytest
import torch
from scipy import stats

from samnesia.models.subspaces.shapes import Curve, Line, Simplex
from samnesia.perturb.errors import ConfigurationError

SHAPES = (Line(), Curve(), Simplex(n=4))
EACH = partial(pytest.mark.parametrize, "shape", SHAPES, ids=lambda shape: shape.called)


def drawn(shape, count, seed=0):
    uniform = torch.rand(count, shape.numbers(), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return uniform, shape.drawn(uniform)


def test_a_line_is_that_of_its_formula():
    assert Line().shares(0.0) == (1.0, 0.0) and Line().shares(1.0) == (0.0, 1.0)
    assert Line().shares(0.25) == (0.75, 0.25) and Line().centre == (0.5, 0.5)
    uniform, found = drawn(Line(), 100)
    assert torch.equal(found[:, 1], uniform[:, 0])


def test_a_curve_is_that_of_bezier():
    """(1 - a)^2, 2 a (1 - a), a^2: by de Casteljau, a line between two points that move along lines."""
    points = (torch.tensor([1.0, 2.0]), torch.tensor([-3.0, 5.0]), torch.tensor([4.0, -1.0]))
    for a in (0.0, 0.3, 0.5, 1.0):
        first, second = (torch.lerp(points[i], points[i + 1], a) for i in (0, 1))
        expected = torch.lerp(first, second, a)
        found = sum(share * point for share, point in zip(Curve().shares(a), points, strict=True))
        torch.testing.assert_close(found, expected)
    assert Curve().shares(0.0) == (1.0, 0.0, 0.0) and Curve().shares(1.0) == (0.0, 0.0, 1.0)
    assert Curve().centre == (0.25, 0.5, 0.25)


@EACH()
def test_shares_sum_to_one_and_none_is_negative(shape):
    _, found = drawn(shape, 1000)
    assert found.shape == (1000, shape.endpoints) and found.min() >= 0.0
    torch.testing.assert_close(found.sum(1), torch.ones(1000, dtype=torch.float64), rtol=1e-14, atol=0.0)
    assert math.isclose(sum(shape.centre), 1.0) and len(shape.corners()) == shape.endpoints


def test_places_are_uniform_over_the_parameter_and_over_the_simplex():
    """On a simplex of n corners each share is Beta(1, n - 1), and two shares covary by -1 / (n^2 (n + 1))."""
    count = 20_000
    _, line = drawn(Line(), count)
    assert stats.kstest(line[:, 0].numpy(), "uniform").pvalue > 1e-3
    _, curve = drawn(Curve(), count)
    assert stats.kstest(curve[:, 2].sqrt().numpy(), "uniform").pvalue > 1e-3
    n = 4
    _, simplex = drawn(Simplex(n=n), count)
    for i in range(n):
        assert stats.kstest(simplex[:, i].numpy(), stats.beta(1, n - 1).cdf).pvalue > 1e-3
    covariance = torch.cov(simplex.T)
    variance = (n - 1) / (n**2 * (n + 1))
    torch.testing.assert_close(
        covariance.diagonal(), torch.full((n,), variance, dtype=torch.float64), rtol=0.05, atol=0
    )
    off = covariance[~torch.eye(n, dtype=torch.bool)]
    torch.testing.assert_close(off, torch.full_like(off, -1 / (n**2 * (n + 1))), rtol=0.15, atol=0)


@EACH()
def test_ways_begin_in_an_endpoint(shape):
    corners = shape.corners()
    ways = shape.ways(5)
    assert len(ways) == (1 if shape.endpoints < 4 else 4)
    for corner, way in zip(corners, ways.values(), strict=False):
        assert way[0][1] == corner and [position for position, _ in way] == [0.0, 0.25, 0.5, 0.75, 1.0]
        end = shape.centre if shape.endpoints == 4 else corners[-1]
        assert way[-1][1] == pytest.approx(end)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Line(beta=-1.0), "with beta -1.0"),
        (lambda: Curve(beta=math.inf), "with beta inf"),
        (lambda: Simplex(n=1), "of 1 endpoints"),
        (lambda: Line().shares(math.nan), "at nan on a line"),
        (lambda: Line().shares((0.5, 0.6)), r"at \(0.5, 0.6\) on a line"),
        (lambda: Simplex(n=3).shares(0.5), "at 0.5 on a simplex of 3 endpoints"),
        (lambda: Simplex(n=3).shares((0.5, 0.5)), r"at \(0.5, 0.5\) on a simplex"),
    ],
)
def test_what_is_no_place_is_refused_in_a_sentence(make, said):
    with pytest.raises(ConfigurationError, match=f"cannot .*{said}.*because .*;"):
        make()
