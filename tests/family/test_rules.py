"""Other rules and losses, by hand and against differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests import oracles as o
from tests.family import rules as r
from tests.family.driver import Method, train
from tests.family.settings import MLP, ROWS, at, distance, setting, slope, stepped, trajectory
from tests.family.table import ORACLES


def test_rules_on_a_quadratic_by_hand():
    """L = w^2 / 2 at w = 2, rho 0.5, lr 0.1: g = 2, g_p = 2.5."""
    for changes, expected in [
        ({"combine": r.wsam(0.8)}, 2 - 0.1 * (2 + 4 * 0.5)),
        ({"combine": r.clean_and_kept, "after": r.sharpness(0.8)}, 2 - 0.1 * (2 + 4 * 0.5)),
        ({"combine": r.rescaled}, 2 - 0.1 * 2),
        ({"combine": r.penalty(0.7)}, 2 - 0.1 * (0.3 * 2 + 0.7 * 2.5)),
        ({"combine": r.rwp(0.4)}, 2 - 0.1 * (0.6 * 2 + 0.4 * 2.5)),
    ]:
        actual = stepped(Method(**changes), np.array([2.0]), np.eye(1))
        assert actual[0, 0] == pytest.approx(expected, rel=1e-10)


def test_decoupled_wsam_is_the_coupled_one_only_for_plain_sgd():
    two = [ORACLES["wsam"], ORACLES["wsam decoupled"]]
    coupled, decoupled = (train(oracle, replace(setting("wsam"), optimizer=o.sgd())) for oracle in two)
    assert distance(decoupled, coupled) < 1e-12
    assert distance(trajectory("wsam decoupled", "adamw"), trajectory("wsam", "adamw")) > 1e-3


def test_penalty_is_the_gradient_of_the_norm():
    """For small rho, (g_p - g) / rho is the gradient of ||g||."""
    now, rho = at("gradient-norm penalty"), 1e-5
    g = now.gradient(now.w)
    g_p = now.gradient(now.w + rho * g / o.norm(g))
    added = (r.penalty(0.7)(now, g, g_p, {}) - g) / (0.7 * rho)
    assert distance(added, slope(lambda w: o.norm(now.gradient(w)), now.w)) < 1e-3


def test_functional_sam_moves_the_jacobian_alone():
    """The gradient at w + epsilon of <dL/dx(w), x(.)>, the first factor held."""
    now = at("functional sam")
    moved = now.w + 0.1
    held = o.cross_entropy(now.logits(now.w), now.y)[1]
    assert distance(r.functional(now, moved, {}), slope(lambda w: float((held * now.logits(w)).sum()), moved)) < 1e-8
    assert distance(r.functional(now, now.w, {}), now.gradient(now.w)) < 1e-15


def test_weighted_loss_agrees_with_differences_and_by_hand():
    now, weights = at("imbsam"), (0.5, 2.0, 0.0)
    criterion = r.weighted(weights)
    numeric = slope(lambda w: MLP.value(w, criterion, now.x, now.y), now.w)
    assert distance(MLP.gradient(now.w, criterion, now.x, now.y), numeric) < 1e-7
    p = o.softmax(now.logits(now.w))
    by_hand = sum(-weights[y] * np.log(row[y]) for row, y in zip(p, now.y, strict=True)) / ROWS
    assert MLP.value(now.w, criterion, now.x, now.y) == pytest.approx(by_hand, rel=1e-13)
    soft = np.eye(3)[now.y]
    assert MLP.value(now.w, criterion, now.x, soft) == pytest.approx(by_hand, rel=1e-13)
    assert np.allclose(r.focal_weights((0.5, 0.25), 2.0), [0.25, 0.5625])


def test_imbsam_and_focal_sam_by_hand():
    """Head at w plus tail at w + epsilon, both over the whole batch; and the formula of Focal-SAM sample by sample."""
    run = setting("imbsam", steps=1)
    (x, y), w, loss = run.batches[0], run.start, o.cross_entropy
    tail = y == 1
    g = MLP.gradient(w, loss, x[tail], y[tail])
    moved = w + run.radii[0] * g / o.norm(g)
    head = MLP.gradient(w, loss, x[~tail], y[~tail]) * (~tail).mean()
    d_imb = head + MLP.gradient(moved, loss, x[tail], y[tail]) * tail.mean()
    assert distance(trajectory("imbsam")[0], run.optimizer(w, d_imb, {}, run.rates[0])[0]) < 1e-12

    def focal(at: np.ndarray) -> np.ndarray:
        factors = (1 - np.array([0.5, 0.3, 0.2]))[y] ** 2
        return sum(f * MLP.gradient(at, loss, x[[i]], y[[i]]) for i, f in enumerate(factors)) / ROWS

    moved = w + run.radii[0] * focal(w) / o.norm(focal(w))
    d_focal = 0.8 * focal(moved) + MLP.gradient(w, loss, x, y) - 0.8 * focal(w)
    assert distance(trajectory("focal-sam")[0], run.optimizer(w, d_focal, {}, run.rates[0])[0]) < 1e-12
