"""Which of several processes of one run this is, so that what all of them find out is told once.

Processes are started by ``torchrun``, which says in the environment which is which.
"""

from __future__ import annotations

import os
from datetime import timedelta


def alone() -> bool:
    """Whether this process is the only one of its run."""
    return int(os.environ.get("WORLD_SIZE", "1")) == 1


def leads() -> bool:
    """Whether this process is the one that reports what the run does."""
    return int(os.environ.get("RANK", "0")) == 0


def first_to_tell(what: str) -> bool:
    """Whether no other process of this run has told ``what`` yet; from now on it is told.

    The processes agree through torchrun's store, which also stands when they cannot reach each other any more. Where it
    cannot be reached, the process that leads tells.
    """
    if alone():
        return True
    import torch.distributed as dist

    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    try:
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = dist.TCPStore(  # type: ignore[attr-defined]
            host, port, is_master=False, timeout=timedelta(seconds=10)
        )
        return int(store.add(f"samnesia/told/{attempt}/{what}", 1)) == 1
    except (KeyError, ValueError, RuntimeError):
        return leads()
