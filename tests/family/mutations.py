"""Deliberately wrong versions of every oracle: plausible mistakes that a comparison must notice.

A comparison with `ORACLES[name]` must pass, and must fail with `mutate(name, mutation)`, under SGD with momentum.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tests import mutations as m
from tests import oracles as o
from tests.family import cheaper as c
from tests.family import directions as d
from tests.family import rules as r
from tests.family import stepping as s
from tests.family import table as t
from tests.family import wrong as w
from tests.family.driver import Oracle, ball, nothing, of, on, perturbed, there

Mutations = dict[str, dict[str, Any]]
ALWAYS = ball(o.sam)
NOT_RESTORED: Mutations = {"not restored": {"restored": lambda before, at: at}}
SAM: Mutations = {
    "norm of each tensor": {"epsilon": ball(m.sam_per_tensor)},
    "descends": {"epsilon": ball(m.descend)},
    "not perturbed": {"epsilon": nothing},
} | NOT_RESTORED


def lookbehind(perturb: o.Perturb) -> Mutations:
    return {
        "radius divided": {"radius": lambda rho, k: rho / k},
        "epsilon from the slow weights": {"origin": lambda phi, ahead, fast: phi},
        "epsilon from the fast weights": {"origin": lambda phi, ahead, fast: fast},
        "ascent gradient of the slow weights": {"ascent": lambda now, at, last: now.gradient(now.w)},
        "fast weights kept": {"share": s.static(1.0)},
        "optimizer's state forgotten": {"state": lambda before, after: before},
        "one inner step fewer": {"k": t.INNER - 1},
        "norm of each tensor": {"perturb": perturb},
    }


LOOKBEHIND_ASAM: Mutations = lookbehind(m.asam_per_tensor("weight")) | {
    "T of the slow weights": {"scaled_at": lambda phi, ahead: phi},
    "eta omitted": {"perturb": o.asam(eta=0.0)},
    "no scaling": {"perturb": o.sam},
}
LOOKBEHIND_STATIC: Mutations = {"a exchanged": {"share": s.static(1 - t.SLOW)}}
ADAPTIVE: Mutations = {"cosine itself": {"share": w.cosine}, "static": {"share": s.static(t.SLOW)}}
LOOKAHEAD: Mutations = {
    "a exchanged": {"after": s.lookahead(t.SYNC, 1 - t.SYNC_SHARE)},
    "another interval": {"after": s.lookahead(t.SYNC - 1, t.SYNC_SHARE)},
    "every step": {"after": s.lookahead(1, t.SYNC_SHARE)},
    "fast weights kept": {"after": w.lookahead_unsynchronized},
    "slow weights left behind": {"after": w.lookahead_to_the_start},
}
STEPPING: dict[str, Mutations] = {
    "multi-step sam": {
        "full radius each step": {"epsilon": s.several(3, ascend=m.full_radius_each_step)},
        "gradient not taken anew": {"epsilon": s.several(3, ascend=m.stale_gradient)},
        "two steps": {"epsilon": s.several(2)},
        "norm of each tensor": {"epsilon": s.several(3, m.sam_per_tensor)},
    }
    | NOT_RESTORED,
    "iterated obf": {
        "plain loss": {"epsilon": s.several(3)},
        "full radius each step": {"epsilon": s.several(3, objective=o.obf(), ascend=m.full_radius_each_step)},
        "one step": {"epsilon": s.several(1, objective=o.obf())},
        "alpha differentiated": {"epsilon": s.several(3, objective=m.obf_live_alpha())},
    },
    "lookbehind sam": lookbehind(m.sam_per_tensor) | LOOKBEHIND_STATIC,
    "lookbehind asam": LOOKBEHIND_ASAM | LOOKBEHIND_STATIC,
    "lookbehind sam adaptive": lookbehind(m.sam_per_tensor)
    | ADAPTIVE
    | {"one a for all": {"share": s.adaptive_globally}},
    "lookbehind asam adaptive": LOOKBEHIND_ASAM | ADAPTIVE | {"one a for all": {"share": s.adaptive_globally}},
    "lookbehind sam adaptive global": lookbehind(m.sam_per_tensor)
    | ADAPTIVE
    | {"a of each tensor": {"share": s.adaptive_by_tensor}},
    "lookbehind sam reused": lookbehind(m.sam_per_tensor) | LOOKBEHIND_STATIC,
    "lookbehind asam reused": LOOKBEHIND_ASAM | LOOKBEHIND_STATIC,
    "lookahead": LOOKAHEAD,
    "lookahead sam": SAM | LOOKAHEAD,
    "shrink and perturb": {
        "towards 0": {"after": lambda now, at, memory: (1 - t.SHRINK) * at},
        "towards the weights before": {"after": lambda now, at, memory: at + t.SHRINK * (now.w - at)},
        "away": {"after": s.shrink(lambda lr: -t.SHRINK)},
        "times the rate": {"after": s.shrink(lambda lr: t.SHRINK * lr)},
    },
    "shrink and perturb by rate": {
        "towards 0": {"after": lambda now, at, memory: (1 - t.SHRINK * now.lr / t.SHRINK_RATE) * at},
        "constant": {"after": s.shrink(lambda lr: t.SHRINK)},
        "rate of the first group": {"after": s.shrink(lambda lr: t.SHRINK * lr[0] / t.SHRINK_RATE)},
    },
}
MASKED: Mutations = {
    "not divided by beta": {"epsilon": lambda now, g, memory: d.along(g, now.rho) * now.draw},
    "norm of what is left": {"epsilon": lambda now, g, memory: d.along(now.draw * g, now.rho / t.BETA)},
    "mask exchanged": {"epsilon": lambda now, g, memory: d.along(g, now.rho / t.BETA) * (1 - now.draw)},
    "nothing masked": {"epsilon": ALWAYS},
} | NOT_RESTORED
SELECTED: Mutations = {
    "smallest rise": {"descent": c.sensitive_samples(t.SAMPLES_SHARE, sign=-1)},
    "largest loss": {"descent": w.samples_of_largest_loss},
    "rounded down": {"descent": c.sensitive_samples(t.SAMPLES_SHARE, kept=int)},
    "divided by the whole batch": {"descent": w.samples_over_the_batch},
    "every sample": {"descent": there},
}
DISTILLED: Mutations = {
    "divergence exchanged": {"descent": c.mesa(t.DISTILL, t.TAU, t.MESA_START, term=w.backward_divergence)},
    "times tau squared": {"descent": c.mesa(t.DISTILL * t.TAU**2, t.TAU, t.MESA_START)},
    "no temperature": {"descent": c.mesa(t.DISTILL, 1.0, t.MESA_START)},
    "no term": {"descent": there},
    "from the first step": {"descent": c.mesa(t.DISTILL, t.TAU, 1)},
}
CHEAPER: dict[str, Mutations] = {
    "interval sam": SAM
    | {
        "another phase": {"epsilon": on(lambda step: (step + 1) % t.INTERVAL == 0, ALWAYS)},
        "every step": {"epsilon": ALWAYS},
        "the others": {"epsilon": on(lambda step: step % t.INTERVAL != 0, ALWAYS)},
    },
    "late sam": SAM
    | {
        "one step later": {"epsilon": on(lambda step: step > t.LATE, ALWAYS)},
        "early": {"epsilon": on(lambda step: step < t.LATE, ALWAYS)},
    },
    "looksam": SAM
    | {
        "projected by tensor": {"combine": w.look(lambda g, g_p, problem: m.orthogonal_by_tensor(g_p, g, problem))},
        "g against g_p": {"combine": w.look(lambda g, g_p, problem: o.orthogonal(g, g_p))},
        "not projected": {"combine": w.look(lambda g, g_p, problem: g_p)},
        "parallel part kept": {"combine": w.look(lambda g, g_p, problem: g_p - c.projected(g, g_p, problem))},
        "difference kept": {"combine": w.look(lambda g, g_p, problem: g_p - g)},
        "length of g_v kept": {"combine": w.look(c.projected, length=lambda g_v: 1.0)},
        "a omitted": {"combine": c.looksam(t.LOOK_EVERY, 1.0)},
        "nothing reused": {"combine": perturbed},
        "perturbed on every step": {"epsilon": ALWAYS, "combine": perturbed},
    },
    "ae-sam": {
        "old mean in the variance": {"epsilon": w.ae_sam(new_mean=False)},
        "standard deviation averaged": {"epsilon": w.ae_sam(root=False)},
        "below the threshold": {"epsilon": w.ae_sam(sign=-1)},
        "threshold constant": {"epsilon": c.ae_sam(t.AE_DELTA, c.linear(t.AE_FIRST, t.AE_FIRST, t.STEPS))},
        "lambdas exchanged": {"epsilon": c.ae_sam(t.AE_DELTA, c.linear(t.AE_LAST, t.AE_FIRST, t.STEPS))},
        "another delta": {"epsilon": c.ae_sam(0.9, c.linear(t.AE_FIRST, t.AE_LAST, t.STEPS))},
        "every step": {"epsilon": ALWAYS},
        "never": {"epsilon": nothing},
    },
    "esam weights": MASKED,
    "esam weights by tensor": MASKED,
    "esam samples": SAM | SELECTED,
    "esam": MASKED | SELECTED,
    "msam": {
        "other sign": {"epsilon": c.momentum(sign=1.0)},
        "norm of each tensor": {"epsilon": w.momentum_by_tensor},
        "length of the momentum kept": {"epsilon": lambda now, g, memory: -now.rho * now.base.get("v", 0 * now.w)},
        "gradient for momentum": {"epsilon": lambda now, g, memory: -d.along(now.gradient(now.w), now.rho)},
        "not perturbed": {"epsilon": nothing},
    }
    | NOT_RESTORED,
    "mesa": DISTILLED
    | {
        "average of the first step": {"after": c.moving_average(1.0)},
        "decay exchanged": {"after": c.moving_average(1 - t.MESA_DECAY)},
        "average of the weights before": {"after": w.late_average},
    },
    "saf": {
        "one visit ago": {"descent": c.saf(t.DISTILL, t.TAU, 1, t.SAF_START)},
        "from the first step": {"descent": c.saf(t.DISTILL, t.TAU, t.SAF_VISITS, 0)},
        "times tau squared": {"descent": c.saf(t.DISTILL * t.TAU**2, t.TAU, t.SAF_VISITS, t.SAF_START)},
        "no temperature": {"descent": c.saf(t.DISTILL, 1.0, t.SAF_VISITS, t.SAF_START)},
        "by row instead of sample": {"descent": w.saf_by_row},
        "no term": {"descent": there},
    },
}
DIRECTIONS: dict[str, Mutations] = {
    "friendly sam": {
        "averaged before subtracted": {"epsilon": w.averaged_before},
        "reduced gradient averaged": {"epsilon": w.averaged_reduced},
        "added": {"epsilon": d.friendly(-t.FRIENDLY_SIGMA, t.FRIENDLY_DECAY)},
        "sigma omitted": {"epsilon": d.friendly(1.0, t.FRIENDLY_DECAY)},
        "decay exchanged": {"epsilon": d.friendly(t.FRIENDLY_SIGMA, 1 - t.FRIENDLY_DECAY)},
        "starts at zero": {"epsilon": w.friendly_from_zero},
        "plain": {"epsilon": ALWAYS},
    }
    | NOT_RESTORED,
    "vasso": {
        "theta exchanged": {"epsilon": d.vasso(1 - t.THETA)},
        "starts at 0": {"epsilon": w.vasso_from_zero},
        "d before its update": {"epsilon": w.vasso_late},
        "norm of g": {"epsilon": w.vasso_by_g},
        "plain": {"epsilon": ALWAYS},
    }
    | NOT_RESTORED,
    "gcsam": {
        "ascent alone": {"combine": perturbed},
        "descent alone": {"epsilon": ALWAYS},
        "after the norm": {"epsilon": lambda now, g, memory: d.centralized(d.along(g, now.rho), now.problem)},
        "mean of the whole tensor": {"epsilon": d.following(w.centered), "combine": r.through(w.centered)},
        "norm of each tensor": {"epsilon": w.each_tensor(d.centralized)},
    }
    | NOT_RESTORED,
    "zsharp": {
        "largest entries": {"epsilon": d.following(d.outliers(t.OUTLIERS, np.abs))},
        "signed score": {"epsilon": d.following(d.outliers(t.OUTLIERS, lambda g: g - g.mean()))},
        "smallest kept": {"epsilon": d.following(d.outliers(t.OUTLIERS, lambda g: -np.abs(g - g.mean())))},
        "share exchanged": {"epsilon": d.following(d.outliers(1 - t.OUTLIERS))},
        "over all layers": {"epsilon": d.following(w.outliers_overall)},
        "norm of each tensor": {"epsilon": w.each_tensor(d.outliers(t.OUTLIERS))},
        "norm before": {"epsilon": w.norm_before(d.outliers(t.OUTLIERS))},
    }
    | NOT_RESTORED,
    "eigen-sam": {
        "not orthogonal": {"epsilon": w.eigen(lambda v, g: v)},
        "orthogonal by tensor": {"epsilon": w.eigen(m.orthogonal_by_tensor)},
        "sign of the eigenvector": {"epsilon": d.eigen(t.EIGEN, sign=lambda product: 1.0)},
        "other sign": {"epsilon": d.eigen(-t.EIGEN)},
        "alpha not times rho": {"epsilon": w.eigen_unscaled},
        "plain": {"epsilon": ALWAYS},
    }
    | NOT_RESTORED,
    "sparse sam": {
        "refreshed every step": {"epsilon": d.fisher_mask(t.SPARSITY, 1)},
        "never refreshed": {"epsilon": d.fisher_mask(t.SPARSITY, 100)},
        "density for sparsity": {"epsilon": d.fisher_mask(1 - t.SPARSITY, t.MASK_EVERY)},
        "rounded down": {"epsilon": d.fisher_mask(t.SPARSITY, t.MASK_EVERY, kept=np.floor)},
        "smallest entries": {"epsilon": w.sparse(lambda g: 1 / g**2)},
        "signed entries": {"epsilon": w.sparse(lambda g: g)},
        "norm of what is left": {"epsilon": w.sparse_renormalized},
        "plain": {"epsilon": ALWAYS},
    }
    | NOT_RESTORED,
    "sam-on": {
        "everything moves": {"epsilon": ALWAYS},
        "norm of all of g": {"epsilon": lambda now, g, memory: d.along(g, now.rho) * d.chosen(now.problem)},
        "everything but normalizations": {"epsilon": w.everything_else},
        "weights of normalizations alone": {"epsilon": d.sam_on("norm.weight")},
        "norm of each tensor": {"epsilon": w.each_tensor(lambda g, problem: g * d.chosen(problem))},
    }
    | NOT_RESTORED,
    "asam-on": {
        "T once": {"epsilon": d.asam_on(t.ETA, power=1)},
        "eta omitted": {"epsilon": d.asam_on(0.0)},
        "weights of normalizations alone": {"epsilon": d.asam_on(t.ETA, "norm.weight")},
        "no scaling": {"epsilon": d.sam_on()},
        "everything moves": {"epsilon": ball(o.asam(eta=t.ETA))},
    }
    | NOT_RESTORED,
    "fisher sam": {
        "norm of the natural gradient": {"epsilon": w.fisher(lambda g, natural: np.sqrt(natural @ natural))},
        "norm of g": {"epsilon": w.fisher(lambda g, natural: np.sqrt(g @ g))},
        "no root": {"epsilon": w.fisher(lambda g, natural: g @ natural)},
        "damping squared": {"epsilon": d.fisher(t.DAMPING**2)},
        "plain": {"epsilon": ALWAYS},
    }
    | NOT_RESTORED,
    "le-sam": {
        "never capped": {"epsilon": lambda now, g, memory: t.SIGMA * g / (g @ g)},
        "always capped": {"epsilon": ALWAYS},
        "not over the norm": {"epsilon": lambda now, g, memory: d.along(g, np.minimum(t.SIGMA, now.rho))},
        "larger of the two": {"epsilon": w.le_sam_larger},
        "norm of each tensor": {"epsilon": w.le_sam_by_tensor},
    }
    | NOT_RESTORED,
    "layer ball": {
        "norm of all of g": {"epsilon": w.relative(d.tensor_norms, w.joint)},
        "norm of all weights": {"epsilon": w.relative(w.joint, d.tensor_norms)},
        "absolute radius": {"epsilon": ball(m.sam_per_tensor)},
        "by filter": {"epsilon": d.relative(d.filter_norms)},
    }
    | NOT_RESTORED,
    "filter ball": {
        "norm of each tensor's g": {"epsilon": w.relative(d.filter_norms, d.tensor_norms)},
        "norm of each tensor": {"epsilon": w.relative(d.tensor_norms, d.filter_norms)},
        "other dimension": {"epsilon": d.relative(w.column_norms)},
        "by layer": {"epsilon": d.relative(d.tensor_norms)},
    }
    | NOT_RESTORED,
    "linf": {
        "no sign": {"epsilon": lambda now, g, memory: now.rho * g / np.abs(g).max()},
        "2-norm": {"epsilon": ALWAYS},
        "descends": {"epsilon": lambda now, g, memory: -now.rho * np.sign(g)},
    },
}
CLEAN = of(o.cross_entropy)
RULES: dict[str, Mutations] = {
    "rwp": {
        "shares exchanged": {"combine": r.rwp(1 - t.RWP_SHARE)},
        "no clean gradient": {"combine": perturbed},
        "scaled by layer": {"epsilon": d.random_weights(w.layer_deviation)},
        "not over the root": {"epsilon": d.random_weights(d.filter_norms)},
        "scaled by entry": {"epsilon": d.random_weights(lambda at, problem: np.abs(at))},
        "normalised": {"epsilon": lambda now, g, memory: d.along(now.draw, now.rho)},
        "other sign": {"epsilon": lambda now, g, memory: -d.random_weights()(now, g, memory)},
    }
    | NOT_RESTORED,
    "wsam": SAM
    | {
        "gamma for its odds": {"combine": r.mixed(1 - t.GAMMA, t.GAMMA)},
        "gradients exchanged": {"combine": r.mixed(t.GAMMA / (1 - t.GAMMA), 1 - t.GAMMA / (1 - t.GAMMA))},
        "odds inverted": {"combine": r.wsam(1 - t.GAMMA)},
    },
    "wsam decoupled": SAM
    | {
        "coupled": {"combine": r.wsam(t.GAMMA), "after": lambda now, at, memory: at},
        "gamma for its odds": {"after": lambda now, at, memory: at - now.lr * t.GAMMA * memory["sharpness"]},
        "other sign": {"after": lambda now, at, memory: 2 * at - r.sharpness(t.GAMMA)(now, at, memory)},
        "nothing afterwards": {"after": lambda now, at, memory: at},
        "rate of the first group": {"after": w.sharpness_at_the_first_rate},
    },
    "stable sam": SAM
    | {
        "inverted": {"combine": lambda now, g, g_p, memory: o.norm(g_p) / o.norm(g) * g_p},
        "by tensor": {"combine": w.rescaled_by_tensor},
        "not rescaled": {"combine": perturbed},
    },
    "gradient-norm penalty": SAM
    | {
        "a exchanged": {"combine": r.penalty(1 - t.PENALTY)},
        "added": {"combine": r.mixed(1.0, t.PENALTY)},
        "perturbed alone": {"combine": perturbed},
    },
    "functional sam": SAM
    | {
        "loss derivative moved too": {"descent": there},
        "the two exchanged": {"descent": w.dysfunctional},
    },
    "imbsam": SAM
    | {
        "epsilon of the whole loss": {"ascent": CLEAN},
        "head perturbed too": {"descent": there, "combine": perturbed},
        "head forgotten": {"combine": perturbed},
        "classes exchanged": w.classes([1 - weight for weight in t.TAIL]),
        "tail over its own number": {"descent": w.mean_of_the_tail},
    },
    "focal-sam": SAM
    | {
        "epsilon of the loss": {"ascent": CLEAN},
        "gamma omitted": w.classes(r.focal_weights(t.CLASS_SHARES, 1.0), t.FOCAL_SHARE),
        "share for its rest": w.classes([share**t.FOCAL_GAMMA for share in t.CLASS_SHARES], t.FOCAL_SHARE),
        "lambda omitted": {"combine": r.with_remainder(t.FOCAL)},
        "remainder forgotten": {"combine": lambda now, g, g_p, memory: t.FOCAL_SHARE * g_p},
        "remainder perturbed": {"descent": there, "combine": perturbed},
        "loss not weighted at w + epsilon": {"descent": there},
    },
}
MUTATIONS: dict[str, dict[str, dict[str, Any]]] = STEPPING | CHEAPER | DIRECTIONS | RULES


def mutate(name: str, mutation: str) -> Oracle:
    """The oracle with the named rules replaced."""
    return replace(t.ORACLES[name], **MUTATIONS[name][mutation])
