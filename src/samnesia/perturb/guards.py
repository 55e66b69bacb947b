"""Hooks on the user's optimizer and model. They hold the method weakly, die with it, and are inert in copies."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samnesia.perturb.passes import PerturbedGradient


class _Hook:
    """A hook that belongs to one method.

    Models are deep-copied (weight averaging) and pickled with their hooks: the copy must not drag the method along, nor
    refuse anything on its behalf.
    """

    def __init__(self, method: PerturbedGradient | None) -> None:
        self._method: Callable[[], PerturbedGradient | None] = weakref.ref(method) if method is not None else _no_method

    def __deepcopy__(self, memo: dict[int, Any]) -> _Hook:
        return _Hook(None)

    def __reduce__(self) -> tuple[Callable[..., _Hook], tuple[None]]:
        return (_Hook, (None,))

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the hook of a copy."""


class Guard(_Hook):
    """Refuses `action` while a flow of the method is open."""

    def __init__(self, method: PerturbedGradient, action: str) -> None:
        super().__init__(method)
        self._action = action

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Raise PassesOpenError inside passes()."""
        method = self._method()
        if method is not None:
            method._refuse_while_open(self._action)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Hook:
        self()  # a copy of the model would hold the perturbed weights
        return super().__deepcopy__(memo)

    def __reduce__(self) -> tuple[Callable[..., _Hook], tuple[None]]:
        self()
        return super().__reduce__()


class StepCounter(_Hook):
    """Counts the optimizer's real steps for the method."""

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Count one."""
        method = self._method()
        if method is not None:
            method._count()


def _no_method() -> None:
    return None
