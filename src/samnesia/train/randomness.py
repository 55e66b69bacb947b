"""The global random generators of a process: seeded for a run, saved with it, and left as they were found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from samnesia.data.draws import words

RANK = 1000
"""Second entry of the key, after the seed, of what a rank other than the first draws in training."""


def state() -> dict[str, Any]:
    """Return the state of all generators as tensors and plain values."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    python = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [str(kind), torch.from_numpy(np.asarray(keys).copy()), int(position), int(has_gauss), float(gauss)],
        "python": [python[0], list(python[1]), python[2]],
    }


def restore(saved: dict[str, Any]) -> None:
    """Give all generators the state that :func:`state` returned."""
    torch.set_rng_state(saved["torch"])
    if saved["cuda"]:
        torch.cuda.set_rng_state_all(saved["cuda"])
    kind, keys, position, has_gauss, gauss = saved["numpy"]
    np.random.set_state((kind, keys.numpy(), position, has_gauss, gauss))
    version, internal, gauss_next = saved["python"]
    random.setstate((version, tuple(internal), gauss_next))


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Seed all generators, the same on every rank, and give them back as they were."""
    before = state()
    _seed(seed)
    try:
        yield
    finally:
        restore(before)


def seed_rank(seed: int, rank: int) -> None:
    """Let ranks other than the first draw other numbers from here on: dropout must not be the same on all."""
    if rank:
        _seed(int(words(1, key=(seed, RANK, rank))[0] >> np.uint64(1)))


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
