"""What the base optimizer gets of the two gradients, and which losses they belong to (methods.md section 11)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests import oracles as o
from tests.family.directions import ByTensor
from tests.family.driver import After, Combine, Descent, Memory, Step
from tests.oracles import EPSILON, Criterion, Vector, norm


# ------------------------------------------------------------------------------------------------ mixtures of g and g_p
def mixed(clean: float, perturbed: float) -> Combine:
    """clean * g + perturbed * g_p."""
    return lambda now, g, g_p, memory: clean * g + perturbed * g_p


def penalty(a: float) -> Combine:
    """Gradient-norm penalty (Zhao et al., ICML 2022; no row in methods.md, given by this project, unverified):
    (1 - a) g + a g_p, the finite difference of L + (a rho) ||g||.
    """
    return mixed(1 - a, a)


def rwp(share: float) -> Combine:
    """RWP (Li et al., TMLR 2024): share * grad L(w + noise) + (1 - share) * grad L(w)."""
    return mixed(1 - share, share)


def wsam(gamma: float) -> Combine:
    """WSAM (Yue et al., KDD 2023), coupled: the gradient of L + gamma / (1 - gamma) (L_p - L)."""
    ratio = gamma / (1 - gamma)
    return mixed(1 - ratio, ratio)


def clean_and_kept(now: Step, g: Vector, g_p: Vector, memory: Memory) -> Vector:
    """WSAM, decoupled: the base optimizer gets g; what `sharpness` subtracts afterwards is kept for it."""
    memory["sharpness"] = g_p - g
    return g


def sharpness(gamma: float) -> After:
    """WSAM, decoupled: w <- w - lr (u + gamma / (1 - gamma) (g_p - g)), u the base update that g alone has made."""
    return lambda now, w, memory: w - now.lr * gamma / (1 - gamma) * memory["sharpness"]


def rescaled(now: Step, g: Vector, g_p: Vector, memory: Memory) -> Vector:
    """Stable SAM, 'norm-rescaled' (JMLR 2025): (||g|| / ||g_p||) g_p, norms over all parameters jointly."""
    return norm(g) / (norm(g_p) + EPSILON) * g_p


def through(change: ByTensor) -> Combine:
    """The tensors of g_p changed, as in the descent of GCSAM."""
    return lambda now, g, g_p, memory: change(g_p, now.problem)


def functional(now: Step, at: Vector, memory: Memory) -> Vector:
    """Functional SAM (Singh et al., ICML 2025): J(w + epsilon)' dL/dx(w), x the logits: the loss derivative is that at
    w, the Jacobian that at w + epsilon.
    """
    derivative = now.run.loss(now.logits(now.w), now.y)[1]
    return now.gradient(at, lambda logits, targets: (0.0, derivative))


# --------------------------------------------------------------------------------------------------- losses by class
def weighted(weights: Sequence[float], loss: Criterion = o.cross_entropy) -> Criterion:
    """Each sample's loss times the weight of its class, their sum divided by the size of the whole batch.

    A soft label y has the weight sum_k y_k weights_k.
    """

    def criterion(logits: Vector, targets: Vector) -> tuple[float, Vector]:
        factors = o.distribution(targets, logits.shape[1]) @ np.asarray(weights, dtype=float)
        values = [loss(logits[i : i + 1], targets[i : i + 1])[0] for i in range(len(logits))]
        return float(factors @ values / len(logits)), factors[:, None] * loss(logits, targets)[1]

    return criterion


def focal_weights(shares: Sequence[float], gamma: float) -> list[float]:
    """(1 - pi_k)^gamma of class k with share pi_k."""
    return [(1 - share) ** gamma for share in shares]


def of_classes(weights: Sequence[float]) -> Descent:
    """The gradient at w + epsilon of the loss weighted by class."""
    return lambda now, at, memory: now.gradient(at, weighted(weights, now.run.loss))


def with_remainder(weights: Sequence[float], share: float = 1.0) -> Combine:
    """share * g_p + grad (L - share * L_weighted)(w).

    Focal-SAM (ICML 2025): L_weighted = L^gamma = sum_i (1 - pi_i)^gamma L_i, epsilon of its gradient, share = lambda.
    ImbSAM (ICCV 2023): the weights are 1 for tail classes and 0 for head classes, share 1, which leaves the gradient of
    the head classes at w plus that of the tail classes at w + epsilon.

    Our reading: L and L_weighted are both sums over their samples divided by the size of the whole batch.
    """

    def combine(now: Step, g: Vector, g_p: Vector, memory: Memory) -> Vector:
        remainder = weighted([1 - share * weight for weight in weights], now.run.loss)
        return share * g_p + now.gradient(now.w, remainder)

    return combine
