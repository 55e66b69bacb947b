"""optax.contrib.sam on the rows of the conformance suite that make sense for pure functions: writes two cards.

It needs jax and optax, which nothing else here does, and nothing of ours, so that it runs in an environment of its own:

    python -m venv jaxenv && jaxenv/bin/pip install "jax[cpu]" optax
    jaxenv/bin/python benchmarks/conformance_peers/optax_sam.py benchmarks/results/conformance

In transparent mode (the default) a step is two calls of `update`, as its docstring writes it; in opaque mode it is one,
which is given the gradient as a function.
"""

import json
import pickle
import platform
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax import contrib

jax.config.update("jax_enable_x64", True)
TOLERANCE = 1e-6
KEY = jax.random.PRNGKey(1)


class Violation(Exception):
    """As in the suite."""


def normalized(rho):
    return optax.chain(contrib.normalize(), optax.sgd(rho))


class Transparent:
    """Two calls of `update` with gradients at the parameters they return."""

    def __init__(self, outer, rho):
        self.transformation = contrib.sam(outer, normalized(rho), sync_period=2)
        self.calls, self.seen = 0, []

    def init(self, params):
        return self.transformation.init(params)

    def step(self, params, state, gradient_of):
        for _ in range(2):
            self.seen.append(params)
            updates, state = self.transformation.update(gradient_of(params), state, params)
            params = optax.apply_updates(params, updates)
            self.calls += 1
        return params, state


class Opaque(Transparent):
    """One call, which takes the second gradient by itself."""

    def __init__(self, outer, rho):
        super().__init__(outer, rho)
        self.transformation = contrib.sam(outer, normalized(rho), opaque_mode=True)

    def step(self, params, state, gradient_of):
        def second(inner, _):
            self.seen.append(inner)
            return gradient_of(inner)

        self.seen.append(params)
        self.calls += 1
        updates, state = self.transformation.update(gradient_of(params), state, params, grad_fn=second)
        return optax.apply_updates(params, updates), state


def network(dtype=jnp.float64):
    first, second = jax.random.split(KEY)
    return {
        "trunk": (jax.random.normal(first, (4, 8)) * 0.5).astype(dtype),
        "bias": jnp.full((8,), 0.1, dtype),
        "head": (jax.random.normal(second, (8, 3)) * 0.5).astype(dtype),
    }


def batches(count, dtype=jnp.float64):
    generator = np.random.default_rng(2)
    return [
        (jnp.asarray(generator.normal(size=(8, 4)), dtype), jnp.asarray(generator.integers(3, size=8)))
        for _ in range(count)
    ]


