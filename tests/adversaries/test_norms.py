"""Balls, steps and starts of attacks."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from samnesia.adversaries import L2, NORMS, Linf

BOTH = pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
SHAPE = (3, 2, 3, 4)


def changes(seed, scale=1.0):
    return scale * torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@BOTH
@given(seed=st.integers(0, 1000), eps=st.floats(1e-6, 10.0), scale=st.sampled_from([0.0, 1e-12, 0.1, 1.0, 1e6]))
def test_a_projection_lies_in_the_ball_and_is_the_nearest(norm, seed, eps, scale):
    change = changes(seed, scale)
    found = norm.project(change, eps)
    assert (norm.size(found) <= eps * (1 + 1e-12)).all()
    assert norm.project(found, eps).allclose(found, rtol=1e-12, atol=0)
    inside = norm.size(change) <= eps
    assert found[inside].equal(change[inside])
    other = norm.project(changes(seed + 1), eps)  # any other one of the ball is not nearer
    near, far = ((one - change).flatten(1).norm(dim=1) for one in (found, other))
    assert (near <= far * (1 + 1e-9)).all()


@BOTH
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_the_steepest_change_has_size_one_and_raises_a_linear_loss_most(norm, scale):
    gradient = changes(0, scale).float()
    found = norm.steepest(gradient)
    assert norm.size(found).allclose(torch.ones(3), rtol=1e-6)
    dual = {"linf": 1, "l2": 2}[norm.name]  # the most that a change of size one gains is the dual norm
    gained = (found.double() * gradient.double()).flatten(1).sum(1)
    assert gained.allclose(gradient.double().flatten(1).norm(p=dual, dim=1), rtol=1e-5)
    assert not norm.steepest(torch.zeros(SHAPE)).any()


@BOTH
def test_starts_fill_the_ball_evenly_and_are_functions_of_their_keys(norm):
    drawn = np.stack([norm.uniform(3, key=(0, number)) for number in range(4000)])
    size = np.abs(drawn).max(1) if norm.name == "linf" else np.sqrt((drawn**2).sum(1))
    assert size.max() < 1.0
    # of a uniform draw the share within half of the radius is 1/2 to the power of the dimension
    assert (size < 0.5).mean() == pytest.approx(1 / 8, abs=0.02)
    assert np.abs(drawn.mean(0)).max() < 4 / math.sqrt(3 * 4000)
    assert (norm.uniform(3, key=(0, 7)) == drawn[7]).all()


def test_names_are_those_of_the_options():
    assert NORMS == {"linf": Linf(), "l2": L2()}
    assert [norm.symbol for norm in NORMS.values()] == ["L∞", "L2"]
