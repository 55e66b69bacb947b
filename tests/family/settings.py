"""The training on which oracles are looked at, the same as the one on which the library is compared with them."""

from __future__ import annotations

from functools import cache

import numpy as np

from tests import mutations as single
from tests import oracles as o
from tests.family import driver, table
from tests.family.driver import Method, Run, Step, nothing, train
from tests.family.table import DRAWS, ORACLES, PROBLEMS

STEPS, ROWS = 10, 10
MLP = o.mlp(inputs=4, hidden=5, classes=3)
RATES = (0.005, 0.02, 0.1, 0.08, 0.06, 0.05, 0.04, 0.03, 0.02, 0.01)
SAM, PLAIN = Method(), Method(epsilon=nothing)


def by_group(problem: o.Problem, first: float, second: float) -> np.ndarray:
    return np.where(np.arange(problem.size) < problem.slices[1].stop, first, second)


def draws(name: str, problem: o.Problem) -> list[np.ndarray]:
    random, kind = np.random.default_rng(4), DRAWS.get(name, "")
    if "by entry" in kind:
        return list((random.random((STEPS, problem.size)) < 0.6).astype(float))
    if "by tensor" in kind:
        sizes = [part.stop - part.start for part in problem.slices]
        return [np.repeat((random.random(len(sizes)) < 0.6).astype(float), sizes) for _ in range(STEPS)]
    normal = random.normal(size=(STEPS, problem.size))
    return list(normal / np.linalg.norm(normal, axis=1, keepdims=True) if "eigenvector" in kind else normal)


def setting(name: str, optimizer: str = "sgd", steps: int = STEPS) -> Run:
    """Two groups with their own rate and radius, momentum or Adam, weight decay, as the library is compared."""
    problem, random = PROBLEMS.get(name, MLP), np.random.default_rng(2)
    batches = [(random.normal(size=(ROWS, 4)), random.integers(0, 3, ROWS)) for _ in range(steps)]
    rates = [by_group(problem, rate, rate / 2) for rate in RATES[:steps]]
    radii = [by_group(problem, table.RHO, 0.06)] * steps
    start = np.random.default_rng(1).normal(size=problem.size)
    samples = driver.visits(steps, ROWS, batches=3)
    base = single.OPTIMIZERS[optimizer]
    return Run(problem, start, batches, base, rates, radii, draws=draws(name, problem), samples=samples)


@cache
def trajectory(name: str, optimizer: str = "sgd") -> np.ndarray:
    return train(ORACLES[name], setting(name, optimizer))


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def stepped(method: driver.Oracle, w: np.ndarray, hessian: np.ndarray, steps: int = 1, lr: float = 0.1) -> np.ndarray:
    """Steps on L = w'Hw / 2 under plain SGD with rho 0.5: what can be worked out by hand."""
    problem = o.Quadratic(("w",), ((len(w),),), hessian)
    batches = [(np.zeros((1, len(w))), np.zeros(1))] * steps
    run = Run(problem, w, batches, o.sgd(), [np.full(len(w), lr)] * steps, [np.full(len(w), 0.5)] * steps)
    return train(method, run)


def at(name: str, steps: int = 1) -> Step:
    """The first step of a run, for rules that are looked at by themselves."""
    run = setting(name, steps=steps)
    return Step(run, 0, run.start, {})


def slope(value, w: np.ndarray, width: float = 1e-5) -> np.ndarray:
    """Central differences, entry by entry."""
    steps = width * np.eye(len(w))
    return np.array([value(w + step) - value(w - step) for step in steps]) / (2 * width)
