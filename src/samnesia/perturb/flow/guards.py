"""Hooks on the user's optimizer and model. They hold their method weakly, die with it, and are inert in copies."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any


class Hook:
    """A hook that calls a bound method of one method of the family, with `arguments` in place of the hook's own.

    Models are deep-copied (weight averaging) and pickled with their hooks: the copy must not drag the method along, nor
    act on its behalf.
    """

    def __init__(self, call: Callable[..., None] | None, *arguments: Any) -> None:
        self._call: Callable[[], Callable[..., None] | None] = weakref.WeakMethod(call) if call else _gone
        self._arguments = arguments

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Call, unless the method is gone or this is a copy."""
        call = self._call()
        if call is not None:
            call(*self._arguments)

    def __deepcopy__(self, memo: dict[int, Any]) -> Hook:
        return Hook(None)

    def __reduce__(self) -> tuple[type[Hook], tuple[None]]:
        return (Hook, (None,))


class Guard(Hook):
    """A hook that refuses: also to be copied, because a copy of the model would hold the perturbed weights."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Hook:
        self()
        return super().__deepcopy__(memo)

    def __reduce__(self) -> tuple[type[Hook], tuple[None]]:
        self()
        return super().__reduce__()


def _gone() -> None:
    return None
