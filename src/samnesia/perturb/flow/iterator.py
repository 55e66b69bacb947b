"""The iterator that a user loops over: the passes of one flow."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import Self

import torch

from samnesia.perturb.flow.criteria import Pass


class Passes(Iterator[Pass]):
    """An iterator over the passes of one flow, which can be closed early (also as a context manager)."""

    def __init__(self, flow: Callable[[Callable[[], Passes | None]], Generator[Pass, None, None]]) -> None:
        self._generator = flow(weakref.ref(self))
        # a compiler of a whole training step leaves it alone: what a flow decides changes from step to step
        self._next: Callable[[Generator[Pass, None, None]], Pass] = torch.compiler.disable(next)

    def __next__(self) -> Pass:
        """Open the next pass, or finish the flow: restore the weights and leave the gradient in `p.grad`."""
        return self._next(self._generator)

    @property
    def under_way(self) -> bool:
        """Whether the first pass has begun and the flow has not ended yet."""
        return inspect.getgeneratorstate(self._generator) not in (inspect.GEN_CREATED, inspect.GEN_CLOSED)

    def close(self) -> None:
        """Abort: weights, gradients, buffers and random state are as they were before the flow."""
        self._generator.close()

    def __enter__(self) -> Self:
        """The iterator itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()
