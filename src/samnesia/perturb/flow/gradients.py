"""`p.grad` during one flow: what stood there is set aside, each pass begins empty, the result is handed over."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import final

import torch
from torch import Tensor

from samnesia.perturb.errors import StaleGradientError
from samnesia.perturb.tensors import Weights, local, local_gradient


class Gradients:
    """New memory for each pass, as after ``zero_grad(set_to_none=True)``."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = parameters
        self.old: list[Tensor | None] = [p.grad for p in parameters]

    def safe(self, gradients: list[Tensor | None]) -> list[Tensor | None]:
        """Gradients that the next backward call will not overwrite."""
        return gradients

    def forget(self) -> None:  # noqa: B027
        """What stood there will not be added to the result; it costs nothing to have it back after an abort."""

    def clear(self) -> None:
        """Before a pass."""
        for parameter in self._parameters:
            parameter.grad = None

    def seen(self, indices: Iterable[int]) -> bool:
        """Whether a backward call has reached one of these parameters since `clear`."""
        return any(self._parameters[i].grad is not None for i in indices)

    def hand_over(self, totals: Sequence[Tensor | None]) -> None:
        """Leave `totals` in `p.grad`: plain assignment, which cannot fail half-way."""
        for parameter, total in zip(self._parameters, totals, strict=True):
            parameter.grad = total

    def put_back(self) -> None:
        """Leave what stood in `p.grad` before the flow."""
        self.hand_over(self.old)


@final
class KeptGradients(Gradients):
    """The same memory for all passes and steps, as after ``zero_grad(set_to_none=False)``.

    Graphs of a whole step that were captured once (CUDA graphs) read and write fixed addresses. The price: what stands
    in `p.grad`, also zeros, is copied and added again; parameters that no pass used have a gradient of zero and not
    none; and a closure's flow that is aborted leaves zeros.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        super().__init__(parameters)
        self._buffers = list(self.old)
        self._stood = [gradient is not None for gradient in self.old]
        self._versions = [-1] * len(self.old)

    @torch.no_grad()
    def safe(self, gradients: list[Tensor | None]) -> list[Tensor | None]:
        """Copies."""
        return [None if g is None else g.clone() for g in gradients]

    def forget(self) -> None:
        """What stood there need not be copied."""
        self.old = [None] * len(self.old)

    @torch.no_grad()
    def clear(self) -> None:
        """Zero what is there."""
        for i, parameter in enumerate(self._parameters):
            buffer = self._buffers[i] = parameter.grad if self._buffers[i] is None else self._buffers[i]
            parameter.grad = None if buffer is None else buffer.zero_()
            self._versions[i] = 0 if buffer is None else local(buffer)._version

    def seen(self, indices: Iterable[int]) -> bool:
        """Whether a backward call has written to one of these buffers, or made another gradient, since `clear`.

        A replayed graph writes without anybody counting: then their values are looked at.
        """
        present = [(i, g) for i in indices if (g := self._parameters[i].grad) is not None]
        if any(g is not self._buffers[i] or local(g)._version != self._versions[i] for i, g in present):
            return True
        return any(bool(local(g).any()) for _, g in present)

    @torch.no_grad()
    def hand_over(self, totals: Sequence[Tensor | None]) -> None:
        """Leave the values of `totals` in the memory that is kept."""
        for parameter, total, buffer in zip(self._parameters, totals, self._buffers, strict=True):
            parameter.grad = total if buffer is None or total is None or total is buffer else buffer.copy_(total)

    @torch.no_grad()
    def put_back(self) -> None:
        """Leave what stood there before the flow, in its own memory."""
        for parameter, old, buffer, stood in zip(self._parameters, self.old, self._buffers, self._stood, strict=True):
            if buffer is None or not stood:
                parameter.grad = None
            elif old is not buffer:
                parameter.grad = buffer.zero_() if old is None else buffer.copy_(old)


class _Noted:
    """The gradient that stood in `p.grad` at one moment, known by one tensor and its version."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._tensor: Callable[[], Tensor | None] = _nothing
        self._version = 0

    def note(self) -> None:
        """It is the one that stands there now."""
        gradient = self._standing()
        self._tensor = _nothing if gradient is None else weakref.ref(gradient)
        self._version = 0 if gradient is None else local(gradient)._version

    def forget(self) -> None:
        """None is."""
        self._tensor = _nothing

    def _held(self) -> Iterator[Tensor]:
        return (p for group in self._optimizer.param_groups for p in group["params"])

    def _standing(self) -> Tensor | None:
        return next((p.grad for p in self._held() if p.grad is not None and p.requires_grad), None)

    def _stands(self) -> bool:
        gradient = self._standing()
        return gradient is not None and self._tensor() is gradient and local(gradient)._version == self._version


@final
class LeftGradient(_Noted):
    """The gradient that the last flow has left: what a further micro-batch adds to."""

    @torch.no_grad()
    def stands(self, weights: Weights) -> bool:
        """Whether it, or what has been made of it, still stands there: ``zero_grad(set_to_none=False)`` leaves zeros.

        Their values are looked at, on all ranks, only if somebody has written to them or they have been loaded.
        """
        if self._stands() or self._standing() is None:
            return self._stands()
        gradients = [local_gradient(p) for p in weights.parameters]
        filled = [w.new_zeros(()) if g is None else g for g, w in zip(gradients, weights.tensors, strict=True)]
        return bool(weights.norm(filled) != 0.0)


@final
class SteppedGradient(_Noted):
    """The gradient that an optimizer has used last."""

    def refuse(self) -> None:
        """Raise StaleGradientError if it still stands; ``p.grad.data.zero_()`` clears it, though no version tells."""
        if self._stands() and any(bool(local(g).any()) for p in self._held() if (g := p.grad) is not None):
            raise StaleGradientError(
                "cannot begin a step while the gradient of the last one stands in p.grad, because it would be added to "
                "the new one; call optimizer.zero_grad() after optimizer.step() or before the loop over passes() "
                "(inside the body it clears only what the passes themselves compute)"
            )

    def refuse_again(self) -> None:
        """Raise StaleGradientError if it still stands, for an optimizer that is about to use it once more."""
        if self._stands():
            raise StaleGradientError(
                "cannot step the optimizer with a gradient that it has just used, because step(closure) and stepping() "
                "take the step themselves; leave optimizer.step() out"
            )

    def refuse_accumulated(self) -> None:
        """Raise StaleGradientError if another gradient, one that has not been used, stands there."""
        gradient = self._standing()
        if gradient is not None and not self._stands() and bool(local(gradient).any()):
            raise StaleGradientError(
                "cannot run step(closure), or stepping(), on an accumulated gradient, because each micro-batch of it "
                "needs passes of its own; loop over passes() for every micro-batch and step the base optimizer, or "
                "call zero_grad() and leave the first backward to the closure"
            )


def _nothing() -> None:
    return None
