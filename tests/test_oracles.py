"""The oracles themselves: derivatives against differences, the algebra of each paper, PyTorch's base optimizers."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests import mutations, oracles
from tests.mutations import METHODS, MUTATIONS, OPTIMIZER_MUTATIONS, OPTIMIZERS

STEPS = 4
MLP = oracles.mlp(inputs=4, hidden=5, classes=3)
CONVOLUTION = oracles.convolution(filters=3, classes=3)


def quadratic(seed: int = 0) -> oracles.Quadratic:
    factor = np.random.default_rng(seed).normal(size=(7, 7))
    return oracles.Quadratic(("one.weight", "two.bias"), ((2, 2), (3,)), factor @ factor.T / 7)


def weights(problem: oracles.Problem, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=problem.size)


def batches(inputs: int, steps: int = STEPS, samples: int = 10) -> list[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(2)
    return [(random.normal(size=(samples, inputs)), random.integers(0, 3, size=samples)) for _ in range(steps)]


def soft(samples: int, classes: int) -> np.ndarray:
    return np.random.default_rng(3).dirichlet(np.ones(classes), size=samples)


def differences(function: Callable[[np.ndarray], float], at: np.ndarray, width: float = 1e-5) -> np.ndarray:
    """Central differences, entry by entry."""
    result = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[index] = width
        result[index] = (function(at + step) - function(at - step)) / (2 * width)
    return result


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return oracles.norm(a - b) / oracles.norm(b)


def problem_of(name: str) -> oracles.Problem:
    return CONVOLUTION if name == "asam filter" else MLP


def noise_for(problem: oracles.Problem) -> list[np.ndarray]:
    return list(np.random.default_rng(4).normal(size=(STEPS, problem.size)))


def run(method: oracles.Method, problem: oracles.Problem, optimizer: oracles.Optimizer) -> np.ndarray:
    """Four steps with two groups of learning rates and a warm-up from below the range of the proportional rule."""
    if method.noise == ():
        method = replace(method, noise=noise_for(problem))
    slower = np.where(np.arange(problem.size) < problem.size // 2, 1.0, 0.5)
    rates = [slower * rate for rate in (0.005, 0.02, 0.1, 0.05)]
    start = weights(problem)
    return np.concatenate(oracles.train(problem, start, batches(4), method, optimizer, lr=rates.__getitem__))


CRITERIA = {
    "softmax": oracles.cross_entropy,
    "sigmoid": oracles.binary_cross_entropy,
}
LINKS = {"softmax": oracles.softmax, "sigmoid": oracles.sigmoid}


def test_oracles_stand_on_numpy_alone():
    """Agreement with the library means something only as long as they share no code."""
    nodes = list(ast.walk(ast.parse(inspect.getsource(oracles))))
    imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"__future__", "collections.abc", "dataclasses", "typing", "numpy"}


# ----------------------------------------------------------------------------------------------------------- gradients
@pytest.mark.parametrize("problem", [MLP, CONVOLUTION, quadratic()], ids=["mlp", "convolution", "quadratic"])
@pytest.mark.parametrize("targets", ["indices", "soft"])
@pytest.mark.parametrize("link", CRITERIA)
def test_gradient_agrees_with_differences(problem, targets, link):
    w = weights(problem)
    x = np.random.default_rng(2).normal(size=(6, 7 if isinstance(problem, oracles.Quadratic) else 4))
    y = soft(6, 3) if targets == "soft" else np.array([0, 1, 2, 2, 1, 0])
    expected = differences(lambda v: problem.value(v, CRITERIA[link], x, y), w)
    assert distance(problem.gradient(w, CRITERIA[link], x, y), expected) < 1e-6


@pytest.mark.parametrize("targets", ["indices", "soft"])
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize(("threshold", "gamma"), [(None, 1.0), (0.1, 0.5), (0.0, 1.0), (None, 0.0)])
def test_obf_gradient_is_that_of_the_objective_with_alpha_held(targets, link, threshold, gamma):
    """(1 - alpha) CE(p, y) - CE(p, u), alpha frozen at the logits where the derivative is taken."""
    logits = np.random.default_rng(5).normal(size=(6, 3)) * 2
    y = soft(6, 3) if targets == "soft" else np.eye(3)[[0, 1, 2, 2, 1, 0]]
    p = LINKS[link](logits)
    frozen = oracles.obf_alpha(p, y, threshold, gamma)
    objective = oracles.obf(threshold=threshold, gamma=gamma, link=LINKS[link], alpha=lambda *_: frozen)

    gradient = oracles.obf(threshold=threshold, gamma=gamma, link=LINKS[link])(logits, y)[1]
    assert distance(gradient, differences(lambda v: objective(v, y)[0], logits)) < 1e-6
    assert gamma == 0 or frozen.any()


def test_objectives_written_out():
    """The values, term by term, for one sample: what the differences above cannot vouch for."""
    logits, y = np.array([[0.2, -1.0, 0.7]]), np.array([2])
    powers = np.exp(logits[0])
    p = powers / powers.sum()
    alpha = 0.5 * (1 - 0.1 / p[2]) / 0.9
    expected = -(1 - alpha) * np.log(p[2]) + np.log(p).mean()
    assert oracles.obf(threshold=0.1, gamma=0.5)(logits, y)[0] == pytest.approx(expected, rel=1e-14)

    q = 1 / (1 + np.exp(-logits[0]))
    alpha = 0.5 * (1 - 0.1 / q[2]) / 0.9
    binary = -np.log(q[2]) - np.log(1 - q[0]) - np.log(1 - q[1])
    uniform = -(np.log(q) / 3 + 2 * np.log(1 - q) / 3).sum()
    actual = oracles.obf(threshold=0.1, gamma=0.5, link=oracles.sigmoid)(logits, y)[0]
    assert actual == pytest.approx((1 - alpha) * binary - uniform, rel=1e-14)
    assert oracles.binary_cross_entropy(logits, y)[0] == pytest.approx(binary, rel=1e-14)


def test_obf_at_its_ends():
    """Vani et al.: below chance it is the margin u - y, whatever the prediction; at alpha = 1 it is u - p."""
    unlikely, certain = np.array([[-2.0, 1.0, 0.5]]), np.array([[50.0, 0.0, 0.0]])
    u, y = np.full(3, 1 / 3), np.eye(3)[0]
    assert np.array_equal(oracles.obf()(unlikely, np.array([0]))[1][0], u - y)
    assert np.allclose(oracles.obf()(certain, np.array([0]))[1][0], u - oracles.softmax(certain)[0], atol=1e-15)
    assert np.isclose(oracles.obf_alpha(np.array([[2e-3]]), np.ones((1, 1)), 1e-3, 1.0), 0.5005, atol=1e-4)


# ------------------------------------------------------------------------------------------------------- perturbations
def test_sam_on_a_quadratic_in_closed_form():
    problem, w = quadratic(), weights(quadratic())
    x, h, lr, rho = np.random.default_rng(2).normal(size=(3, 7)), quadratic().hessian, 0.05, 0.3
    g = h @ w - x.mean(0)
    expected = w - lr * (h @ (w + rho * g / np.sqrt(g @ g)) - x.mean(0))

    method = oracles.Method(rho=oracles.constant(rho))
    (actual,) = oracles.train(problem, w, [(x, np.zeros(3))], method, oracles.sgd(), lr=lambda step: lr)
    assert distance(actual, expected) < 1e-13


@pytest.mark.parametrize("scaled", ["weight", "all"])
@pytest.mark.parametrize("scaling", [oracles.element, oracles.filter_wise, oracles.layer])
def test_asam_lies_on_its_ball_and_is_the_maximiser_there(scaling, scaled):
    """||T^-1 epsilon|| = rho, and no other point of the ball has a larger product with g."""
    problem, rho = CONVOLUTION, 0.3
    w, g = weights(problem), weights(problem, seed=6)
    t = oracles.normaliser(w, problem, 0.01, scaling, scaled)
    e = oracles.asam(eta=0.01, scaling=scaling, scaled=scaled)(w, g, rho, problem)
    assert oracles.norm(e / t) == pytest.approx(rho, rel=1e-11)
    others = np.random.default_rng(7).normal(size=(200, problem.size))
    others *= rho / np.linalg.norm(others, axis=1, keepdims=True)
    assert g @ e > (others * t @ g).max()


def test_normalisers_written_out():
    problem = oracles.convolution(filters=1, classes=1)
    w = np.array([1.0, -2.0, 3.0, -4.0, 5.0, -6.0, 7.0])  # one 2 x 2 filter, its bias, one dense weight, its bias
    filter_norm = np.sqrt(30)
    for scaling, scaled, expected in [
        (oracles.element, "weight", [1.1, 2.1, 3.1, 4.1, 1, 6.1, 1]),
        (oracles.element, "all", [1.1, 2.1, 3.1, 4.1, 5.1, 6.1, 7.1]),
        (oracles.filter_wise, "weight", [filter_norm + 0.1] * 4 + [1, 6.1, 1]),
        (oracles.filter_wise, "all", [filter_norm + 0.1] * 4 + [5.1, 6.1, 7.1]),
    ]:
        assert np.allclose(oracles.normaliser(w, problem, 0.1, scaling, scaled), expected, atol=1e-15)
    two = oracles.normaliser(np.arange(1.0, 18.0), oracles.convolution(2, 2), 0.0, oracles.filter_wise)
    assert np.allclose(two[:8], [np.sqrt(30)] * 4 + [np.sqrt(174)] * 4)
    whole = oracles.normaliser(np.arange(1.0, 18.0), oracles.convolution(2, 2), 0.0, oracles.layer)
    assert np.allclose(whole[:8], np.sqrt(204))


def test_radii_of_the_other_perturbations():
    problem, w, g, rho = MLP, weights(MLP), weights(MLP, seed=6), 0.3
    ones = np.ones(problem.size)
    assert oracles.norm(oracles.sam(w, g, rho, problem)) == pytest.approx(rho)
    assert oracles.norm(oracles.after_norm(w, g, rho, problem) / w) == pytest.approx(rho)
    assert oracles.norm(oracles.before_norm(w, g, rho, problem)) == pytest.approx(rho)
    assert np.allclose(np.abs(oracles.linf()(w, g, rho * ones, problem)), rho)
    own = np.where(np.arange(problem.size) < 5, 0.1, 0.4)
    assert np.allclose(oracles.sam(w, g, own, problem) / own, g / oracles.norm(g), rtol=1e-11)


def test_several_steps_on_a_quadratic_in_closed_form():
    problem, w, h = quadratic(), weights(quadratic()), quadratic().hessian

    def unit(v: np.ndarray) -> np.ndarray:
        return h @ v / np.sqrt(h @ v @ h @ v)

    first = w + 0.1 * unit(w)
    second = first + 0.1 * unit(first)
    expected = second + 0.1 * unit(second)
    assert distance(oracles.ascend(w, lambda v: h @ v, oracles.sam, 0.3, 3, problem), expected) < 1e-12


# --------------------------------------------------------------------------------------------------------------- rules
def test_gsam_leaves_the_perturbed_loss_alone():
    """What GSAM adds to g_p is orthogonal to it, lies in their plane, and raises the clean loss: the gap shrinks."""
    g, g_p = weights(MLP, seed=8), weights(MLP, seed=9)
    added = oracles.gsam(alpha=0.4)(g, g_p, MLP) - g_p
    assert abs(added @ g_p) < 1e-12 * oracles.norm(added) * oracles.norm(g_p)
    assert np.linalg.matrix_rank(np.stack([g, g_p, added]), tol=1e-9) == 2
    assert added @ g < 0
    assert np.array_equal(oracles.gsam(alpha=0.0)(g, g_p, MLP), g_p)
    small = oracles.gsam(alpha=0.4, backup=oracles.normalized)(g, g_p, MLP) - g_p
    assert distance(small * oracles.norm(g), added) < 1e-10


def test_chunks_are_weighted_by_their_size():
    """With no perturbation the weighted mean over ragged chunks is the gradient of the batch."""
    (x, y), rho = batches(4, steps=1)[0], np.zeros(MLP.size)
    w, method = weights(MLP), METHODS["sam chunks"]
    actual, _ = oracles.update(MLP, w, x, y, method, oracles.cross_entropy, rho, iter(()))
    assert distance(actual, MLP.gradient(w, oracles.cross_entropy, x, y)) < 1e-13


def test_proportional_to_lr():
    radius = oracles.proportional_to_lr(0.1, 0.6, 1e-3, 3e-3)
    assert np.allclose(radius(np.array([1e-3, 2e-3, 3e-3])), [0.1, 0.35, 0.6])
    assert np.array_equal(oracles.proportional_to_lr(0.0, 0.6, 1e-3, 3e-3)(np.array([0.0])), [0.0])
    assert np.array_equal(oracles.proportional_to_lr(0.1, 0.6, 1e-3, 1e-3)(np.array([5e-3])), [0.6])


def test_a_step_that_is_not_perturbed_is_the_base_optimizer():
    late = replace(METHODS["asam gsam obf"], when=lambda step: step >= STEPS)
    a, b = (run(method, MLP, OPTIMIZERS["adamw"]) for method in (late, METHODS["unperturbed"]))
    assert np.array_equal(a, b)


# ----------------------------------------------------------------------------------------------------- base optimizers
def torch_optimizer(name: str, groups: Sequence[dict[str, object]]) -> torch.optim.Optimizer:
    if name == "sgd":
        return torch.optim.SGD(groups, momentum=0.9)
    return torch.optim.AdamW(groups)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_base_optimizers_agree_with_torch(name):
    """Two groups with their own rate and decay, ten steps."""
    random = np.random.default_rng(10)
    w, gradients = random.normal(size=6), random.normal(size=(10, 6))
    parts = [torch.nn.Parameter(torch.tensor(w[:4])), torch.nn.Parameter(torch.tensor(w[4:]))]
    rates, decays = np.repeat([0.1, 0.02], [4, 2]), np.repeat([0.01, 0.3], [4, 2])
    groups = [
        {"params": [parts[0]], "lr": 0.1, "weight_decay": 0.01},
        {"params": [parts[1]], "lr": 0.02, "weight_decay": 0.3},
    ]
    theirs = torch_optimizer(name, groups)
    ours = oracles.sgd(momentum=0.9, weight_decay=decays) if name == "sgd" else oracles.adamw(weight_decay=decays)

    state: oracles.State = {}
    for g in gradients:
        w, state = ours(w, g, state, rates)
        parts[0].grad, parts[1].grad = torch.tensor(g[:4]), torch.tensor(g[4:])
        theirs.step()
        assert distance(w, torch.cat([p.detach() for p in parts]).numpy()) < 1e-13


# ----------------------------------------------------------------------------------------------------------- mutations
def test_every_method_has_at_least_three_mutations():
    assert set(MUTATIONS) == set(METHODS) and set(OPTIMIZER_MUTATIONS) == set(OPTIMIZERS)
    assert min(map(len, [*MUTATIONS.values(), *OPTIMIZER_MUTATIONS.values()])) >= 3


@pytest.mark.parametrize(("name", "mutation"), [(name, wrong) for name in MUTATIONS for wrong in MUTATIONS[name]])
def test_a_mutation_changes_the_trajectory(name, mutation):
    problem, optimizer = problem_of(name), OPTIMIZERS["sgd"]
    right = run(METHODS[name], problem, optimizer)
    assert distance(run(mutations.mutate(name, mutation), problem, optimizer), right) > 1e-6


@pytest.mark.parametrize(
    ("name", "mutation"), [(name, wrong) for name in OPTIMIZERS for wrong in OPTIMIZER_MUTATIONS[name]]
)
def test_a_mutation_of_the_optimizer_changes_the_trajectory(name, mutation):
    right = run(METHODS["sam"], MLP, OPTIMIZERS[name])
    assert distance(run(METHODS["sam"], MLP, OPTIMIZER_MUTATIONS[name][mutation]), right) > 1e-6
