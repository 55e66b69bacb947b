"""Peers on JAX, called as their own documentation calls them; prints their last weights as JSON.

    python jax_peers.py SOURCE [CLONE]

It needs nothing of ours: an environment of its own with `pip install "jax[cpu]" optax` is enough.
"""

import json
import sys
from importlib import metadata
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from optax import contrib

sys.path.insert(0, str(Path(__file__).resolve().parent))
import problem  # noqa: E402 (found by its folder: there is no package of ours here)

jax.config.update("jax_enable_x64", True)


def loss(params, x, y):
    hidden = jnp.tanh(x @ params["0.weight"].T + params["0.bias"])
    logits = hidden @ params["2.weight"].T + params["2.bias"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def outer():
    """SGD with momentum: v <- m v + g; w <- w - lr v, the learning rate outside of the sum, as torch has it."""
    rates = jnp.asarray(problem.rates())
    return optax.chain(optax.trace(problem.MOMENTUM), optax.scale_by_learning_rate(lambda step: rates[step]))


def start():
    return {name: jnp.asarray(value) for name, value in problem.weights().items()}


def optax_sam(rho, sync_period=2, opaque_mode=True):
    """In transparent mode each of its calls gets the gradient of the same batch."""
    adversary = optax.chain(contrib.normalize(), optax.sgd(rho))
    method = contrib.sam(outer(), adversary, sync_period=sync_period, opaque_mode=opaque_mode)
    params = start()
    state = method.init(params)
    for x, y in problem.batches():

        def differentiate(params, _=None, x=x, y=y):
            return jax.grad(loss)(params, x, y)

        for _ in range(1 if opaque_mode else sync_period):
            given = {"grad_fn": differentiate} if opaque_mode else {}
            updates, state = method.update(differentiate(params), state, params, **given)
            params = optax.apply_updates(params, updates)
    return params


def transparent(rho, **settings):
    return optax_sam(rho, opaque_mode=False, **settings)


def big_vision(rho, rho_min=None, lr_max=problem.LR, lr_min=0.0, **settings):
    jax.tree_map = jax.tree.map  # by which name its file knows it
    from gsam import gsam_gradient

    low = rho if rho_min is None else rho_min
    method, params = outer(), start()
    state = method.init(params)
    for (x, y), lr in zip(problem.batches(), problem.rates(), strict=True):
        radius = {"rho_max": rho, "rho_min": low, "lr": lr, "lr_max": lr_max, "lr_min": lr_min}
        _, gradient = gsam_gradient(loss, params, x, y, **radius, **settings)
        updates, state = method.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


PEERS = {
    "optax.contrib.sam": [
        (optax_sam, {"rho": 0.05}),
        (transparent, {"rho": 0.05}),
        (optax_sam, {"rho": 0.1, "sync_period": 3}),
        (transparent, {"rho": 0.1, "sync_period": 3}),
    ],
    "google-research/big_vision": [
        (big_vision, {"rho": 0.6, "alpha": 0.6}),
        (big_vision, {"rho": 6.0, "alpha": 0.1, "adaptive_perturbation": True}),
        (big_vision, {"rho": 0.6, "alpha": 0.6, "rho_min": 0.1, "lr_max": 0.1}),
    ],
}


def main(source, clone=None):
    """Every case of one source."""
    if clone:
        sys.path.insert(0, clone)
    answers = []
    for train, settings in PEERS[source]:
        params = train(**settings)
        last = jnp.concatenate([params[name].ravel() for name in problem.SHAPES]).tolist()
        answers.append({"settings": settings, "called": train.__name__, "weights": last})
    print(json.dumps({"versions": {name: metadata.version(name) for name in ("optax", "jax")}, "answers": answers}))


if __name__ == "__main__":
    main(*sys.argv[1:])
