"""Random numbers of each sample: the same in every batch, on every process, and with every version of NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from samnesia.extras import require

Floats = NDArray[np.float64]

_APART = 210306068529402873165736369884012333109
"""Words between the stretches of two samples: what NumPy's ``PCG64.jumped`` moves by, a golden ratio of the period."""
_PERIOD = 2**128


@dataclass(frozen=True)
class Draws:
    """Random numbers for some samples, each sample's from a stretch of its own.

    They are made of raw 64-bit words, as in :mod:`samnesia.data.draws`; the normal ones through the inverse of their
    distribution function.
    """

    key: tuple[int, ...]
    """What they are for."""
    numbers: Sequence[int]
    """Of the samples in their split."""

    def of(self, start: int, end: int) -> Draws:
        """Those of some of the samples, by their places here."""
        return replace(self, numbers=self.numbers[start:end])

    def uniforms(self, *shape: int, part: int = 0) -> Floats:
        """Uniform in the open interval from 0 to 1, float64 of shape ``[n, *shape]``.

        Args:
            shape: of what is drawn for each sample.
            part: draws of different parts are independent of each other.
        """
        count = int(np.prod(shape))
        stream, at = np.random.PCG64(np.random.SeedSequence((*self.key, part))), 0
        words = np.empty((len(self.numbers), count), np.uint64)
        for row, number in zip(words, self.numbers, strict=True):
            begin = _APART * int(number)
            stream.advance((begin - at) % _PERIOD)
            row[:] = stream.random_raw(count)
            at = begin + count
        return (((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53).reshape(len(self.numbers), *shape)

    def normals(self, *shape: int, part: int = 0) -> Floats:
        """Normal with mean 0 and variance 1, float64 of shape ``[n, *shape]``."""
        found: Floats = require("scipy.special", extra="train").ndtri(self.uniforms(*shape, part=part))
        return found
