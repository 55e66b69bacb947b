"""Augmentation of small images in memory, drawn per image so that it is the same however the images are batched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from samnesia.data.draws import AUGMENT, integers


@dataclass(frozen=True)
class Shift:
    """Move every image by up to ``pixels`` along both axes; what is left free repeats the border.

    Each of the ``(2 pixels + 1)**2`` displacements is equally likely, independently for each image and epoch: they
    are a function of (seed, epoch, index).
    """

    pixels: int
    seed: int

    def __call__(self, images: Tensor, epoch: int, indices: Sequence[int]) -> Tensor:
        """Return the images, shape ``[n, channels, height, width]``, moved as their indices are in this epoch."""
        span = 2 * self.pixels + 1
        draws = [integers(2, below=span, key=(self.seed, AUGMENT, epoch, int(index))) for index in indices]
        offsets = torch.from_numpy(np.stack(draws, axis=1))[:, :, None]
        count, channels, height, width = images.shape
        padded = F.pad(images, (self.pixels,) * 4, mode="replicate")
        rows = (offsets[0] + torch.arange(height))[:, None, :, None]
        columns = (offsets[1] + torch.arange(width))[:, None, None, :]
        sample = torch.arange(count)[:, None, None, None]
        channel = torch.arange(channels)[None, :, None, None]
        return padded[sample, channel, rows, columns]
