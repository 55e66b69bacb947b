"""The global random generators, lent to the transforms of torchvision and timm, which know no others."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from samnesia.data.draws import words


@contextmanager
def preserved_generators() -> Iterator[None]:
    """Leave the generators of Python, NumPy and torch (on the CPU) as they were found."""
    python, numpy, tensors = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.default_generator.set_state(tensors)


def seed_generators(key: tuple[int, ...]) -> None:
    """Seed the three from a key (see :mod:`samnesia.data.draws`)."""
    first, second, third = words(3, key=key).tolist()
    random.seed(first)
    np.random.seed([second >> 32, second & 0xFFFFFFFF])
    torch.default_generator.manual_seed(third >> 1)  # torch.manual_seed would seed the GPUs' as well
