"""Corruptions as they are applied: to pixels of samples, by their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from samnesia.data.corruptions.families import Family
from samnesia.data.corruptions.kinds import quantised
from samnesia.data.corruptions.sampling import Draws
from samnesia.data.draws import CORRUPT
from samnesia.perturb.errors import ConfigurationError, UnsupportedError

SEVERITIES = (1, 2, 3, 4, 5)
LEAST_SIDE = 8
"""Pixels."""
_AT_ONCE = 2_000_000
"""Values that are worked on together: what several copies of them need, as float64, is some hundred MB."""


@dataclass(frozen=True)
class Corrupted:
    """A family of corruptions at a severity, as a change of pixels.

    What becomes of an image hangs on the seed, the family, the severity, the number of the sample and the image: not on
    the batch that it is in, nor on the process. The random numbers are the same on every machine; the pixels are so
    with the same versions of NumPy, SciPy and Pillow, but for a last bit of an arithmetic that may tip a rounding.

    Attributes:
        family: which.
        severity: 1 to 5.
        seed: of the random numbers.
    """

    family: Family
    severity: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ConfigurationError(
                f"cannot corrupt images with severity {self.severity}, because there are the severities 1 to 5; use "
                "one of them"
            )

    def __call__(self, pixels: Tensor, numbers: Sequence[int]) -> Tensor:
        """Return the corrupted images: multiples of 1/255 from 0 to 1, of the same shape, type and device.

        Args:
            pixels: of 0 to 1, shape ``[n, channels, height, width]``.
            numbers: of the samples in their split, n of them.

        Raises:
            UnsupportedError: for images with other than one or three channels, of less than 8 pixels a side, and for a
                family that does not apply to them.
        """
        _check(self.family, tuple(pixels.shape[1:]))
        images = pixels.detach().cpu().numpy().astype(np.float64)
        draws = Draws((self.seed, CORRUPT, self.family.number, self.severity), numbers)
        corruption, scale = self.family.at(self.severity, min(images.shape[2:]))
        size = max(1, _AT_ONCE // images[0].size) if len(images) else 1
        changed = np.empty_like(images)
        for start in range(0, len(images), size):
            end = start + size
            changed[start:end] = quantised(corruption.of(images[start:end], scale, draws.of(start, end)))
        return torch.from_numpy(changed).to(pixels)


def _check(family: Family, shape: tuple[int, ...]) -> None:
    if len(shape) != 3 or shape[0] not in (1, 3) or min(shape[1:]) < LEAST_SIDE:
        raise UnsupportedError(
            f"cannot corrupt samples of shape {list(shape)}, because corruptions are for images of shape [channels, "
            f"height, width] with 1 or 3 channels and {LEAST_SIDE} pixels a side or more; use data of that kind"
        )
    if reason := family.against(shape[0]):
        raise UnsupportedError(
            f"cannot corrupt images of {shape[0]} channel with {family.name}, because {reason}; leave it out"
        )
