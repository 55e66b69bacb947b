"""Processes that load data: they end when the process that trains says so, and not before."""

from __future__ import annotations

import os
import signal
import threading


def heed_parent_only(_: int) -> None:
    """Let a loading process be ended by its parent alone.

    A terminal's Ctrl-C and a batch system's request to terminate reach every process of a run. The one that trains
    answers them, with a checkpoint; it needs its loaders until the end of the step.
    """
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
