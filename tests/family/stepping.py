"""Methods that step: several ascent steps, several steps of the base optimizer, something after its step.

methods.md sections 4.4 (shrink-and-perturb), 5 (Lookbehind, multi-step SAM) and 13.4 (iterated OBF).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests import oracles as o
from tests.family.driver import After, Epsilon, Memory, Step
from tests.oracles import EPSILON, Criterion, Problem, State, Vector, norm


# ------------------------------------------------------------------------------------------------- several ascent steps
def several(
    steps: int, perturb: o.Perturb = o.sam, objective: Criterion | None = None, ascend: Callable[..., Vector] = o.ascend
) -> Epsilon:
    """k steps of rho / k, the gradient (and OBF's alpha) anew for each, T of the weights where they start.

    Multi-step SAM (a baseline of Mordido et al. 2024: only the furthest gradient is used) and, with `objective` OBF,
    iterated OBF (Vani et al. 2024, Algorithm A.1, unread: methods.md 13.4 calls this reading an *assumption*).
    """

    def epsilon(now: Step, g: Vector, memory: Memory) -> Vector:
        def gradient(at: Vector) -> Vector:
            return now.gradient(at, objective)

        return ascend(now.w, gradient, perturb, now.rho, steps, now.problem) - now.w

    return epsilon


# ----------------------------------------------------------------------------------------------------------- Lookbehind
AscentGradient = Callable[[Step, Vector, Vector | None], Vector]  # (step, phi'_{i-1}, g(phi'_{i-1}) or None at i = 1)
Share = Callable[[Vector, Vector, Problem], Vector]  # (phi_1 - phi, phi_k - phi, problem) -> a, one per entry


def anew(now: Step, at: Vector, last: Vector | None) -> Vector:
    """The 2k form: the ascent has a pass of its own at phi'_{i-1}."""
    return now.gradient(at)


def reused(now: Step, at: Vector, last: Vector | None) -> Vector:
    """The k + 1 form: descent i - 1 took its gradient at phi'_{i-1}, and ascent i takes it over."""
    return now.gradient(at) if last is None else last


def static(a: float) -> Share:
    return lambda first, total, problem: np.full_like(total, a)


def agreement(first: Vector, total: Vector) -> float:
    """a = (cos(phi_1 - phi, phi_k - phi) + 1) / 2; one half where nothing moved."""
    return float(((first @ total) / (norm(first) * norm(total) + EPSILON**2) + 1) / 2)


def adaptive_by_tensor(first: Vector, total: Vector, problem: Problem) -> Vector:
    """Mordido et al. 2024 as released: one a per parameter tensor."""
    return np.concatenate([np.full(p.stop - p.start, agreement(first[p], total[p])) for p in problem.slices])


def adaptive_globally(first: Vector, total: Vector, problem: Problem) -> Vector:
    """One a for all parameters jointly (not in the released code; an option of ours)."""
    return np.full_like(total, agreement(first, total))


@dataclass(frozen=True)
class Lookbehind:
    """Mordido et al. 2024 (2307.16704), methods.md section 5.

    phi_0 = phi'_0 = phi; for i = 1..k on the same batch: epsilon_i = rho g(phi'_{i-1}) / ||.||, or Kwon's step with T
    at phi'_{i-1}; phi'_i = phi'_{i-1} + epsilon_i; phi_i = BaseOpt(phi_{i-1}, g(phi'_i)). Then phi + a (phi_k - phi).
    The base optimizer really steps k times, at one learning rate, and its state goes on from batch to batch.
    """

    k: int = 3
    perturb: o.Perturb = o.sam
    ascent: AscentGradient = anew
    share: Share = static(0.5)
    radius: Callable[[Vector, int], Vector] = lambda rho, k: rho
    origin: Callable[[Vector, Vector, Vector], Vector] = lambda phi, ahead, fast: ahead  # what epsilon_i is added to
    scaled_at: Callable[[Vector, Vector], Vector] = lambda phi, ahead: ahead  # whose T it is
    state: Callable[[State, State], State] = lambda before, after: after  # the base optimizer's, for inner step i + 1

    def step(self, now: Step, memory: Memory) -> tuple[Vector, State]:
        phi = fast = ahead = now.w
        base, g, moved = now.base, None, []
        for _ in range(self.k):
            ascent = self.ascent(now, ahead, g)
            epsilon = self.perturb(self.scaled_at(phi, ahead), ascent, self.radius(now.rho, self.k), now.problem)
            ahead = self.origin(phi, ahead, fast) + epsilon
            g = now.gradient(ahead)
            fast, after = now.optimized(fast, g, base)
            base = self.state(base, after)
            moved.append(fast - phi)
        return phi + self.share(moved[0], moved[-1], now.problem) * moved[-1], base


# ---------------------------------------------------------------------------------------------------- after the step
def lookahead(k: int, a: float) -> After:
    """Lookahead (Zhang et al. 2019; a baseline of methods.md section 5; unverified): after every k-th step of the base
    optimizer, each on its own batch, slow <- slow + a (fast - slow) and fast <- slow.

    Our readings: the slow weights start at the initial ones; the base optimizer's state is left as it is.
    """

    def after(now: Step, w: Vector, memory: Memory) -> Vector:
        slow = memory.get("slow", now.run.start)
        if (now.index + 1) % k:
            return w
        memory["slow"] = slow + a * (w - slow)
        return memory["slow"]

    return after


def shrink(share: Callable[[Vector], float | Vector]) -> After:
    """Shrink-and-perturb as Vani et al. 2024 run it (methods.md 4.4): after each step w <- (1 - s) w + s w_init,
    w_init the original initialisation, no fresh noise. `share` gives s for the learning rates; theirs is proportional.
    """

    def after(now: Step, w: Vector, memory: Memory) -> Vector:
        s = share(now.lr)
        return (1 - s) * w + s * now.run.start

    return after
