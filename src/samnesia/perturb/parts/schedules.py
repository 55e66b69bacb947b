"""Schedules: on which steps to perturb, and how far.

*When* is a callable ``step -> bool``, *rho* a number or a callable ``(step, lr) -> radius``; `step` counts the
optimizer steps taken, from 0. Both are functions of their arguments alone, so that every rank and every resumed run
decides alike.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from samnesia.perturb.errors import ConfigurationError, IdleScheduleWarning
from samnesia.perturb.parts.numbers import integer, number

When = Callable[[int], bool]
Radius = Callable[[int, float], float]


def always(step: int) -> bool:
    """Perturb on every step."""
    return True


@final
@dataclass(frozen=True, slots=True)
class Every:
    """Perturb on every `k`-th step: `phase`, `phase` + k, `phase` + 2k … (Composer's interval has phase k - 1)."""

    k: int
    phase: int = 0

    def __post_init__(self) -> None:
        if not integer(self.k) >= 1 or not 0 <= integer(self.phase) < self.k:
            raise ConfigurationError(
                f"cannot perturb every k={self.k!r} steps with phase={self.phase!r}, because k counts steps and the "
                "phase is one of them; choose k >= 1 and 0 <= phase < k"
            )

    def __call__(self, step: int) -> bool:
        """True on steps phase, phase + k, phase + 2k …."""
        return step % self.k == self.phase


@final
@dataclass(frozen=True, slots=True)
class After:
    """Perturb from step `start` on: sharpness-aware training late in the run (Zhou et al., ICLR 2025)."""

    start: int

    def __post_init__(self) -> None:
        if not number(self.start) >= 0:
            raise ConfigurationError(
                f"cannot perturb after step {self.start!r}, because steps count from 0; choose a start >= 0"
            )

    def __call__(self, step: int) -> bool:
        """True from `start` on."""
        return step >= self.start


@final
@dataclass(frozen=True, slots=True)
class Before:
    """Perturb before step `stop` only."""

    stop: int

    def __post_init__(self) -> None:
        if not number(self.stop) >= 1:
            raise ConfigurationError(
                f"cannot perturb before step {self.stop!r}, because such a schedule never fires; choose a stop >= 1, "
                "or the unperturbed optimizer"
            )

    def __call__(self, step: int) -> bool:
        """True up to step `stop` - 1."""
        return step < self.stop


@final
@dataclass(frozen=True, slots=True)
class Randomly:
    """Perturb each step with probability `p`, independently; the same steps for the same `seed`."""

    p: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < number(self.p) <= 1.0:
            raise ConfigurationError(
                f"cannot perturb with probability p={self.p!r}, because such a schedule never fires or is no "
                "probability; choose p in (0, 1]"
            )
        if not integer(self.seed) >= 0:
            raise ConfigurationError(
                f"cannot draw steps with seed={self.seed!r}, because generators are seeded by a whole number; choose "
                "one >= 0"
            )

    def __call__(self, step: int) -> bool:
        """True with probability p, as decided by seed and step."""
        return bool(np.random.default_rng([self.seed, step]).random() < self.p)


every, after, before, randomly = Every, After, Before, Randomly


def warn_if_idle(when: When, total_steps: int) -> None:
    """Warn if `when` fires on none of the steps 0 … total_steps - 1."""
    if not any(when(step) for step in range(total_steps)):
        warnings.warn(
            f"{when} fires on none of the {total_steps} steps of this run, so no step will be perturbed; start it "
            "earlier, or train longer",
            IdleScheduleWarning,
            stacklevel=3,
        )


@final
@dataclass(frozen=True, slots=True)
class ProportionalToLR:
    """``ρ = ρ_min + (ρ_max - ρ_min) (lr - lr_min) / (lr_max - lr_min)``, at least 0 (Zhuang et al., ICLR 2022).

    `lr` is that of each parameter group. With lr_max = lr_min the radius is constantly ρ_max.
    """

    rho_min: float
    rho_max: float
    lr_min: float
    lr_max: float

    def __post_init__(self) -> None:
        ordered = number(self.lr_min) <= number(self.lr_max)
        if not (ordered and 0.0 <= number(self.rho_min) <= number(self.rho_max) < float("inf")):
            raise ConfigurationError(
                f"cannot make the radius proportional to the learning rate with {self}, because both ranges must be "
                "ordered and the radii finite; choose 0 <= rho_min <= rho_max and lr_min <= lr_max"
            )

    def __call__(self, step: int, lr: float) -> float:
        """The radius at learning rate `lr`."""
        if self.lr_max == self.lr_min:
            return self.rho_max
        share = (lr - self.lr_min) / (self.lr_max - self.lr_min)
        return max(self.rho_min + (self.rho_max - self.rho_min) * share, 0.0)  # NaN, of a rate that is none, stays


proportional_to_lr = ProportionalToLR


def radius_at(rho: float | Radius, step: int, lr: float) -> float:
    """The radius at a step; raises ConfigurationError unless it is a finite number >= 0."""
    value = rho(step, lr) if callable(rho) else rho
    radius = number(value)
    if not 0.0 <= radius < float("inf"):
        raise ConfigurationError(
            f"cannot perturb with rho={value!r}, because the radius of a ball is a finite number that is not "
            "negative; choose rho >= 0"
        )
    return radius
