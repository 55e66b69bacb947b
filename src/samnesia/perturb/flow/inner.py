"""The second flow: methods that step the base optimizer several times on one batch, between their passes.

It drives the optimizer, and never calls the model. What the first flow promises holds here as well: whatever ends it
early puts weights, gradients, buffers, random state and the optimizer's state back to where they were.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from samnesia.perturb.flow.base import Flow
from samnesia.perturb.flow.criteria import Pass
from samnesia.perturb.flow.moving import move
from samnesia.perturb.flow.sync import gradient_sync
from samnesia.perturb.modules import Parameters, innermost_optimizer
from samnesia.perturb.parts.inner import InnerSteps
from samnesia.perturb.parts.memory import Memory
from samnesia.perturb.parts.point import Need
from samnesia.perturb.tensors import Weights, copies, differences

if TYPE_CHECKING:
    from samnesia.perturb.flow.passes import PerturbedGradient


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
