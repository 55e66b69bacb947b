"""How the oracles of the whole family are run: flat float64 vectors, NumPy alone, state kept between steps.

    run = Run(problem, start, batches, optimizer, rates, radii)
    weights = train(ORACLES["looksam"], run)                            # [steps, size], after every optimizer step
    wrong = train(mutate("looksam", "projected by tensor"), run)        # ORACLES: table.py; mutate: mutations.py

`setting(name, optimizer)` of settings.py makes such a run, on which the oracles themselves are looked at.

What a `Run` gives, step by step (`index` 0, 1, ...):

- `problem`, `start`: one of tests/oracles.py or of networks.py, and the initial flat weights;
- `batches[index]`: (x, y) with x [n, inputs] and y class indices [n] (soft labels where nothing else is said);
- `optimizer`: `oracles.sgd(...)` or `oracles.adamw(...)`; its weight decay may be one number per entry;
- `rates[index]`, `radii[index]`: learning rate and rho, one number per entry each (two groups: two values). A norm is
  always taken over all parameters jointly, whatever the groups, unless the method says otherwise;
- `draws[index]`: what the method would draw at random or gets from outside, one flat vector per step. `DRAWS` of
  table.py names the methods that read it, and what it holds for each: standard normal numbers, a mask of zeros and
  ones, or the top eigenvector. It is read by index also where a step makes no use of it;
- `samples[index]`: who the rows of the batch are, one integer per row (SAF alone).

A `Method` is the frame that nearly all of the family fills: gradient, epsilon, gradient at w + epsilon, a direction
made of the two, the base optimizer's step, something done to the weights afterwards. Every rule is a plain function
which a mutation may replace. `memory` is one dictionary per training, empty at first. What does not fit the frame is
a class of its own with the same `step` (Lookbehind, stepping.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tests import oracles as o
from tests.oracles import Criterion, Optimizer, State, Vector


@dataclass(frozen=True)
class Run:
    """Data, base optimizer and settings of one training; see the top of this file."""

    problem: Any  # a Problem with value and gradient
    start: Vector
    batches: Sequence[tuple[Vector, Vector]]
    optimizer: Optimizer
    rates: Sequence[Vector]
    radii: Sequence[Vector]
    loss: Criterion = o.cross_entropy
    draws: Sequence[Vector] = ()
    samples: Sequence[Vector] = ()


@dataclass(frozen=True)
class Step:
    """One step of a run as a method sees it: the weights w and the base optimizer's state, both from before it."""

    run: Run
    index: int
    w: Vector
    base: State

    @property
    def problem(self) -> Any:
        return self.run.problem

    @property
    def x(self) -> Vector:
        return self.run.batches[self.index][0]

    @property
    def y(self) -> Vector:
        return self.run.batches[self.index][1]

    @property
    def lr(self) -> Vector:
        return self.run.rates[self.index] * np.ones_like(self.w)

    @property
    def rho(self) -> Vector:
        return self.run.radii[self.index] * np.ones_like(self.w)

    @property
    def draw(self) -> Vector:
        return self.run.draws[self.index]

    @property
    def samples(self) -> Vector:
        return self.run.samples[self.index]

    def gradient(self, at: Vector, criterion: Criterion | None = None) -> Vector:
        """Of the training loss of this batch, or of another criterion."""
        return self.problem.gradient(at, criterion or self.run.loss, self.x, self.y)

    def logits(self, at: Vector) -> Vector:
        return self.problem.forward(at, self.x)[1]

    def optimized(self, w: Vector, g: Vector, base: State) -> tuple[Vector, State]:
        """One step of the base optimizer at this step's learning rate: the weights and the optimizer's next state."""
        return self.run.optimizer(w, g, base, self.lr)


Memory = dict[str, Any]
Ascent = Callable[[Step, Memory], Vector]  # -> g, which epsilon and combine get
Epsilon = Callable[[Step, Vector, Memory], Vector]  # (step, g, memory) -> epsilon
Descent = Callable[[Step, Vector, Memory], Vector]  # (step, w + epsilon, memory) -> g_p
Combine = Callable[[Step, Vector, Vector, Memory], Vector]  # (step, g, g_p, memory) -> what the base optimizer gets
Restored = Callable[[Vector, Vector], Vector]  # (w, w + epsilon) -> where the base optimizer steps from
After = Callable[[Step, Vector, Memory], Vector]  # (step, weights the base optimizer left, memory) -> weights


class Oracle(Protocol):
    """What `train` runs."""

    def step(self, now: Step, memory: Memory) -> tuple[Vector, State]:
        """Weights and state of the base optimizer after this step."""


def train(oracle: Oracle, run: Run) -> Vector:
    """The flat weights after every step, [steps, size]."""
    w, base, trajectory = run.start, {}, []
    memory: Memory = {}
    for index in range(len(run.batches)):
        w, base = oracle.step(Step(run, index, w, base), memory)
        trajectory.append(w)
    return np.stack(trajectory)


# --------------------------------------------------------------------------------------------------- the common frame
def of_the_loss(now: Step, memory: Memory) -> Vector:
    """g = grad L(w)."""
    return now.gradient(now.w)


def of(criterion: Criterion) -> Ascent:
    """The gradient at w of something else than the training loss."""
    return lambda now, memory: now.gradient(now.w, criterion)


def ball(perturb: o.Perturb) -> Epsilon:
    """An epsilon that knows weights, gradient and rho alone."""
    return lambda now, g, memory: perturb(now.w, g, now.rho, now.problem)


def nothing(now: Step, g: Vector, memory: Memory) -> Vector:
    """epsilon = 0: the base optimizer."""
    return np.zeros_like(now.w)


def on(active: Callable[[int], bool], epsilon: Epsilon) -> Epsilon:
    """epsilon on the steps that are active, 0 on the others."""
    return lambda now, g, memory: (epsilon if active(now.index) else nothing)(now, g, memory)


def there(now: Step, at: Vector, memory: Memory) -> Vector:
    """g_p = grad L(w + epsilon)."""
    return now.gradient(at)


def perturbed(now: Step, g: Vector, g_p: Vector, memory: Memory) -> Vector:
    """Foret et al. 2021: step with g_p."""
    return g_p


@dataclass(frozen=True)
class Method:
    """A method in the common frame; as it stands, SAM (Foret et al. 2021; methods.md section 1)."""

    ascent: Ascent = of_the_loss
    epsilon: Epsilon = ball(o.sam)
    descent: Descent = there
    combine: Combine = perturbed
    restored: Restored = lambda w, w_p: w
    after: After = lambda now, w, memory: w

    def step(self, now: Step, memory: Memory) -> tuple[Vector, State]:
        g = self.ascent(now, memory)
        at = now.w + self.epsilon(now, g, memory)
        g_p = self.descent(now, at, memory)
        d = self.combine(now, g, g_p, memory)
        w, base = now.optimized(self.restored(now.w, at), d, now.base)
        return self.after(now, w, memory), base


def visits(steps: int, rows: int, batches: int) -> list[Vector]:
    """`Run.samples` of epochs of that many batches, shuffled anew in every epoch."""
    random = np.random.default_rng(5)
    order = [random.permutation(rows * batches) for _ in range(-(-steps // batches))]
    return list(np.concatenate(order).reshape(-1, rows)[:steps])
