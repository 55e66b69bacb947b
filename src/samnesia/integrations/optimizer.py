"""A method as a `torch.optim.Optimizer`, for frameworks that own the loop and call ``step(closure)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch

from samnesia.perturb.errors import PassesError
from samnesia.perturb.flow.passes import PerturbedGradient


@final
class PerturbedOptimizer(torch.optim.Optimizer):
    """A true optimizer over a method: `step(closure)` runs the method's passes and steps the base optimizer.

    Groups and state are the base optimizer's own, by identity; `state_dict` is the base's with the method's state
    beside it under "samnesia". Hooks registered here see one step per step, as do schedulers attached here or to the
    base. `torch.distributed.checkpoint` should be given the base optimizer, ``method.optimizer``: it steps optimizers
    without a closure. Build it with `as_optimizer`.
    """

    def __init__(self, method: PerturbedGradient) -> None:
        # not Optimizer.__init__, which would give this object groups and state of its own
        self.method = method
        super().__setstate__({"defaults": method.optimizer.defaults})
        self._warned_capturable_if_run_uncaptured = True

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The base optimizer's groups."""
        return self.method.optimizer.param_groups

    @param_groups.setter
    def param_groups(self, groups: list[dict[str, Any]]) -> None:
        self.method.optimizer.param_groups = groups

    @property
    def state(self) -> Any:
        """The base optimizer's state."""
        return self.method.optimizer.state

    @state.setter
    def state(self, state: Any) -> None:
        self.method.optimizer.state = state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Run `closure` once per pass, first of all, and step; returns the loss of the first pass.

        Raises PassesError without a closure, as under a gradient scaler: then loop over `passes()` instead.
        """
        if closure is None:
            raise PassesError(
                "cannot step without a closure, because the method needs the gradient more than once; call "
                "step(closure) with zero_grad, forward and backward in it, or loop over method.passes() and step the "
                "base optimizer (the way to use a GradScaler)"
            )
        return self.method.step(closure)

    def state_dict(self) -> dict[str, Any]:
        """The base optimizer's state dict, with the method's state under "samnesia"."""
        for before in self._optimizer_state_dict_pre_hooks.values():
            before(self)
        state = {**self.method.optimizer.state_dict(), "samnesia": self.method.state_dict()}
        for after in self._optimizer_state_dict_post_hooks.values():
            state = after(self, state) or state
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state dict of this class, or one of the base optimizer alone: the step count then stays as it is."""
        base = dict(state_dict)
        for before in self._optimizer_load_state_dict_pre_hooks.values():
            base = before(self, base) or base
        method_state = base.pop("samnesia", None)
        if method_state is not None:
            self.method.load_state_dict(method_state)  # first: it may be refused
        self.method.optimizer.load_state_dict(base)
        for after in self._optimizer_load_state_dict_post_hooks.values():
            after(self)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group to the base optimizer."""
        self.method.optimizer.add_param_group(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of the base optimizer's parameters."""
        self.method.optimizer.zero_grad(set_to_none)

    def __getstate__(self) -> dict[str, Any]:
        """The method, which holds everything."""
        return {"method": self.method}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild around the copied method."""
        self.__init__(state["method"])


def as_optimizer(method: PerturbedGradient) -> PerturbedOptimizer:
    """`method` as a `torch.optim.Optimizer` whose `step(closure)` does all its passes."""
    return PerturbedOptimizer(method)
