"""The methods the oracles know, each with deliberately wrong versions of its rules.

A comparison with `METHODS[name]` must pass, and must fail after `mutate(name, mutation)`: it shows that the comparison
sees the rule at all. `OPTIMIZERS` and `OPTIMIZER_MUTATIONS` do the same for the base optimizers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tests import oracles as o
from tests.oracles import EPSILON, Method, Problem, Vector, norm

RHO = 0.1
ETA = 0.01
ALPHA = 0.4
ADAM_BETAS = (0.9, 0.999)


def bent(numerator: Callable[..., Vector], length: Callable[..., float | Vector], **scaling: Any) -> o.Perturb:
    """epsilon = rho * numerator(t, g) / length(t, g): the shape of every perturbation, to be filled wrongly."""

    def perturb(w: Vector, g: Vector, rho: Vector, problem: Problem) -> Vector:
        t = o.normaliser(w, problem, **({"eta": 0.0, "scaled": "all"} | scaling))
        return rho * numerator(t, g) / (length(t, g) + EPSILON)

    return perturb


def per_tensor(v: Vector, problem: Problem) -> Vector:
    """For every entry, the norm of its own tensor: the mistake of taking norms layer by layer."""
    return np.concatenate([np.full(part.size, norm(part)) for part in problem.tensors(v)])


def sam_per_tensor(w: Vector, g: Vector, rho: Vector, problem: Problem) -> Vector:
    return rho * g / (per_tensor(g, problem) + EPSILON)


def asam_per_tensor(scaled: str) -> o.Perturb:
    def perturb(w: Vector, g: Vector, rho: Vector, problem: Problem) -> Vector:
        t = o.normaliser(w, problem, ETA, scaled=scaled)
        return rho * t**2 * g / (per_tensor(t * g, problem) + EPSILON)

    return perturb


def signed_after(w: Vector, g: Vector, rho: Vector, problem: Problem) -> Vector:
    return rho * w * g / (norm(g) + EPSILON)


def signed_before(w: Vector, g: Vector, rho: Vector, problem: Problem) -> Vector:
    return rho * w * g / (norm(w * g) + EPSILON)


def descend(w: Vector, g: Vector, rho: Vector, problem: Problem) -> Vector:
    return -o.sam(w, g, rho, problem)


def rms(tensor: Vector) -> Vector:
    return np.full(tensor.shape, np.sqrt((tensor**2).mean()))


def input_channels(tensor: Vector) -> Vector:
    """Norms over the wrong dimension: one per position of the filter, taken over the filters."""
    return np.broadcast_to(np.sqrt((tensor**2).sum(0)), tensor.shape) if tensor.ndim >= 3 else np.abs(tensor)


def fan_in(tensor: Vector) -> Vector:
    """Filters wherever there are two dimensions: also the rows of a fully connected weight."""
    return np.stack([np.full(row.shape, norm(row)) for row in tensor]) if tensor.ndim >= 2 else np.abs(tensor)


def moving_normaliser(w, gradient, perturb, rho, steps, problem):  # type: ignore[no-untyped-def]
    for _ in range(steps):
        w = w + perturb(w, gradient(w), rho / steps, problem)
    return w


def full_radius_each_step(w, gradient, perturb, rho, steps, problem):  # type: ignore[no-untyped-def]
    return o.ascend(w, gradient, perturb, rho * steps, steps, problem)


def stale_gradient(w, gradient, perturb, rho, steps, problem):  # type: ignore[no-untyped-def]
    return w + perturb(w, gradient(w), rho, problem)


def last_step_only(w, gradient, perturb, rho, steps, problem):  # type: ignore[no-untyped-def]
    before = o.ascend(w, gradient, perturb, rho * (steps - 1) / steps, steps - 1, problem)
    return w + perturb(w, gradient(before), rho / steps, problem)


def obf_live_alpha(threshold: float | None = None, gamma: float = 1.0) -> o.Criterion:
    """Softmax OBF whose alpha is differentiated: adds -CE(p, y) dalpha/dx to the gradient."""

    def criterion(logits: Vector, targets: Vector) -> tuple[float, Vector]:
        value, gradient = o.obf(threshold=threshold, gamma=gamma)(logits, targets)
        p, y = o.softmax(logits), o.distribution(targets, logits.shape[1])
        lam = 1 / p.shape[1] if threshold is None else threshold
        p_y = (y * p).sum(1, keepdims=True)
        slope = gamma * (p_y > lam) * lam / p_y**2 / (1 - lam)
        d_p_y = y * p - p_y * p
        return value, gradient - o.divergence(p, y, o.softmax)[:, None] * slope * d_p_y / len(p)

    return criterion


def obf_bent(direction: Callable[..., Vector], link: Callable[[Vector], Vector] = o.softmax) -> o.Criterion:
    """OBF with another gradient for the logits: direction(u, alpha, p, y)."""

    def criterion(logits: Vector, targets: Vector) -> tuple[float, Vector]:
        p, y = link(logits), o.distribution(targets, logits.shape[1])
        u = np.full_like(p, 1 / p.shape[1])
        return 0.0, direction(u, o.obf_alpha(p, y, None, 1.0), p, y) / len(p)

    return criterion


def alpha_of_the_prediction(p: Vector, y: Vector, threshold: float | None, gamma: float) -> Vector:
    """The largest probability where that of the label belongs."""
    return o.obf_alpha(p, (p == p.max(1, keepdims=True)).astype(float), threshold, gamma)


def alpha_of_the_mean(p: Vector, y: Vector, threshold: float | None, gamma: float) -> Vector:
    """One alpha for the batch where each sample has its own."""
    return np.full((len(p), 1), o.obf_alpha(p, y, threshold, gamma).mean())


def orthogonal_by_tensor(g: Vector, g_p: Vector, problem: Problem) -> Vector:
    return np.concatenate([o.orthogonal(g[part], g_p[part]) for part in problem.slices])


def base_objective(objective: o.Criterion, loss: o.Criterion) -> o.Criterion:
    return loss


def equal_shares(sizes: Any) -> list[float]:
    return [1 / len(sizes) for _ in sizes]


def summed(sizes: Any) -> list[float]:
    return [1.0 for _ in sizes]


def whole(t: Vector, g: Vector) -> float:
    return norm(t * g)


def plain(t: Vector, g: Vector) -> float:
    return norm(g)


ASAM = Method(perturb=o.asam(eta=ETA))
GSAM = Method(combine=o.gsam(alpha=ALPHA))
LR_RANGE = (0.01, 0.1)  # the rates between which proportional_to_lr interpolates
RHO_RANGE = (0.02, 0.3)


def asam_mutations(scaled: str, other: str) -> dict[str, dict[str, Any]]:
    kwon = {"eta": ETA, "scaled": scaled}
    return {
        "T once": {"perturb": bent(lambda t, g: t * g, whole, **kwon)},
        "norm without T": {"perturb": bent(lambda t, g: t**2 * g, plain, **kwon)},
        "eta omitted": {"perturb": o.asam(eta=0.0, scaled=scaled)},
        "norm of each tensor": {"perturb": asam_per_tensor(scaled)},
        "scope exchanged": {"perturb": o.asam(eta=ETA, scaled=other)},
        "not restored": {"restored": lambda w, w_p: w_p},
    }


def gsam_mutations(backup: Callable[[Vector], Vector], other: Callable[[Vector], Vector]) -> dict[str, dict[str, Any]]:
    return {
        "g_p against g": {"combine": lambda g, g_p, problem: g_p - ALPHA * o.orthogonal(g_p, backup(g))},
        "sign of alpha": {"combine": o.gsam(alpha=-ALPHA, backup=backup)},
        "whole g subtracted": {"combine": lambda g, g_p, problem: g_p - ALPHA * backup(g)},
        "decomposed by tensor": {
            "combine": lambda g, g_p, problem: g_p - ALPHA * orthogonal_by_tensor(backup(g), g_p, problem)
        },
        "the other backup": {"combine": o.gsam(alpha=ALPHA, backup=other)},
    }


METHODS: dict[str, Method] = {
    "unperturbed": Method(perturb=o.none),
    "sam": Method(),
    "asam": ASAM,
    "asam all": Method(perturb=o.asam(eta=ETA, scaled="all")),
    "asam filter": Method(perturb=o.asam(eta=ETA, scaling=o.filter_wise)),
    "asam layer": Method(perturb=o.asam(eta=ETA, scaling=o.layer)),
    "gsam": GSAM,
    "gsam normalized": Method(combine=o.gsam(alpha=ALPHA, backup=o.normalized)),
    "obf": Method(objective=o.obf()),
    "obf sigmoid": Method(objective=o.obf(link=o.sigmoid)),
    "obf margin": Method(objective=o.obf(gamma=0.5, threshold=0.2)),
    "asam gsam obf": replace(ASAM, objective=o.obf(), combine=o.gsam(alpha=ALPHA)),
    "random": Method(noise=()),  # a test supplies the noise
    "asam after norm": Method(perturb=o.after_norm),
    "asam before norm": Method(perturb=o.before_norm),
    "linf": Method(perturb=o.linf()),
    "linf element": Method(perturb=o.linf(eta=ETA)),
    "sam three steps": Method(steps=3),
    "asam three steps": replace(ASAM, steps=3),
    "sam chunks": Method(chunk=4),
    "gsam normalized chunks": Method(chunk=4, combine=o.gsam(alpha=ALPHA, backup=o.normalized)),
    "sam proportional": Method(rho=o.proportional_to_lr(*RHO_RANGE, *LR_RANGE)),
}

SAM_MUTATIONS: dict[str, dict[str, Any]] = {
    "norm of each tensor": {"perturb": sam_per_tensor},
    "descends": {"perturb": descend},
    "length of the gradient kept": {"perturb": bent(lambda t, g: g, lambda t, g: 1.0)},
    "not restored": {"restored": lambda w, w_p: w_p},
}
OBF_MUTATIONS: dict[str, dict[str, Any]] = {
    "threshold 0": {"objective": o.obf(threshold=0.0)},
    "alpha differentiated": {"objective": obf_live_alpha()},
    "descends": {"objective": obf_bent(lambda u, a, p, y: -(u - a * p - (1 - a) * y))},
    "no uniform part": {"objective": obf_bent(lambda u, a, p, y: -a * p - (1 - a) * y)},
    "alpha exchanged": {"objective": obf_bent(lambda u, a, p, y: u - (1 - a) * p - a * y)},
    "alpha of the prediction": {"objective": o.obf(alpha=alpha_of_the_prediction)},
    "alpha of the batch": {"objective": o.obf(alpha=alpha_of_the_mean)},
    "other link": {"objective": o.obf(link=o.sigmoid)},
    "plain loss": {"objective": None},
}
MUTATIONS: dict[str, dict[str, dict[str, Any]]] = {
    "unperturbed": {
        "perturbed": {"perturb": o.sam},
        "summed": {"share": lambda sizes: [len(sizes) + 1.0]},
        "sign": {"combine": lambda g, g_p, problem: -g_p},
    },
    "sam": SAM_MUTATIONS,
    "asam": asam_mutations("weight", "all"),
    "asam all": asam_mutations("all", "weight"),
    "asam filter": {
        "element": {"perturb": o.asam(eta=ETA)},
        "other dimension": {"perturb": o.asam(eta=ETA, scaling=input_channels)},
        "rows of dense weights": {"perturb": o.asam(eta=ETA, scaling=fan_in)},
        "layer": {"perturb": o.asam(eta=ETA, scaling=o.layer)},
        "eta omitted": {"perturb": o.asam(eta=0.0, scaling=o.filter_wise)},
    },
    "asam layer": {
        "root mean square": {"perturb": o.asam(eta=ETA, scaling=rms)},
        "element": {"perturb": o.asam(eta=ETA)},
        "filter": {"perturb": o.asam(eta=ETA, scaling=o.filter_wise)},
        "eta omitted": {"perturb": o.asam(eta=0.0, scaling=o.layer)},
    },
    "gsam": gsam_mutations(o.raw, o.normalized),
    "gsam normalized": gsam_mutations(o.normalized, o.raw),
    "obf": OBF_MUTATIONS,
    "obf sigmoid": {
        "threshold 0": {"objective": o.obf(threshold=0.0, link=o.sigmoid)},
        "descends": {"objective": obf_bent(lambda u, a, p, y: -(u - a * p - (1 - a) * y), o.sigmoid)},
        "no uniform part": {"objective": obf_bent(lambda u, a, p, y: -a * p - (1 - a) * y, o.sigmoid)},
        "alpha of the prediction": {"objective": o.obf(alpha=alpha_of_the_prediction, link=o.sigmoid)},
        "other link": {"objective": o.obf()},
    },
    "obf margin": {
        "gamma ignored": {"objective": o.obf(threshold=0.2)},
        "threshold ignored": {"objective": o.obf(gamma=0.5)},
        "alpha differentiated": {"objective": obf_live_alpha(0.2, 0.5)},
    },
    "asam gsam obf": {
        "backup of the loss": {"backed_up": base_objective},
        "backup normalised": {"combine": o.gsam(alpha=ALPHA, backup=o.normalized)},
        "no scaling": {"perturb": o.sam},
        "plain loss": {"objective": None},
        "threshold 0": {"objective": o.obf(threshold=0.0)},
    },
    "random": {
        "norm of each tensor": {"perturb": sam_per_tensor},
        "not normalised": {"perturb": bent(lambda t, g: g, lambda t, g: 1.0)},
        "other sign": {"perturb": descend},
        "gradient for noise": {"noise": None},
    },
    "asam after norm": {
        "before the norm": {"perturb": o.before_norm},
        "squared": {"perturb": bent(lambda t, g: t**2 * g, plain)},
        "sign of the weight": {"perturb": signed_after},
        "weights only": {"perturb": bent(lambda t, g: t * g, plain, scaled="weight")},
    },
    "asam before norm": {
        "after the norm": {"perturb": o.after_norm},
        "squared": {"perturb": bent(lambda t, g: t**2 * g, whole)},
        "sign of the weight": {"perturb": signed_before},
        "weights only": {"perturb": bent(lambda t, g: t * g, whole, scaled="weight")},
    },
    "linf": {
        "no sign": {"perturb": bent(lambda t, g: g, lambda t, g: np.abs(g).max())},
        "2-norm": {"perturb": o.sam},
        "descends": {"perturb": lambda w, g, rho, problem: -rho * np.sign(g)},
    },
    "linf element": {
        "T squared": {"perturb": bent(lambda t, g: t**2 * np.sign(g), lambda t, g: 1.0, eta=ETA, scaled="weight")},
        "T omitted": {"perturb": o.linf()},
        "eta omitted": {"perturb": o.linf(eta=0.0)},
    },
    "sam three steps": {
        "full radius each step": {"ascend": full_radius_each_step},
        "gradient not taken anew": {"ascend": stale_gradient},
        "last step only": {"ascend": last_step_only},
        "two steps": {"steps": 2},
    },
    "asam three steps": {
        "T at the moving weights": {"ascend": moving_normaliser},
        "full radius each step": {"ascend": full_radius_each_step},
        "gradient not taken anew": {"ascend": stale_gradient},
    },
    "sam chunks": {
        "sizes ignored": {"share": equal_shares},
        "summed": {"share": summed},
        "one perturbation": {"chunk": None},
    },
    "gsam normalized chunks": {
        "sizes ignored": {"share": equal_shares},
        "raw backup": {"combine": o.gsam(alpha=ALPHA)},
        "one perturbation": {"chunk": None},
    },
    "sam proportional": {
        "ends exchanged": {"rho": o.proportional_to_lr(*reversed(RHO_RANGE), *LR_RANGE)},
        "not clipped": {"rho": lambda lr: RHO_RANGE[0] + np.ptp(RHO_RANGE) * (lr - LR_RANGE[0]) / np.ptp(LR_RANGE)},
        "share of the largest rate": {"rho": lambda lr: RHO_RANGE[1] * lr / LR_RANGE[1]},
        "rate of the first group": {
            "rho": lambda lr: np.full_like(lr, o.proportional_to_lr(*RHO_RANGE, *LR_RANGE)(lr)[0])
        },
    },
}


def mutate(name: str, mutation: str) -> Method:
    """The method with the named rule replaced."""
    return replace(METHODS[name], **MUTATIONS[name][mutation])


def adam_variant(rule: Callable[..., Vector], coupled: float = 0.0) -> o.Optimizer:
    """Adam with w - lr * rule(m, v, t) for the step and L2 decay in the gradient."""

    def step(w: Vector, g: Vector, state: o.State, lr: Vector) -> tuple[Vector, o.State]:
        t, m, v = (state["t"] + 1, state["m"], state["v"]) if state else (1, 0.0, 0.0)
        g = g + coupled * w
        m = ADAM_BETAS[0] * m + (1 - ADAM_BETAS[0]) * g
        v = ADAM_BETAS[1] * v + (1 - ADAM_BETAS[1]) * g**2
        return w - lr * rule(m, v, t), {"t": t, "m": m, "v": v}

    return step


def corrected(m: Vector, v: Vector, t: int) -> Vector:
    return m / (1 - ADAM_BETAS[0] ** t) / (np.sqrt(v / (1 - ADAM_BETAS[1] ** t)) + 1e-8)


def dampened(w: Vector, g: Vector, state: o.State, lr: Vector) -> tuple[Vector, o.State]:
    """Momentum as a moving average."""
    v = 0.9 * state.get("v", 0.0) + 0.1 * (g + DECAY * w)
    return w - lr * v, {"v": v}


def nesterov(w: Vector, g: Vector, state: o.State, lr: Vector) -> tuple[Vector, o.State]:
    v = 0.9 * state.get("v", 0.0) + g + DECAY * w
    return w - lr * (g + DECAY * w + 0.9 * v), {"v": v}


def decoupled(w: Vector, g: Vector, state: o.State, lr: Vector) -> tuple[Vector, o.State]:
    v = 0.9 * state.get("v", 0.0) + g
    return w * (1 - lr * DECAY) - lr * v, {"v": v}


DECAY = 0.01
OPTIMIZERS: dict[str, o.Optimizer] = {
    "sgd": o.sgd(momentum=0.9, weight_decay=DECAY),
    "adamw": o.adamw(betas=ADAM_BETAS, weight_decay=DECAY),
}
OPTIMIZER_MUTATIONS: dict[str, dict[str, o.Optimizer]] = {
    "sgd": {"dampened": dampened, "nesterov": nesterov, "decoupled decay": decoupled},
    "adamw": {
        "coupled decay": adam_variant(corrected, coupled=DECAY),
        "no bias correction": adam_variant(lambda m, v, t: m / (np.sqrt(v) + 1e-8)),
        "no decay": o.adamw(betas=ADAM_BETAS),
    },
}
