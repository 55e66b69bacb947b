"""Rules with a mistake in them, for mutations.py: those that take more than a changed argument."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tests import mutations as m
from tests import oracles as o
from tests.family import cheaper as c
from tests.family import directions as d
from tests.family import rules as r
from tests.family import table as t
from tests.family.driver import Combine, Epsilon, Memory, Step, ball, nothing, of
from tests.oracles import EPSILON, Criterion, Problem, Vector, norm


# ------------------------------------------------------------------------------------------------------------- stepping
def cosine(first: Vector, total: Vector, problem: Problem) -> Vector:
    return np.full_like(total, first @ total / (norm(first) * norm(total)))


def lookahead_unsynchronized(now: Step, w: Vector, memory: Memory) -> Vector:
    """The slow weights move, the fast ones go on by themselves; at the last step the slow ones are shown."""
    slow = memory.get("slow", now.run.start)
    if (now.index + 1) % t.SYNC == 0:
        memory["slow"] = slow + t.SYNC_SHARE * (w - slow)
    return memory["slow"] if now.index + 1 == len(now.run.batches) else w


def lookahead_to_the_start(now: Step, w: Vector, memory: Memory) -> Vector:
    if (now.index + 1) % t.SYNC:
        return w
    return now.run.start + t.SYNC_SHARE * (w - now.run.start)


# -------------------------------------------------------------------------------------------------------------- cheaper
def look(part: Callable[[Vector, Vector, Problem], Vector], length: Callable[[Vector], float] = norm) -> Combine:
    return c.looksam(t.LOOK_EVERY, t.LOOK_SHARE, part, length)


def ae_sam(*, new_mean: bool = True, root: bool = True, sign: int = 1) -> Epsilon:
    """AE-SAM with the mean before its update in the variance, with the plain deviation averaged, or turned around."""
    threshold = c.linear(t.AE_FIRST, t.AE_LAST, t.STEPS)

    def epsilon(now: Step, g: Vector, memory: Memory) -> Vector:
        size, old = norm(g) ** 2, memory.get("mu", 0.0)
        memory["mu"] = t.AE_DELTA * old + (1 - t.AE_DELTA) * size
        deviation = np.abs(size - (memory["mu"] if new_mean else old))
        spread = deviation**2 if root else deviation
        memory["spread"] = t.AE_DELTA * memory.get("spread", 0.0) + (1 - t.AE_DELTA) * spread
        sigma = np.sqrt(memory["spread"]) if root else memory["spread"]
        fires = sign * (size - memory["mu"] - threshold(now.index) * sigma) >= 0
        return (ball(o.sam) if fires else nothing)(now, g, memory)

    return epsilon


def samples_of_largest_loss(now: Step, at: Vector, memory: Memory) -> Vector:
    rows = np.argsort(-c.sample_losses(now, at))[: int(np.ceil(t.SAMPLES_SHARE * len(now.x)))]
    return now.problem.gradient(at, now.run.loss, now.x[rows], now.y[rows])


def samples_over_the_batch(now: Step, at: Vector, memory: Memory) -> Vector:
    kept = int(np.ceil(t.SAMPLES_SHARE * len(now.x)))
    return kept / len(now.x) * c.sensitive_samples(t.SAMPLES_SHARE)(now, at, memory)


def momentum_by_tensor(now: Step, g: Vector, memory: Memory) -> Vector:
    v = c.momentum_of(now.base)
    return np.zeros_like(now.w) if v is None else -m.sam_per_tensor(now.w, v, now.rho, now.problem)


def backward_divergence(old: Vector, weight: float, tau: float, loss: Criterion) -> Criterion:
    """KL(now || old) where KL(old || now) belongs; its gradient is q (log(q / p) - KL) / (tau n)."""

    def criterion(logits: Vector, targets: Vector) -> tuple[float, Vector]:
        value, gradient = loss(logits, targets)
        p, q = o.softmax(old / tau), o.softmax(logits / tau)
        ratio = np.log(q / p)
        divergence = (q * ratio).sum(1, keepdims=True)
        return value, gradient + weight * q * (ratio - divergence) / (tau * len(logits))

    return criterion


def late_average(now: Step, w: Vector, memory: Memory) -> Vector:
    c.moving_average(t.MESA_DECAY)(now, now.w, memory)
    return w


def saf_by_row(now: Step, at: Vector, memory: Memory) -> Vector:
    rows = [np.arange(len(samples)) for samples in now.run.samples]
    by_row = replace(now, run=replace(now.run, samples=rows))
    return c.saf(t.DISTILL, t.TAU, t.SAF_VISITS, t.SAF_START)(by_row, at, memory)


# ----------------------------------------------------------------------------------------------------------- directions
def averaged_before(now: Step, g: Vector, memory: Memory) -> Vector:
    """Friendly SAM whose average has seen g already."""
    memory["m"] = t.FRIENDLY_DECAY * memory.get("m", 0.0) + (1 - t.FRIENDLY_DECAY) * g
    return d.along(g - t.FRIENDLY_SIGMA * memory["m"], now.rho)


def averaged_reduced(now: Step, g: Vector, memory: Memory) -> Vector:
    """Friendly SAM whose average is fed with the reduced gradient."""
    reduced = g - t.FRIENDLY_SIGMA * memory.get("m", 0.0)
    memory["m"] = t.FRIENDLY_DECAY * memory.get("m", 0.0) + (1 - t.FRIENDLY_DECAY) * reduced
    return d.along(reduced, now.rho)


def friendly_from_zero(now: Step, g: Vector, memory: Memory) -> Vector:
    memory.setdefault("m", np.zeros_like(g))
    return d.friendly(t.FRIENDLY_SIGMA, t.FRIENDLY_DECAY)(now, g, memory)


def vasso_from_zero(now: Step, g: Vector, memory: Memory) -> Vector:
    memory.setdefault("d", np.zeros_like(g))
    return d.vasso(t.THETA)(now, g, memory)


def vasso_late(now: Step, g: Vector, memory: Memory) -> Vector:
    before = memory.get("d", g)
    d.vasso(t.THETA)(now, g, memory)
    return d.along(before, now.rho)


def vasso_by_g(now: Step, g: Vector, memory: Memory) -> Vector:
    d.vasso(t.THETA)(now, g, memory)
    return now.rho * memory["d"] / norm(g)


def centered(v: Vector, problem: Problem) -> Vector:
    """Minus the mean of the whole tensor."""
    parts = zip(problem.tensors(v), problem.slices, strict=True)
    return np.concatenate([v[part] - (tensor.mean() if tensor.ndim > 1 else 0) for tensor, part in parts])


def each_tensor(direction: d.ByTensor) -> Epsilon:
    """The norm of each tensor where the joint one belongs."""

    def epsilon(now: Step, g: Vector, memory: Memory) -> Vector:
        return m.sam_per_tensor(now.w, direction(g, now.problem), now.rho, now.problem)

    return epsilon


def norm_before(direction: d.ByTensor) -> Epsilon:
    """Divided by the norm of g, not of what is left of it."""
    return lambda now, g, memory: now.rho * direction(g, now.problem) / norm(g)


def outliers_overall(g: Vector, problem: Problem) -> Vector:
    z = np.abs(g - g.mean())
    return np.where(z >= np.quantile(z, 1 - t.OUTLIERS), g, 0)


def eigen(part: Callable[..., Vector]) -> Epsilon:
    """Another part of the eigenvector; `part` gets (v, g) or (v, g, problem)."""

    def epsilon(now: Step, g: Vector, memory: Memory) -> Vector:
        v = np.sign(now.draw @ g) * now.draw
        added = part(v, g, now.problem) if part is m.orthogonal_by_tensor else part(v, g)
        return d.along(g, now.rho) + now.rho * t.EIGEN * added

    return epsilon


def eigen_unscaled(now: Step, g: Vector, memory: Memory) -> Vector:
    added = np.sign(now.draw @ g) * o.orthogonal(now.draw, g)
    return d.along(g, now.rho) + t.EIGEN * added


def sparse(importance: Callable[[Vector], Vector]) -> Epsilon:
    """A mask of the entries that something else than g^2 puts first."""
    kept = 1 - t.SPARSITY

    def epsilon(now: Step, g: Vector, memory: Memory) -> Vector:
        if now.index % t.MASK_EVERY == 0:
            memory["mask"] = np.zeros_like(g)
            memory["mask"][np.argsort(-importance(g))[: int(np.ceil(kept * len(g)))]] = 1
        return now.rho * memory["mask"] * g / norm(g)

    return epsilon


def sparse_renormalized(now: Step, g: Vector, memory: Memory) -> Vector:
    d.fisher_mask(t.SPARSITY, t.MASK_EVERY)(now, g, memory)
    return d.along(memory["mask"] * g, now.rho)


def everything_else(now: Step, g: Vector, memory: Memory) -> Vector:
    return d.along((1 - d.chosen(now.problem)) * g, now.rho)


def fisher(length: Callable[[Vector, Vector], float]) -> Epsilon:
    def epsilon(now: Step, g: Vector, memory: Memory) -> Vector:
        natural = g / (g**2 + t.DAMPING)
        return now.rho * natural / length(g, natural)

    return epsilon


def le_sam_larger(now: Step, g: Vector, memory: Memory) -> Vector:
    return d.along(g, np.maximum(t.SIGMA / norm(g), now.rho))


def le_sam_by_tensor(now: Step, g: Vector, memory: Memory) -> Vector:
    return m.sam_per_tensor(now.w, g, np.minimum(t.SIGMA / norm(g), now.rho), now.problem)


def joint(v: Vector, problem: Problem) -> Vector:
    return np.full_like(v, norm(v))


def column_norms(v: Vector, problem: Problem) -> Vector:
    """Slices along the second dimension where those along the first belong."""
    parts = []
    for tensor in problem.tensors(v):
        others = tuple(axis for axis in range(tensor.ndim) if axis != 1)
        lengths = np.sqrt((tensor**2).sum(others, keepdims=True))
        parts.append(np.broadcast_to(lengths, tensor.shape).ravel())
    return np.concatenate(parts)


def relative(of_weights: d.ByTensor, of_gradient: d.ByTensor) -> Epsilon:
    def epsilon(now: Step, g: Vector, memory: Memory) -> Vector:
        return now.rho * of_weights(now.w, now.problem) * g / (of_gradient(g, now.problem) + EPSILON)

    return epsilon


def layer_deviation(w: Vector, problem: Problem) -> Vector:
    return d.tensor_norms(w, problem) / d.tensor_norms(np.ones_like(w), problem)


# ---------------------------------------------------------------------------------------------------------------- rules
def sharpness_at_the_first_rate(now: Step, w: Vector, memory: Memory) -> Vector:
    return w - now.lr[0] * t.GAMMA / (1 - t.GAMMA) * memory["sharpness"]


def rescaled_by_tensor(now: Step, g: Vector, g_p: Vector, memory: Memory) -> Vector:
    return m.per_tensor(g, now.problem) / m.per_tensor(g_p, now.problem) * g_p


def dysfunctional(now: Step, at: Vector, memory: Memory) -> Vector:
    """J(w)' dL/dx(w + epsilon)."""
    derivative = now.run.loss(now.logits(at), now.y)[1]
    return now.gradient(now.w, lambda logits, targets: (0.0, derivative))


def classes(weights: Sequence[float], share: float = 1.0) -> dict[str, Any]:
    """Other weights of the classes, in all three places."""
    combine = r.with_remainder(weights, share)
    return {"ascent": of(r.weighted(weights)), "descent": r.of_classes(weights), "combine": combine}


def mean_of_the_tail(now: Step, at: Vector, memory: Memory) -> Vector:
    tail = np.asarray(t.TAIL)[now.y] > 0
    return r.of_classes(t.TAIL)(now, at, memory) * len(tail) / max(1, tail.sum())
