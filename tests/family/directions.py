"""Other perturbations (methods.md section 11): another vector to follow, another set of entries, another ball."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests import oracles as o
from tests.family.driver import Epsilon, Memory, Step
from tests.oracles import EPSILON, Problem, Vector, norm

ByTensor = Callable[[Vector, Problem], Vector]  # a flat vector to a flat vector, knowing where the tensors are


def along(d: Vector, rho: Vector) -> Vector:
    """rho d / ||d||, the norm over all parameters jointly."""
    return rho * d / (norm(d) + EPSILON)


# ------------------------------------------------------------------------------------------- another vector to follow
def friendly(sigma: float, decay: float) -> Epsilon:
    """Friendly SAM (Li et al., CVPR 2024): epsilon = rho d / ||d||, d = g - sigma m, then m <- decay m + (1 - decay) g.

    The first step is SAM, and m its gradient (the authors' code subtracts before it updates).
    """

    def epsilon(now: Step, g: Vector, memory: Memory) -> Vector:
        if "m" not in memory:
            memory["m"] = g
            return along(g, now.rho)
        m = memory["m"]
        memory["m"] = decay * m + (1 - decay) * g
        return along(g - sigma * m, now.rho)

    return epsilon


def vasso(theta: float) -> Epsilon:
    """VaSSO (Li and Giannakis, NeurIPS 2023): d <- (1 - theta) d + theta g; epsilon = rho d / ||d||.

    Our reading: d = g at the first step.
    """

    def epsilon(now: Step, g: Vector, memory: Memory) -> Vector:
        memory["d"] = (1 - theta) * memory.get("d", g) + theta * g
        return along(memory["d"], now.rho)

    return epsilon


def centralized(v: Vector, problem: Problem) -> Vector:
    """GCSAM (2025): minus the mean over all dimensions but the first; tensors with fewer than two stay as they are."""
    parts = []
    for tensor in problem.tensors(v):
        several = tuple(range(1, tensor.ndim))
        parts.append((tensor - tensor.mean(several, keepdims=True) if several else tensor).ravel())
    return np.concatenate(parts)


def following(direction: ByTensor) -> Epsilon:
    """epsilon = rho d / ||d|| with d made of g tensor by tensor, before the joint norm."""
    return lambda now, g, memory: along(direction(g, now.problem), now.rho)


def z_score(tensor: Vector) -> Vector:
    """|z| within the tensor; 0 where all entries are equal."""
    return np.abs(tensor - tensor.mean()) / (tensor.std() + EPSILON)


def outliers(share: float, score: Callable[[Vector], Vector] = z_score) -> ByTensor:
    """ZSharp (OPT 2025): per layer only the top share of |z-score| of g is left, the rest is 0.

    Our readings: a layer is a parameter tensor, also of one dimension; kept is |z| >= the (1 - share) quantile of |z|,
    linearly interpolated; the norm that follows is joint (the released code takes it per layer).
    """

    def direction(g: Vector, problem: Problem) -> Vector:
        parts = []
        for tensor in problem.tensors(g):
            z = score(tensor)
            parts.append(np.where(z >= np.quantile(z, 1 - share), tensor, 0).ravel())
        return np.concatenate(parts)

    return direction


def eigen(alpha: float, sign: Callable[[float], float] = np.sign) -> Epsilon:
    """Eigen-SAM (Luo et al., NeurIPS 2024): epsilon = rho (g / ||g|| + alpha s v_orth), v the top eigenvector of the
    Hessian of unit length, v_orth its part orthogonal to g. `draw` is v.

    Our readings: s = sign <v, g>, because the sign of an eigenvector means nothing; alpha scales rho; epsilon is not
    brought back to length rho.
    """

    def epsilon(now: Step, g: Vector, memory: Memory) -> Vector:
        return along(g, now.rho) + now.rho * alpha * sign(now.draw @ g) * o.orthogonal(now.draw, g)

    return epsilon


# ------------------------------------------------------------------------------------------------------ other entries
def fisher_mask(sparsity: float, every: int, kept: Callable[[float], float] = np.ceil) -> Epsilon:
    """Sparse SAM by Fisher mask (Mi et al., NeurIPS 2022; unverified): epsilon = rho m * g / ||g||, m = 1 on the top
    (1 - sparsity) entries of g^2 over all parameters jointly, refreshed every `every` steps from that step's gradient.

    Our readings: diag g^2 of the mini-batch gradient stands for the Fisher; ceil((1 - sparsity) n) entries are kept, at
    least one; ||g|| is that of all of g; the mask of step 0 is already its own.
    """

    def epsilon(now: Step, g: Vector, memory: Memory) -> Vector:
        if now.index % every == 0:
            memory["mask"] = np.zeros_like(g)
            memory["mask"][np.argsort(-(g**2))[: max(1, int(kept((1 - sparsity) * len(g))))]] = 1
        return now.rho * memory["mask"] * g / (norm(g) + EPSILON)

    return epsilon


def chosen(problem: Problem, named: str = "norm.") -> Vector:
    """1 on the entries of the parameters whose name begins so (the normalization's, in networks.py), 0 elsewhere."""
    parts = zip(problem.names, problem.slices, strict=True)
    return np.concatenate([np.full(part.stop - part.start, float(name.startswith(named))) for name, part in parts])


def sam_on(named: str = "norm.") -> Epsilon:
    """SAM-ON (Mueller et al., NeurIPS 2023): epsilon = rho m * g / ||m * g||, m = 1 on normalization parameters."""
    return lambda now, g, memory: along(chosen(now.problem, named) * g, now.rho)


def asam_on(eta: float, named: str = "norm.", power: int = 2) -> Epsilon:
    """Element-wise ASAM-ON: epsilon = rho T^2 g / ||T g||, T = (|w| + eta) m, the biases of normalizations included.

    That eta stands inside of T is our reading (Kwon et al. 2021).
    """

    def epsilon(now: Step, g: Vector, memory: Memory) -> Vector:
        t = (np.abs(now.w) + eta) * chosen(now.problem, named)
        return now.rho * t**power * g / (norm(t * g) + EPSILON)

    return epsilon


# --------------------------------------------------------------------------------------------------------- other balls
def fisher(damping: float) -> Epsilon:
    """Fisher SAM (Kim et al., ICML 2022; unverified): epsilon = rho F^-1 g / sqrt(g' F^-1 g), F = diag g^2.

    Our readings: g is the mini-batch gradient, and F = g^2 + damping; undamped, entries move by rho / (g sqrt n).
    """

    def epsilon(now: Step, g: Vector, memory: Memory) -> Vector:
        natural = g / (g**2 + damping)
        return now.rho * natural / (np.sqrt(g @ natural) + EPSILON)

    return epsilon


def le_sam(sigma: float) -> Epsilon:
    """LE-SAM (ICML 2026, 2605.10183): SAM with rho_t = min(sigma / ||g||, rho), a fixed increment of the loss.

    Our reading: rho_max is the run's rho, so that groups may have their own; sigma is one number for all.
    """
    return lambda now, g, memory: along(g, np.minimum(sigma / (norm(g) + EPSILON), now.rho))


def tensor_norms(v: Vector, problem: Problem) -> Vector:
    """For every entry the norm of its parameter tensor: a 'layer' is a tensor, a bias a layer of its own."""
    return np.concatenate([o.layer(tensor).ravel() for tensor in problem.tensors(v)])


def filter_norms(v: Vector, problem: Problem) -> Vector:
    """For every entry the norm of its slice along the first dimension, in tensors with at least two dimensions; a
    tensor with fewer is one filter (our reading).
    """

    def spread(tensor: Vector) -> Vector:
        return np.concatenate([o.layer(part).ravel() for part in (tensor if tensor.ndim > 1 else [tensor])])

    return np.concatenate([spread(tensor) for tensor in problem.tensors(v)])


def filter_sizes(problem: Problem) -> Vector:
    """For every entry the number of entries in its filter: the squared filter norm of a vector of ones."""
    return filter_norms(np.ones(problem.size), problem) ** 2


def relative(norms: ByTensor) -> Epsilon:
    """The ball with one radius per layer or filter l (methods.md names no paper; the rule is this project's):
    epsilon_l = rho ||w_l|| g_l / ||g_l||. A layer of zeros does not move.
    """

    def epsilon(now: Step, g: Vector, memory: Memory) -> Vector:
        return now.rho * norms(now.w, now.problem) * g / (norms(g, now.problem) + EPSILON)

    return epsilon


def filter_deviation(w: Vector, problem: Problem) -> Vector:
    """||filter|| / sqrt(entries of the filter)."""
    return filter_norms(w, problem) / np.sqrt(filter_sizes(problem))


def random_weights(scale: ByTensor = filter_deviation) -> Epsilon:
    """The noise of RWP (Li et al., TMLR 2024): filter-wise Gaussian, standard deviation rho ||filter|| / sqrt(entries
    of the filter). `draw` is standard normal, neither normalised nor scaled.

    Our readings: that scale (so that a filter moves by about rho ||filter||); filters as in `filter_norms`.
    """
    return lambda now, g, memory: now.rho * scale(now.w, now.problem) * now.draw
