"""The global random generators of a process: seeded for a run, and left as they were found.

Torch's are saved with a run and restored. Those of Python and NumPy are seeded anew before every step: packages that
are imported late draw from them, at other places in a resumed run than in an unbroken one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from samnesia.data.draws import words
from samnesia.data.generators import preserved_generators

RANK, STEP, PLACE = 1000, 1001, 1002
"""Second entries of keys, after the seed: what a rank other than the first draws, what a step draws, and the place on a
subspace at which a step stands."""


def torch_state() -> dict[str, Any]:
    """Return the state of torch's generators."""
    return {
        "cpu": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_torch(saved: dict[str, Any]) -> None:
    """Give torch's generators the state that :func:`torch_state` returned."""
    torch.set_rng_state(saved["cpu"])
    if saved["cuda"]:
        torch.cuda.set_rng_state_all(saved["cuda"])


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Seed all generators, the same on every rank, and give them back as they were."""
    before = torch_state()
    with preserved_generators():
        random.seed(seed)
        np.random.seed(seed % 2**32)
        seed_torch(seed)
        try:
            yield
        finally:
            restore_torch(before)


def seed_torch(seed: int) -> None:
    """Seed torch's generators as `torch.manual_seed` does, but not those of devices that are not there.

    For each of them it would keep the call and where it came from: too much, where a run seeds thousands of times.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)


def seed_rank(seed: int, rank: int) -> None:
    """Let ranks other than the first draw other numbers from here on: dropout must not be the same on all."""
    if rank:
        seed_torch(int(words(1, key=(seed, RANK, rank))[0] >> np.uint64(1)))


def generator(seed: int, purpose: int, step: int) -> torch.Generator:
    """Return a generator of the CPU for what a step draws for one purpose: the same on every rank."""
    return torch.Generator().manual_seed(int(words(1, key=(seed, purpose, step))[0] >> np.uint64(1)))


def seed_step(seed: int, rank: int, step: int) -> None:
    """Let what a step draws from the generators of Python and NumPy be a function of the step."""
    first, second = words(2, key=(seed, STEP, rank, step)).tolist()
    random.seed(first)
    np.random.seed([second >> 32, second & 0xFFFFFFFF])
