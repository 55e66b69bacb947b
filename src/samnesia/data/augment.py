"""Augmentation of small images, drawn from a key so that an epoch is the same however it is batched."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from samnesia.data.draws import integers


def shift(images: Tensor, pixels: int, *, key: tuple[int, ...]) -> Tensor:
    """Move every image by up to ``pixels`` along both axes; what is left free repeats the border.

    Each of the ``(2 pixels + 1)**2`` displacements is equally likely, independently for each image.

    Args:
        images: shape ``[n, channels, height, width]``.
        pixels: largest displacement.
        key: address of the draw, see :mod:`samnesia.data.draws`.
    """
    count, _, height, width = images.shape
    padded = F.pad(images, (pixels,) * 4, mode="replicate")
    offsets = torch.from_numpy(integers(2 * count, below=2 * pixels + 1, key=key)).view(2, count, 1)
    rows = (offsets[0] + torch.arange(height))[:, None, :, None]
    columns = (offsets[1] + torch.arange(width))[:, None, None, :]
    sample = torch.arange(count)[:, None, None, None]
    channel = torch.arange(images.shape[1])[None, :, None, None]
    return padded[sample, channel, rows, columns]
