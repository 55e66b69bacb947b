"""Random draws that stay the same from one NumPy to the next.

NumPy keeps the raw output of its bit generators and of ``SeedSequence`` stable, but not the streams of
``Generator.permutation`` and ``Generator.integers``. A data split that changes with the installed version makes old
results incomparable, so splits, label noise and shuffling are derived from the raw 64-bit words alone.

Every draw is addressed by a key of non-negative integers, such as ``(seed, SHUFFLE, epoch)``: draws under different
keys are independent, and no draw depends on how many were made before it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SPLIT, FLIP_TRAIN, FLIP_VALIDATION, SHUFFLE, AUGMENT, MIX = range(6)
MARK_TRAIN, MARK_VALIDATION, MARK_TEST, REGIONS, PATCHES, RECORD = range(6, 12)
CORRUPT, ATTACK = range(12, 14)
"""Second entry of a key, after the seed: what the draw is for."""


def words(count: int, *, key: tuple[int, ...]) -> NDArray[np.uint64]:
    """Return ``count`` independent words, uniform over the 64-bit integers."""
    return np.random.PCG64(np.random.SeedSequence(key)).random_raw(count)


def permutation(count: int, *, key: tuple[int, ...]) -> NDArray[np.int64]:
    """Return a uniformly random order of ``0, ..., count - 1``.

    The order is that of ``count`` random words; two of them are equal with probability below ``count**2 / 2**64``.
    """
    return np.argsort(words(count, key=key), kind="stable").astype(np.int64)


def integers(count: int, *, below: int, key: tuple[int, ...]) -> NDArray[np.int64]:
    """Return ``count`` integers of ``0, ..., below - 1``, uniform up to a bias of ``below / 2**64``."""
    return (words(count, key=key) % np.uint64(below)).astype(np.int64)


def uniforms(count: int, *, key: tuple[int, ...]) -> NDArray[np.float64]:
    """Return ``count`` numbers, uniform over the multiples of ``2**-53`` in [0, 1)."""
    return (words(count, key=key) >> np.uint64(11)).astype(np.float64) * 2.0**-53
