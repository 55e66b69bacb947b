"""Adapters: how an optimizer under test is driven, one class per protocol seen in the wild.

A row speaks to a subject through `differentiate(index)`: it runs forward and backward of the pass with that number, and
returns the loss. How often it is called, and what happens in between, is up to the subject.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

from samnesia.conformance.outcome import NotApplicable
from samnesia.conformance.setup import Claims

Differentiate = Callable[[int], Tensor]


def _nothing() -> None:
    return None


class Subject(ABC):
    """An optimizer under test behind the protocol it is used by; derive from it for a protocol of your own.

    Args:
        optimizer: the object a training script holds: schedulers and hooks are put on it, checkpoints taken of it.
        claims: what the subject says of itself.
    """

    def __init__(self, optimizer: Any, claims: Claims | None = None) -> None:
        self.optimizer: Any = optimizer
        self.claims = claims or Claims()

    @abstractmethod
    def step(self, differentiate: Differentiate, *, final: Callable[[], None] = _nothing) -> None:
        """One training step; `final` goes where the protocol shows the gradient that is about to be stepped.

        A script would clip it there. A closure protocol has no such place but the closure itself, in every pass.
        """

    def scaled_step(self, differentiate: Differentiate, scaler: torch.amp.GradScaler) -> None:
        """One step with losses scaled by `scaler`, its update included; NotApplicable if the protocol has no place."""
        raise NotApplicable("its protocol is a closure, and torch's GradScaler refuses closures: see row 72")

    def closure_step(self, closure: Callable[[], Tensor]) -> Any:
        """`optimizer.step(closure)`, with torch's convention for closures; NotApplicable if there is no such way."""
        raise NotApplicable("offers no step(closure)")

    def abandon(self) -> None:  # noqa: B027 (most have nothing to do)
        """What a script does after an error in the middle of a step, if the subject says that it must."""

    def state_dict(self) -> dict[str, Any]:
        """All that a script saves of the subject."""
        state: dict[str, Any] = self.optimizer.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what `state_dict` returned."""
        self.optimizer.load_state_dict(state)


class TwoStep(Subject):
    """`first_step()` and `second_step()`, as davda54/sam made them known.

    Args:
        halves: the object with the two methods.
        optimizer: what schedulers and hooks are put on, if that is another object.
        close: called after an error between the two halves, if the subject has a way to undo the first.
    """

    def __init__(
        self,
        halves: Any,
        claims: Claims | None = None,
        *,
        optimizer: torch.optim.Optimizer | None = None,
        close: Callable[[], None] = _nothing,
    ) -> None:
        super().__init__(halves if optimizer is None else optimizer, claims)
        self.halves = halves
        self.close = close

    def step(self, differentiate: Differentiate, *, final: Callable[[], None] = _nothing) -> None:
        """Backward, first half, backward, second half."""
        differentiate(0)
        self.halves.first_step(zero_grad=True)
        differentiate(1)
        final()
        self.halves.second_step(zero_grad=True)

    def scaled_step(self, differentiate: Differentiate, scaler: torch.amp.GradScaler) -> None:
        """Unscale by hand in the first half, because a scaler does it once per step, and by the scaler in the second.

        There is no place for `scaler.step`: whether a step that overflowed is skipped is up to `second_step`.
        """
        differentiate(0)
        for group in self.optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad.div_(scaler.get_scale())
        self.halves.first_step(zero_grad=True)
        differentiate(1)
        scaler.unscale_(self.optimizer)
        self.halves.second_step(zero_grad=True)
        scaler.update()

    def abandon(self) -> None:
        """Call `close`."""
        self.close()


class Closure(Subject):
    """`step(closure)`, the closure being zero_grad, forward and backward.

    Args:
        gradient_first: True where the subject wants the gradient of the first pass to stand in `p.grad` before
            `step(closure)`, and calls the closure for the others only. False is torch's convention: the closure runs
            first, once per pass.
    """

    def __init__(self, optimizer: Any, claims: Claims | None = None, *, gradient_first: bool = False) -> None:
        super().__init__(optimizer, claims)
        self.gradient_first = gradient_first

    def step(self, differentiate: Differentiate, *, final: Callable[[], None] = _nothing) -> None:
        """Number the calls of the closure."""
        calls = 0

        def closure() -> Tensor:
            nonlocal calls
            self.optimizer.zero_grad()
            calls += 1
            loss = differentiate(calls - 1)
            final()
            return loss

        if self.gradient_first:
            closure()
        self.optimizer.step(closure)
        self.optimizer.zero_grad()

    def closure_step(self, closure: Callable[[], Tensor]) -> Any:
        """As a framework that owns the loop calls it: without a gradient beforehand."""
        return self.optimizer.step(closure)


class PassesMethod(Protocol):
    """What `Passes` drives: `samnesia.PerturbedGradient`, or anything of that shape."""

    optimizer: torch.optim.Optimizer

    def passes(self) -> Iterable[Any]:
        """The passes of one step."""
        ...

    def step(self, closure: Callable[[], Any]) -> Any:
        """All passes by a closure, and the step."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What the method keeps."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load it."""
        ...


class Passes(Subject):
    """A loop over `method.passes()`, then the user's own optimizer: samnesia's protocol."""

    def __init__(self, method: PassesMethod, claims: Claims | None = None) -> None:
        super().__init__(method.optimizer, claims)
        self.method = method

    def step(self, differentiate: Differentiate, *, final: Callable[[], None] = _nothing) -> None:
        """Differentiate in every pass, then step."""
        for index, _ in enumerate(self.method.passes()):
            differentiate(index)
        final()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def scaled_step(self, differentiate: Differentiate, scaler: torch.amp.GradScaler) -> None:
        """As torch documents it, the loop over passes in the place of the backward."""
        for index, _ in enumerate(self.method.passes()):
            differentiate(index)
        scaler.step(self.optimizer)
        scaler.update()
        self.optimizer.zero_grad()

    def closure_step(self, closure: Callable[[], Tensor]) -> Any:
        """The method's own driver."""
        return self.method.step(closure)

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's state and the method's."""
        return {"optimizer": self.optimizer.state_dict(), "method": self.method.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load both."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.method.load_state_dict(state["method"])
