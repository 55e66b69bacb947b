"""Methods that cost less than two passes (methods.md section 11, and 6 for late SAM). ||.|| is over all parameters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests import oracles as o
from tests.family.driver import After, Combine, Descent, Epsilon, Memory, Step, ball, nothing
from tests.oracles import EPSILON, Criterion, Problem, State, Vector, norm


# -------------------------------------------------------------------------------------------------------------- LookSAM
def projected(g: Vector, g_p: Vector, problem: Problem) -> Vector:
    """g_v = g_p - (<g, g_p> / ||g||^2) g: the part of g_p that is orthogonal to g, jointly."""
    return o.orthogonal(g_p, g)


def looksam(
    k: int, a: float, part: Callable[[Vector, Vector, Problem], Vector] = projected, length: Callable = norm
) -> Combine:
    """LookSAM (Liu et al., CVPR 2022): steps 0, k, 2k, ... are SAM and keep g_v, the part of g_p orthogonal to g; the
    others step with g + a (||g|| / ||g_v||) g_v. `epsilon` of those others is 0, so that they cost one gradient.

    Our reading: SAM at step 0, 'every k-th step' counted from there.
    """

    def combine(now: Step, g: Vector, g_p: Vector, memory: Memory) -> Vector:
        if now.index % k == 0:
            memory["g_v"] = part(g, g_p, now.problem)
            return g_p
        g_v = memory["g_v"]
        return g + a * norm(g) / (length(g_v) + EPSILON) * g_v

    return combine


# --------------------------------------------------------------------------------------------------------------- AE-SAM
def linear(first: float, last: float, total: int) -> Callable[[int], float]:
    """c_t: `first` at step 0 (the paper's lambda_2), `last` (lambda_1) at step `total`, linear between."""
    return lambda step: first + (last - first) * step / total


def ae_sam(
    delta: float, threshold: Callable[[int], float], squared: Callable[[Vector], float] = lambda g: norm(g) ** 2
) -> Epsilon:
    """AE-SAM (Jiang et al., ICLR 2023): mu <- delta mu + (1 - delta) ||g||^2, then sigma^2 <- delta sigma^2 +
    (1 - delta) (||g||^2 - mu)^2; SAM's epsilon if ||g||^2 >= mu + c_t sigma, else 0.

    Our readings: the new mu in sigma^2, both new in the condition, both 0 at first, c_t counted from step 0.
    """

    def epsilon(now: Step, g: Vector, memory: Memory) -> Vector:
        size = squared(g)
        memory["mu"] = delta * memory.get("mu", 0.0) + (1 - delta) * size
        memory["variance"] = delta * memory.get("variance", 0.0) + (1 - delta) * (size - memory["mu"]) ** 2
        fires = size >= memory["mu"] + threshold(now.index) * np.sqrt(memory["variance"])
        return (ball(o.sam) if fires else nothing)(now, g, memory)

    return epsilon


# ----------------------------------------------------------------------------------------------------------------- ESAM
def stochastic_weights(beta: float) -> Epsilon:
    """ESAM's SWP (Du et al., ICLR 2022): epsilon = (rho / beta) m * g / ||g||, m ~ Bernoulli(beta), ||g|| of all of g.

    `draw` is m, zeros and ones, drawn anew each step: one draw per entry, or (the authors' code) one per tensor.
    """
    return lambda now, g, memory: now.rho / beta * now.draw * g / (norm(g) + EPSILON)


def sensitive_samples(
    share: float, kept: Callable[[float], int] = lambda n: max(1, int(np.ceil(n))), sign: float = 1.0
) -> Descent:
    """ESAM's SDS: g_p only over the share of the samples whose loss rises most from w to w + epsilon, their mean.

    Our reading: max(1, ceil(share * n)) samples are kept.
    """

    def descent(now: Step, at: Vector, memory: Memory) -> Vector:
        rows = rising(now, at, sign)[: kept(share * len(now.x))]
        return now.problem.gradient(at, now.run.loss, now.x[rows], now.y[rows])

    return descent


def sample_losses(now: Step, at: Vector) -> Vector:
    rows = range(len(now.x))
    return np.array([now.problem.value(at, now.run.loss, now.x[i : i + 1], now.y[i : i + 1]) for i in rows])


def rising(now: Step, at: Vector, sign: float = 1.0) -> Vector:
    """The samples in the order of their rise of loss, largest first."""
    return np.argsort(-sign * (sample_losses(now, at) - sample_losses(now, now.w)))


# ----------------------------------------------------------------------------------------------------------------- MSAM
def momentum_of(base: State) -> Vector | None:
    """v: SGD's momentum buffer, Adam's first moment (its bias correction falls out of v / ||v||); None at first."""
    return base.get("m", base.get("v"))


def momentum(sign: float = -1.0, buffer: Callable[[State], Vector | None] = momentum_of) -> Epsilon:
    """Momentum-SAM (Becker et al., 2401.12033): the gradient at w - rho v / ||v||, v the base optimizer's momentum
    buffer before the step. One gradient: g is never needed, and the first step, without v, moves nowhere.

    Unlike SAM it looks downhill: v is PyTorch's buffer (v <- mu v + g, w <- w - lr v), and the sign is minus. Adam's
    first moment for v, and that v holds the weight decay where the base optimizer puts it in there, are our readings.
    """

    def epsilon(now: Step, g: Vector, memory: Memory) -> Vector:
        v = buffer(now.base)
        return np.zeros_like(now.w) if v is None else sign * now.rho * v / (norm(v) + EPSILON)

    return epsilon


def unused(now: Step, memory: Memory) -> Vector:
    """No gradient at w: not a number, so that whoever reads it is found out."""
    return np.full_like(now.w, np.nan)


# ------------------------------------------------------------------------------------------------------------ MESA, SAF
def distillation(old: Vector, weight: float, tau: float, loss: Criterion) -> Criterion:
    """loss + weight * mean_i KL(softmax(old_i / tau) || softmax(now_i / tau)), the sum over samples divided by n.

    Rows of `old` that are not a number have no term. Gradient for the logits: (q_now - q_old) / (tau n). No tau^2.
    """
    known = np.isfinite(old).all(1, keepdims=True)
    old = np.where(known, old, 0.0)

    def criterion(logits: Vector, targets: Vector) -> tuple[float, Vector]:
        value, gradient = loss(logits, targets)
        p, q = o.softmax(old / tau), o.softmax(logits / tau)
        divergence = (p * (np.log(p) - np.log(q)) * known).sum() / len(logits)
        return value + weight * divergence, gradient + weight * known * (q - p) / (tau * len(logits))

    return criterion


def mesa(
    weight: float,
    tau: float,
    start: int,
    average: Callable[[Step, Memory], Vector] = lambda now, memory: memory.get("average", now.run.start),
    term: Callable[..., Criterion] = distillation,
) -> Descent:
    """MESA (Du et al., NeurIPS 2022): no perturbation; the loss gains weight * KL(softmax(old / tau) ||
    softmax(now / tau)) from step `start` on, old the logits of this batch at the moving average of the weights.
    """

    def descent(now: Step, at: Vector, memory: Memory) -> Vector:
        old = now.logits(average(now, memory))
        return now.gradient(at, term(old, weight, tau, now.run.loss) if now.index >= start else None)

    return descent


def moving_average(decay: float) -> After:
    """average <- decay average + (1 - decay) w after every step, also before the term acts; from the initial weights.

    The last three are our readings.
    """

    def after(now: Step, w: Vector, memory: Memory) -> Vector:
        memory["average"] = decay * memory.get("average", now.run.start) + (1 - decay) * w
        return w

    return after


def saf(
    weight: float, tau: float, visits: int, start: int, logits: Callable[[Step], Vector] = lambda now: now.logits(now.w)
) -> Descent:
    """SAF (Du et al., NeurIPS 2022): as MESA, with old the logits that the same sample had `visits` epochs ago.

    `samples` says who is who. Our readings: an epoch is one visit of the sample; its logits are kept from the pass that
    trains on it, from the first one on; the term acts from step `start` on; a sample not yet seen `visits` times
    before has no term, and the sum over the others is still divided by the whole n.
    """

    def descent(now: Step, at: Vector, memory: Memory) -> Vector:
        seen = [memory.setdefault(int(sample), []) for sample in now.samples]
        current = logits(now)
        unknown = np.full(current.shape[1], np.nan)
        old = np.stack([past[-visits] if len(past) >= visits else unknown for past in seen])
        for past, row in zip(seen, current, strict=True):
            past.append(row)
        return now.gradient(at, distillation(old, weight, tau, now.run.loss) if now.index >= start else None)

    return descent
