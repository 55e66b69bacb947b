"""Several steps, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests import mutations as single
from tests import oracles as o
from tests.family import stepping as s
from tests.family.driver import Method, Step, nothing
from tests.family.settings import distance, setting, stepped, trajectory


def test_lookbehind_by_hand():
    """L = h w^2 / 2 in one dimension, where epsilon is rho itself: phi' = w + rho i, and each step is -lr h phi'."""
    w, h, lr, rho = 2.0, 3.0, 0.1, 0.5
    first = w - lr * h * (w + rho)
    second = first - lr * h * (w + 2 * rho)
    expected = w + 0.25 * (second - w)
    actual = stepped(s.Lookbehind(2, share=s.static(0.25)), np.array([w]), np.array([[h]]))
    assert actual[0, 0] == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("optimizer", single.OPTIMIZERS)
@pytest.mark.parametrize("name", ["lookbehind sam", "lookbehind asam"])
def test_both_forms_of_lookbehind_are_equal(name, optimizer):
    assert distance(trajectory(f"{name} reused", optimizer), trajectory(name, optimizer)) < 1e-14


def test_adaptive_share_of_lookbehind():
    problem = o.Quadratic(("one", "two", "three"), ((2,), (2,), (1,)), np.eye(5))
    first, total = np.array([1.0, 0, 1, 0, 0]), np.array([2.0, 0, 0, 3, 0])
    assert np.allclose(s.adaptive_by_tensor(first, total, problem), [1, 1, 0.5, 0.5, 0.5], atol=1e-15)
    expected = (2 / np.sqrt(2 * 13) + 1) / 2
    assert np.allclose(s.adaptive_globally(first, total, problem), expected, atol=1e-15)


def test_lookbehind_goes_on_with_the_optimizers_state():
    """k = 2 with a = 1: after n batches AdamW has counted 2 n steps."""
    run = setting("lookbehind sam", "adamw")
    state = s.Lookbehind(2, share=s.static(1.0)).step(Step(run, 0, run.start, {}), {})[1]
    assert state["t"] == 2


def test_lookahead_by_hand():
    """w <- w - 0.1 w three times with k = 2, a = 0.5: 1, .9, (1 + .81) / 2, .9 of that."""
    actual = stepped(Method(epsilon=nothing, after=s.lookahead(2, 0.5)), np.ones(1), np.eye(1), steps=3)
    assert np.allclose(actual[:, 0], [0.9, 0.905, 0.8145], atol=1e-15)


def test_shrink_and_perturb_by_hand():
    actual = stepped(Method(epsilon=nothing, after=s.shrink(lambda lr: 2 * lr)), np.ones(1), np.eye(1), steps=2)
    assert np.allclose(actual[:, 0], [0.8 * 0.9 + 0.2, 0.8 * 0.9 * 0.92 + 0.2], atol=1e-15)
