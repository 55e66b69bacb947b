"""Cheaper methods, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests import mutations as single
from tests import oracles as o
from tests.family import cheaper as c
from tests.family import driver, table
from tests.family.driver import Method, Step, train
from tests.family.settings import MLP, PLAIN, ROWS, at, distance, setting, slope, trajectory
from tests.family.table import ORACLES


def test_looksam_by_hand():
    """SAM, then g + a ||g|| / ||g_v|| g_v: with g along the first axis, g_v is along the second."""
    combine, memory = c.looksam(2, 0.5), {}
    first, second = (Step(at("looksam").run, index, np.zeros(2), {}) for index in (0, 1))
    assert np.array_equal(combine(first, np.array([2.0, 0]), np.array([3.0, 4]), memory), [3, 4])
    assert np.allclose(combine(second, np.array([0, 6.0]), np.array([0.0, 0]), memory), [0, 6 + 0.5 * 6])


def test_ae_sam_by_hand():
    """delta 0.5, ||g||^2 = 4 then 1: mu 2, sigma^2 2; mu 1.5, sigma^2 1.125. c = 1: 4 >= 2 + 1.41, 1 < 1.5 + 1.06."""
    epsilon, memory = c.ae_sam(0.5, lambda step: 1.0), {}
    now = at("ae-sam")
    g = np.eye(MLP.size)[0]
    assert o.norm(epsilon(now, 2 * g, memory)) > 0 and (memory["mu"], memory["variance"]) == (2, 2)
    assert o.norm(epsilon(now, g, memory)) == 0 and (memory["mu"], memory["variance"]) == (1.5, 1.125)
    threshold = c.linear(1.0, -1.0, 10)
    assert (threshold(0), threshold(5), threshold(10)) == (1, 0, -1)


def test_ae_sam_and_le_sam_are_tested_on_both_sides_of_their_condition():
    """And not at its edge, where rounding would decide."""
    for optimizer in single.OPTIMIZERS:
        run, fired, capped = setting("ae-sam", optimizer), [], []

        def watched(now: Step, g: np.ndarray, memory: dict, fired: list[bool] = fired) -> np.ndarray:
            epsilon = ORACLES["ae-sam"].epsilon(now, g, memory)
            c_t = 1 - 2 * now.index / table.STEPS
            edge = memory["mu"] + c_t * np.sqrt(memory["variance"])
            assert abs(g @ g / edge - 1) > 0.005
            fired.append(bool(epsilon.any()))
            return epsilon

        train(Method(epsilon=watched), run)
        assert 3 < sum(fired) < 9
        run = setting("le-sam", optimizer)
        for (x, y), w in zip(run.batches, [run.start, *trajectory("le-sam", optimizer)], strict=False):
            capped.append(table.SIGMA / o.norm(MLP.gradient(w, o.cross_entropy, x, y)) > run.radii[0])
        assert all(0 < sum(entry) < table.STEPS for entry in np.stack(capped)[:, [0, -1]].T)


def test_esam_masks_and_picks():
    now = at("esam weights")
    g = np.random.default_rng(7).normal(size=MLP.size)
    epsilon = c.stochastic_weights(0.5)(now, g, {})
    assert np.array_equal(epsilon != 0, now.draw == 1)
    assert np.allclose(epsilon[now.draw == 1] / now.rho[now.draw == 1], (2 * g / o.norm(g))[now.draw == 1])

    moved = now.w + 0.3 * g
    change = [
        MLP.value(moved, o.cross_entropy, now.x[[i]], now.y[[i]])
        - MLP.value(now.w, o.cross_entropy, now.x[[i]], now.y[[i]])
        for i in range(ROWS)
    ]
    rows = sorted(range(ROWS), key=lambda i: -change[i])[:5]
    expected = sum(MLP.gradient(moved, o.cross_entropy, now.x[[i]], now.y[[i]]) for i in rows) / 5
    assert distance(c.sensitive_samples(0.45)(now, moved, {}), expected) < 1e-13


@pytest.mark.parametrize("optimizer", single.OPTIMIZERS)
def test_msam_looks_along_the_momentum(optimizer):
    """Its first step is the base optimizer's; the second takes its gradient at w - rho v / ||v||, v = g + decay w."""
    run = setting("msam", optimizer, steps=2)
    first = train(PLAIN, run)[0]
    assert distance(trajectory("msam", optimizer)[0], first) < 1e-15
    g = MLP.gradient(run.start, o.cross_entropy, *run.batches[0])
    v = g + single.DECAY * run.start if optimizer == "sgd" else g
    state = run.optimizer(run.start, g, {}, run.rates[0])[1]
    g_p = MLP.gradient(first - run.radii[1] * v / np.sqrt(v @ v), o.cross_entropy, *run.batches[1])
    assert distance(trajectory("msam", optimizer)[1], run.optimizer(first, g_p, state, run.rates[1])[0]) < 1e-12


def test_distillation_agrees_with_differences():
    random = np.random.default_rng(8)
    old, logits, y = random.normal(size=(4, 3)), random.normal(size=(4, 3)), np.array([0, 2, 1, 1])
    old[1] = np.nan
    criterion = c.distillation(old, 0.8, 5.0, o.cross_entropy)
    value, gradient = criterion(logits, y)
    numeric = slope(lambda flat: criterion(flat.reshape(4, 3), y)[0], logits.ravel()).reshape(4, 3)
    assert distance(gradient, numeric) < 1e-8
    p, q = o.softmax(old[[0, 2, 3]] / 5), o.softmax(logits[[0, 2, 3]] / 5)
    assert value - o.cross_entropy(logits, y)[0] == pytest.approx(0.8 * (p * np.log(p / q)).sum() / 4, rel=1e-12)
    assert np.array_equal(gradient[1], o.cross_entropy(logits, y)[1][1])


def test_average_of_mesa_by_hand():
    memory: dict = {}
    now = at("mesa")
    for w in (now.w + 1, now.w + 2):
        assert np.array_equal(c.moving_average(0.75)(now, w, memory), w)
    assert np.allclose(memory["average"], now.w + 0.75 * 0.25 + 0.25 * 2)


def test_saf_finds_the_sample_again():
    """Two samples that change places: the term of each is with its own logits of the visit before."""
    run = setting("saf", steps=2)
    x, y = run.batches[0]
    run = replace(run, batches=[(x[:2], y[:2]), (x[1::-1], y[1::-1])], samples=[np.array([7, 3]), np.array([3, 7])])
    memory: dict = {}
    descent, moved = c.saf(0.8, 5.0, 1, 0), run.start + 0.1
    first = descent(Step(run, 0, run.start, {}), run.start, memory)
    assert distance(first, MLP.gradient(run.start, o.cross_entropy, x[:2], y[:2])) < 1e-15
    old = MLP.forward(run.start, x[1::-1])[1]
    expected = MLP.gradient(moved, c.distillation(old, 0.8, 5.0, o.cross_entropy), x[1::-1], y[1::-1])
    assert distance(descent(Step(run, 1, moved, {}), moved, memory), expected) < 1e-14
    assert {key: len(value) for key, value in memory.items()} == {7: 2, 3: 2}


def test_samples_come_once_in_every_epoch():
    samples = driver.visits(7, 10, batches=3)
    assert len(samples) == 7 and all(len(rows) == 10 for rows in samples)
    assert sorted(np.concatenate(samples[3:6])) == list(range(30))
