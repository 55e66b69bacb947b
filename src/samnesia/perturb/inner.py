"""The second flow: methods that step the base optimizer several times on one batch, between their passes.

It drives the optimizer, and never calls the model. What the first flow promises holds here as well: whatever ends it
early puts weights, gradients, buffers, random state and the optimizer's state back to where they were.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from samnesia.perturb.ascents import SteppedAscent
from samnesia.perturb.criteria import Pass
from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.flow import Flow
from samnesia.perturb.memory import Memory
from samnesia.perturb.modules import Parameters, innermost_optimizer
from samnesia.perturb.moving import move
from samnesia.perturb.point import Need
from samnesia.perturb.sync import gradient_sync
from samnesia.perturb.tensors import Weights, copies, differences

if TYPE_CHECKING:
    from samnesia.perturb.passes import PerturbedGradient


class Interpolation(ABC):
    """How far the slow weights φ follow the fast ones: ``φ + a (φ_k - φ)``."""

    @abstractmethod
    def shares(self, weights: Weights, first: Sequence[Tensor], last: Sequence[Tensor]) -> list[Tensor]:
        """The a of each weight, 0-d, from the displacements ``φ_1 - φ`` and ``φ_k - φ``."""


@final
@dataclass(frozen=True, slots=True)
class Fixed(Interpolation):
    """The same a in (0, 1] for all weights and steps."""

    alpha: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha <= 1.0:
            raise ConfigurationError(
                f"cannot interpolate with alpha={self.alpha}, because the slow weights move a part of the way to the "
                "fast ones; choose it in (0, 1]"
            )

    def shares(self, weights: Weights, first: Sequence[Tensor], last: Sequence[Tensor]) -> list[Tensor]:
        """alpha."""
        return [t.new_tensor(self.alpha) for t in last]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Aligned(Interpolation):
    """``a = (cos(φ_1 - φ, φ_k - φ) + 1) / 2``: how well the first step agrees with all of them (Mordido et al. 2024).

    By itself for each tensor, as its authors do, or with `per_tensor=False` once for all weights. A tensor that did not
    move has a = 1/2, which changes nothing.
    """

    per_tensor: bool = True

    def shares(self, weights: Weights, first: Sequence[Tensor], last: Sequence[Tensor]) -> list[Tensor]:
        """The cosines, moved to [0, 1]."""
        if not self.per_tensor:
            whole = _share(weights.dot(first, last), weights.norm(first), weights.norm(last))
            return [whole.to(t) for t in last]
        squares = [self._sum(weights, i, t * t) for i, t in enumerate(first)]
        others = [self._sum(weights, i, t * t) for i, t in enumerate(last)]
        products = [self._sum(weights, i, a * b) for i, (a, b) in enumerate(zip(first, last, strict=True))]
        return [_share(p, a.sqrt(), b.sqrt()).to(t) for p, a, b, t in zip(products, squares, others, last, strict=True)]

    @staticmethod
    def _sum(weights: Weights, index: int, values: Tensor) -> Tensor:
        return weights.reduce_tensor(index, values.sum(dtype=torch.promote_types(values.dtype, torch.float32)))


def _share(product: Tensor, left: Tensor, right: Tensor) -> Tensor:
    sizes = left * right
    return torch.where(sizes > 0, product / sizes.clamp_min(torch.finfo(sizes.dtype).tiny) + 1.0, 1.0) / 2.0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class InnerSteps:
    """`steps` rounds on one batch: perturb further, step the fast weights with the gradient found there.

    At the end the slow weights, those the batch began with, follow the fast ones by `interpolation`. `reuse` takes the
    gradient of one round's step for the next round's ascent too, which is the same gradient but for dropout: one
    evaluation less in each round but the first.
    """

    steps: int = 2
    interpolation: Interpolation = field(default_factory=Fixed)
    reuse: bool = False

    def __post_init__(self) -> None:
        if type(self.steps) is not int or self.steps < 1:
            raise ConfigurationError(
                f"cannot take steps={self.steps!r} on a batch, because each of them is one of the base optimizer; "
                "choose a whole number >= 1"
            )

    def check(self, method: PerturbedGradient) -> None:
        """Refuse parts that this flow cannot run; raises ConfigurationError."""
        if not isinstance(method.ascent, SteppedAscent) or method.ascent.steps != 1:
            raise ConfigurationError(
                f"cannot step between the passes of {method.ascent}, because each round perturbs by one move along a "
                "direction; use GradientAscent()"
            )
        unused = {
            "a rule": method.rule,
            "a remainder": method.remainder,
            "a selection": method.selection,
            "a teacher": method.teacher,
            "sync='rank'": method.sync == "rank",
            "keep_gradient_buffers": method.keep_gradient_buffers,
            "offload": method.offload,
        }
        for name, given in unused.items():
            if given:
                raise ConfigurationError(
                    f"cannot combine {name} with several steps on a batch, because every round steps the gradient "
                    "found at its perturbed weights; leave it out"
                )
        if self.reuse and method.objective is not None:
            raise ConfigurationError(
                "cannot reuse the gradient of a step for the next ascent, because the ascent follows an objective of "
                "its own; leave reuse out"
            )


@final
class InnerFlow(Flow):
    """The rounds of one batch. `take` steps the base optimizer with the gradient in `p.grad`."""

    def __init__(
        self, method: PerturbedGradient, parameters: Parameters, inner: InnerSteps, take: Callable[[], None]
    ) -> None:
        super().__init__(method, parameters, fires=True, watches=method.ascent is not None and method.ascent.measures)
        self.memory = Memory()
        self._inner, self._take = inner, take
        self._lengths: list[Tensor] = []
        self._norms: list[Tensor] = []
        self._sync = gradient_sync(method.model, "batch", combines=False, accumulated=False)
        self._sync.refuse_no_sync()
        self._state: dict[Any, Any] | None = None

    def passes(self) -> Generator[Pass, None, None]:
        """Ascent and descent of each round; the optimizer's step; the slow weights' step at the end."""
        inner, first = self._inner, list[Tensor]()
        self._gradients.forget()
        self._state = _copied(innermost_optimizer(self._method.optimizer).state)
        fast = self._saved = copies(self._weights_now().tensors)
        for number in range(inner.steps):
            if number == 0 or not inner.reuse:
                yield from self._open(Need.GRADIENT, ascent=True)
                self._climb()
            yield from self._open(Need.GRADIENT, last=True)
            more = number + 1 < inner.steps
            gradients = self._sync.average([p.grad for p in self._parameters.parameters], self._parameters.parameters)
            if more and inner.reuse:
                self._climb()  # before the step, which may clip this gradient
            perturbed = copies(self._weights_now().tensors) if more else []
            self._place(fast)
            self._mark_if_not_finite(gradients)
            self._norms.append(self._norm_of(gradients))
            self._report.note_gradient(self._norms[-1])
            self._take()
            fast = copies(self._weights_now().tensors)
            first = first or fast
            if more:
                self._place(perturbed)
            del gradients, perturbed  # freed before the next pass
        self._finish(first, fast)

    @property
    def start(self) -> Weights:
        """The weights that the last pass differentiated."""
        return self._weights

    @torch.no_grad()
    def _climb(self) -> None:
        """Perturb further along the gradient in `p.grad`, in the ball around where the weights are now."""
        self._weights = self._weights_now()
        gradients, ascent = self._filled(self._computed()), self._method.ascent
        direction = ascent.direction(self, gradients)  # type: ignore[union-attr]
        origin = self._weights.holding(self._saved or [])
        moved = move(self._weights, direction, self.radii, start=origin, measures=False)
        self._weights_changed()
        self._not_finite = moved.not_finite if self._not_finite is None else self._not_finite | moved.not_finite
        self._lengths.append(moved.norm)

    @torch.no_grad()
    def _finish(self, first: Sequence[Tensor], last: Sequence[Tensor]) -> None:
        weights, slow = self._weights_now(), self._saved or []
        shares = self._inner.interpolation.shares(weights, differences(first, slow), differences(last, slow))
        for w, s, f, a in zip(weights.tensors, slow, last, shares, strict=True):
            torch.lerp(s, f, a, out=w)
        self._weights_changed()
        self._restore_model()
        self._sync.close()
        self._report.note_rounds(self._radii, self._lengths[-1], self._norms)

    def abort(self) -> None:
        """Put back what a flow does, and the optimizer's state."""
        if self._state is not None:
            state = innermost_optimizer(self._method.optimizer).state
            state.clear()
            state.update(_copied(self._state))
        super().abort()


def _copied(state: Any) -> dict[Any, Any]:
    """The optimizer's state by parameter, in memory of its own."""
    return {
        parameter: {n: v.clone() if isinstance(v, Tensor) else copy.deepcopy(v) for n, v in entries.items()}
        for parameter, entries in state.items()
    }
