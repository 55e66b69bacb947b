"""What is done to the weights after the base optimizer's step, beside what the gradient does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch

from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.memory import Memory
from samnesia.perturb.parts.numbers import integer, number
from samnesia.perturb.parts.rules import KeptDifference
from samnesia.perturb.tensors import Weights, assign


class WeightUpdate(ABC):
    """A change of the weights that follows each step that the optimizer really takes.

    It runs inside ``optimizer.step()``, so that schedulers, averages and checkpoints see the weights after it.
    """

    def begin(self, weights: Weights, memory: Memory) -> None:  # noqa: B027
        """Called before each step of the optimizer, with the weights as they are: to remember where they started."""

    @abstractmethod
    def apply(self, weights: Weights, rates: Sequence[float], step: int, memory: Memory) -> None:
        """Change `weights` in place.

        Args:
            weights: those that the optimizer holds; of sharded ones, this process's part.
            rates: the learning rate of each.
            step: how many steps the optimizer has taken, this one included.
            memory: what the method remembers; the update keeps its own tensors there.
        """


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Lookahead(WeightUpdate):
    """Lookahead (Zhang et al., NeurIPS 2019; unverified): every k-th step, slow weights follow the fast ones.

    ``slow ← slow + α (w - slow)``, ``w ← slow``. The slow weights start where the weights stand before the first step;
    the base optimizer's state is left as it is. One copy of the weights; no gradient evaluation.
    """

    k: int = 5
    alpha: float = 0.5

    def __post_init__(self) -> None:
        if not integer(self.k) >= 1:
            raise ConfigurationError(
                f"cannot look ahead k={self.k!r} steps, because it counts steps of the optimizer; choose a whole "
                "number >= 1"
            )
        if not 0.0 < number(self.alpha) <= 1.0:
            raise ConfigurationError(
                f"cannot follow the fast weights with alpha={self.alpha!r}, because the slow ones move a part of the "
                "way to them; choose it in (0, 1]"
            )

    def begin(self, weights: Weights, memory: Memory) -> None:
        """Before the first step, the slow weights are the weights."""
        memory.first(_SLOW, weights)

    def apply(self, weights: Weights, rates: Sequence[float], step: int, memory: Memory) -> None:
        """Every k-th step, both become the interpolation."""
        if step % self.k:
            return
        pairs = zip(memory.first(_SLOW, weights), weights.tensors, strict=True)
        slow = [torch.lerp(behind, fast, self.alpha) for behind, fast in pairs]
        memory.keep(_SLOW, weights, slow)
        assign(weights.tensors, slow)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ShrinkAndPerturb(WeightUpdate):
    """After each step ``w ← (1 - s) w + s w₀``: towards the weights before the first step, without fresh noise.

    The baseline of Vani et al. (ICML 2024; methods.md 4.4), whose runs have ``s = 1e-5 · lr / lr_base``, `base_lr`
    being that rate; with None, s is `share` at every rate. They move buffers as well; here running statistics stay
    those of the weights. One copy of the weights; no gradient evaluation.
    """

    share: float = 1e-5
    base_lr: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= number(self.share) <= 1.0:
            raise ConfigurationError(
                f"cannot shrink by share={self.share!r}, because it is how far the weights go back to the first ones; "
                "choose it in [0, 1]"
            )
        if self.base_lr is not None and not 0.0 < number(self.base_lr) < float("inf"):
            raise ConfigurationError(
                f"cannot shrink in proportion to base_lr={self.base_lr!r}, because it is the learning rate at which "
                "the share is meant; choose a positive number, or None for the same share at every rate"
            )

    def begin(self, weights: Weights, memory: Memory) -> None:
        """Remember the weights before the first step."""
        memory.first(_INITIAL, weights)

    def apply(self, weights: Weights, rates: Sequence[float], step: int, memory: Memory) -> None:
        """One small step back."""
        for w, first, rate in zip(weights.tensors, memory.first(_INITIAL, weights), rates, strict=True):
            w.lerp_(first, self.share * (1.0 if self.base_lr is None else rate / self.base_lr))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceStep(WeightUpdate):
    """``w ← w - lr · factor · (g_p - g)``: the part of a step that the base optimizer does not see (decoupled WSAM).

    The difference is what `KeptDifference` has summed over the step's micro-batches: it has to be the method's rule, or
    there is none to step. Plain descent: without momentum, preconditioning, clipping or weight decay.
    """

    factor: float

    def __post_init__(self) -> None:
        if not 0.0 <= number(self.factor) < float("inf"):
            raise ConfigurationError(
                f"cannot step factor={self.factor!r} times the difference of two gradients, because it is descended; "
                "choose a finite number >= 0"
            )

    def apply(self, weights: Weights, rates: Sequence[float], step: int, memory: Memory) -> None:
        """Step along the difference and forget it; a step that was not perturbed left none."""
        difference = memory.tensors(KeptDifference.ENTRY, weights)
        if difference is None:
            return
        for w, d, rate in zip(weights.tensors, difference, rates, strict=True):
            w.add_(d, alpha=-rate * self.factor)
        memory.forget(KeptDifference.ENTRY)


_SLOW, _INITIAL = "lookahead.slow", "shrink.initial"
