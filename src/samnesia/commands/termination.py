"""What a training process does when it is asked to end."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Self

from samnesia.processes import alone

if TYPE_CHECKING:
    from sys import UnraisableHookArgs


class Termination:
    """Takes note of SIGTERM, so that the step is finished and a checkpoint written; a context manager.

    A second SIGTERM, or Ctrl-C, interrupts at once. Of several processes none may leave the others on its own: there
    SIGTERM is repeated by torchrun, which also has the last word.
    """

    def __init__(self) -> None:
        self._asked = self._interrupted = False
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._open.enter_context(_handled(signal.SIGTERM, self._terminate))
            if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as in the background of a shell
                self._open.enter_context(_handled(signal.SIGINT, self._interrupt))
            self._open.enter_context(_quiet_about_interrupts())
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def asked(self) -> bool:
        """Whether the process was asked to terminate.

        Raises:
            KeyboardInterrupt: if it was interrupted. Python drops an exception that reaches it while an object is
                destroyed, such as the loader of an epoch that has ended; this is where it is noticed.
        """
        if self._interrupted:
            raise KeyboardInterrupt
        return self._asked

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        if self._asked and alone():
            self._interrupt(number, frame)
        self._asked = True

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._interrupted = True
        raise KeyboardInterrupt


@contextlib.contextmanager
def _handled(number: signal.Signals, handler: object) -> Iterator[None]:
    before = signal.signal(number, handler)  # type: ignore[arg-type]
    try:
        yield
    finally:
        signal.signal(number, before)


@contextlib.contextmanager
def _quiet_about_interrupts() -> Iterator[None]:
    """Print nothing about an interruption that Python drops."""
    before = sys.unraisablehook

    def report(unraisable: UnraisableHookArgs) -> None:
        if unraisable.exc_type is not KeyboardInterrupt:
            before(unraisable)

    sys.unraisablehook = report
    try:
        yield
    finally:
        sys.unraisablehook = before
