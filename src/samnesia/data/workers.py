"""Processes that load data: they end when the process that trains says so or is gone, and not before."""

from __future__ import annotations

import os
import signal
import threading

LOOK_EVERY_SECONDS = 0.5


def heed_only(parent: int, _: int) -> None:
    """Let a loading process be ended by its parent alone, or by its parent's end.

    A terminal's Ctrl-C and a batch system's request to terminate reach every process of a run. The one that trains
    answers them, with a checkpoint; it needs its loaders until the end of the step. If it is killed, its loaders end:
    also one that was not yet at work, whose parent is then another process from the beginning.

    Args:
        parent: process ID of the process that trains.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        while os.getppid() == parent:
            asked = signal.sigtimedwait({signal.SIGTERM}, LOOK_EVERY_SECONDS)
            if asked is not None and asked.si_pid == parent:
                break
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