def loss(params, x, y):
    logits = jnp.tanh(x @ params["trunk"] + params["bias"]) @ params["head"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def gradient_on(x, y):
    return lambda params: jax.grad(loss)(params, x, y)


def train(subject, params, data, state=None):
    state = subject.init(params) if state is None else state
    for x, y in data:
        params, state = subject.step(params, state, gradient_on(x, y))
    return params, state


def apart(left, right):
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    return max(float(jnp.abs(a.astype(jnp.float64) - b.astype(jnp.float64)).max()) for a, b in pairs)


def expect(left, right, tolerance, what):
    difference = apart(left, right)
    if not difference <= tolerance:
        raise Violation(f"{what} by {difference:.1e}" if np.isfinite(difference) else f"{what}: not finite")


def flat(tree):
    return jnp.concatenate([leaf.astype(jnp.float64).ravel() for leaf in jax.tree.leaves(tree)])


def decayed(decay=0.01, momentum=0.9, lr=0.1):
    return optax.chain(optax.add_decayed_weights(decay), optax.sgd(lr, momentum=momentum))


def rate_zero(mode):
    params = network(jnp.float32)
    after, _ = train(mode(optax.sgd(0.0, momentum=0.9), 0.1), params, batches(1, jnp.float32) * 100)
    if apart(after, params) > 0:
        changed = int((flat(after) != flat(params)).sum())
        raise Violation(
            f"after 100 steps at lr = 0 float32 weights differ from those before by up to {apart(after, params):.1e} "
            f"({changed} of {flat(params).size} entries)"
        )


def radius_zero(mode):
    params = network()
    after, _ = train(mode(decayed(), 0.0), params, batches(5))
    base = decayed()
    state = base.init(params)
    for x, y in batches(5):
        updates, state = base.update(gradient_on(x, y)(params), state, params)
        params = optax.apply_updates(params, updates)
    expect(after, params, TOLERANCE, "at rho = 0, after 5 steps, weights differ from the base optimizer's")


def quadratic(mode):
    curvature, w, rho = jnp.linspace(0.5, 4.0, 5), jnp.linspace(-1.0, 2.0, 5), 0.3
    subject = mode(optax.sgd(0.1), rho)
    after, _ = subject.step(w, subject.init(w), lambda w: curvature * w)
    g = curvature * w
    expected = w - 0.1 * curvature * (w + rho * g / jnp.linalg.norm(g))
    expect(after, expected, TOLERANCE, "one step on w'Hw/2 differs from w - lr H(w + rho g/|g|)")


def formula(mode):
    params, rho = network(), 0.2
    after, _ = train(mode(decayed(), rho), params, batches(5))
    base = decayed()
    state = base.init(params)
    for x, y in batches(5):
        gradient_of = gradient_on(x, y)
        g = gradient_of(params)
        length = jnp.linalg.norm(flat(g))
        gradient = gradient_of(jax.tree.map(lambda w, d, length=length: w + rho * d / length, params, g))
        updates, state = base.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    expect(after, params, TOLERANCE, "after 5 steps weights differ from SAM's formula")


def decay_outside(mode):
    moves = []
    for decay in (0.0, 10.0):
        params, subject = network(), mode(decayed(decay), 0.1)
        train(subject, params, batches(1))
        moves.append(flat(subject.seen[-1]) - flat(params))
    expect(moves[1], moves[0], TOLERANCE, "with weight decay 10 the perturbation is another")


def count(mode):
    taken = 0

    def counted(params):
        nonlocal taken
        taken += 1
        return gradient_on(*batches(1)[0])(params)

    params, subject = network(), mode(optax.sgd(0.1), 0.05)
    state = subject.init(params)
    for _ in range(12):
        params, state = subject.step(params, state, counted)
    if taken != 24:
        raise Violation(f"took {taken} gradients in 12 steps, where SAM takes 24")


def falls(mode):
    data = batches(1)
    params = network()
    after, _ = train(mode(optax.sgd(0.1), 0.05), params, data * 40)
    before, now = (float(loss(p, *data[0])) for p in (params, after))
    if not now < 0.95 * before:
        raise Violation(f"the loss of one batch went from {before:.3f} to {now:.3f} in 40 steps")


def zero_gradient(mode, dtypes=(jnp.float64,)):
    for dtype in dtypes:
        params, subject, batch = network(dtype), mode(optax.sgd(0.1), 0.1), batches(1, dtype)[0]
        masked = jax.grad(lambda params, batch=batch: 0.0 * loss(params, *batch))
        after, _ = subject.step(params, subject.init(params), masked)
        bad = int((~jnp.isfinite(flat(after))).sum())
        if bad:
            name = jnp.dtype(dtype).name
            raise Violation(f"{bad} of {flat(after).size} weights are not finite after a gradient of zeros in {name}")


def clipped(mode):
    params = network()
    outer = optax.chain(optax.clip_by_global_norm(1e-3), optax.sgd(1.0))
    after, _ = train(mode(outer, 0.1), params, batches(1))
    length = float(jnp.linalg.norm(flat(after) - flat(params)))
    if abs(length - 1e-3) > 1e-6:
        raise Violation(f"with lr = 1 and the gradient clipped to norm 0.001, the step has norm {length:.3e}")


def resumed(mode, outer):
    data = batches(6)
    straight, _ = train(mode(outer(), 0.1), network(), data)
    params, state = train(mode(outer(), 0.1), network(), data[:3])
    params, state = pickle.loads(pickle.dumps(jax.device_get((params, state))))
    params, state = jax.tree.map(jnp.asarray, (params, state))
    after, _ = train(mode(outer(), 0.1), params, data[3:], state)
    expect(after, straight, 0.0, "3 steps after resuming weights differ from those of the whole run")


def schedule(mode):
    rates = optax.piecewise_constant_schedule(0.1, {1: 0.0})
    subject, params = mode(optax.sgd(rates), 0.1), network()
    params, state = train(subject, params, batches(1))
    after, _ = train(subject, params, batches(1), state)
    expect(after, params, TOLERANCE, "after the schedule set lr to 0 a step moved weights")


def one_step(mode):
    subject = mode(optax.sgd(0.1), 0.1)
    train(subject, network(), batches(3))
    if subject.calls != 3:
        raise Violation(f"update was called, and what counts calls of it stepped, {subject.calls} x in 3 steps")


def bfloat16(mode):
    generator = np.random.default_rng(3)
    w, g = (jnp.asarray(generator.normal(size=10_000), jnp.float32) for _ in range(2))
    moves = []
    for dtype in (jnp.float32, jnp.bfloat16):
        params, subject = w.astype(dtype), mode(optax.sgd(0.0), 0.05)
        subject.step(params, subject.init(params), lambda p, dtype=dtype: g.astype(dtype))
        moves.append(flat(subject.seen[-1]) - flat(params))
    length = float(jnp.linalg.norm(moves[1]) / jnp.linalg.norm(moves[0]))
    cosine = float(moves[0] @ moves[1] / jnp.linalg.norm(moves[0]) / jnp.linalg.norm(moves[1]))
    if not (abs(length - 1) < 0.05 and cosine > 0.95):
        raise Violation(
            f"with bf16 weights the perturbation has {length:.2f} of its float32 length, and cosine {cosine:.2f} to it"
        )


def long_norm(mode):
    params, subject = jnp.zeros(1_000_000, jnp.float16), mode(optax.sgd(0.0), 1.0)
    after, _ = subject.step(params, subject.init(params), lambda p: jnp.full_like(p, 300.0))
    length = float(jnp.linalg.norm(flat(subject.seen[-1])))
    if not abs(length - 1) < 0.01:
        raise Violation(f"with 1e6 fp16 gradients of 300 the perturbation has {length:.2f} of its float32 length")
    if not bool(jnp.isfinite(after).all()):
        raise Violation("weights are not finite after the step")


def compiled(mode):
    params, subject, traces = network(), mode(decayed(), 0.1), 0

    @jax.jit
    def step(params, state, x, y):
        nonlocal traces
        traces += 1
        return subject.step(params, state, gradient_on(x, y))

    state = subject.init(params)
    for x, y in batches(6):
        params, state = step(params, state, x, y)
    if traces > 1:
        raise Violation(f"jax.jit traced {traces} times in 6 steps")


ROWS = {
    "1": rate_zero,
    "2": radius_zero,
    "3": quadratic,
    "4": formula,
    "8": decay_outside,
    "9": count,
    "10": falls,
    "26": zero_gradient,
    "45": clipped,
    "50a": lambda mode: resumed(mode, lambda: optax.sgd(0.1, momentum=0.9)),
    "50b": lambda mode: resumed(mode, lambda: optax.adamw(0.01)),
    "53": schedule,
    "55": one_step,
    "57": bfloat16,
    "58": long_norm,
    "59": lambda mode: zero_gradient(mode, (jnp.float16, jnp.bfloat16)),
    "70": compiled,
}

VALUES = "weights and state are values: nothing is changed in place, left behind or attached"
WHOLE = "takes the gradients of all weights as one value"
CALLER = "is the caller's: it takes gradients, not losses or models"
NOT_APPLICABLE = {
    **dict.fromkeys(("21", "22", "23a", "23b", "24", "25", "27", "28"), WHOLE),
    "29": "not tried: groups are masks around transformations",
    "38": "takes its radius from an optimizer that the caller builds",
    **dict.fromkeys(("30a", "30b", "35a", "35b", "36a", "36b", "37", "51a", "51b", "52", "54"), VALUES),
    **dict.fromkeys(("32", "33", "39", "42", "47a", "47b", "47c", "47d", "48", "56", "69"), CALLER),
    **dict.fromkeys(("60", "61", "62a", "62b"), "sharding is jax's, and was not tried"),
    **dict.fromkeys(("67", "68", "72"), "has one protocol, without closures"),
}


def results(mode):
    for row, check in ROWS.items():
        status, evidence = "pass", ""
        try:
            check(mode)
        except Violation as violation:
            status, evidence = "fail", str(violation)
        except Exception as error:
            status, evidence = "fail", f"raised {type(error).__name__}: {str(error).splitlines()[0][:200]}"
        yield {"row": row, "status": status, "evidence": evidence, "seconds": 0.0}
    for row, reason in NOT_APPLICABLE.items():
        yield {"row": row, "status": "n/a", "evidence": reason, "seconds": 0.0}


def main():
    versions = {"optax": optax.__version__, "jax": jax.__version__, "Python": platform.python_version()}
    for mode in (Transparent, Opaque):
        card = {
            "conformance card": 1,
            "subject": f"optax.contrib.sam, {mode.__name__.lower()}",
            "results": list(results(mode)),
            "versions": versions,
            "command": "python benchmarks/conformance_peers/optax_sam.py benchmarks/results/conformance",
        }
        file = Path(sys.argv[1]) / f"optax-{mode.__name__.lower()}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(card, indent=1) + "\n")
        print(file, [(r["row"], r["evidence"]) for r in card["results"] if r["status"] == "fail"])


if __name__ == "__main__":
    main()
