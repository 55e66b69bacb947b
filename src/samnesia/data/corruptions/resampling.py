"""Images smoothed, magnified and smeared."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from samnesia.extras import require

Floats = NDArray[np.float64]


def smoothed(images: Floats, sigma: float, *, mode: str = "nearest", truncate: float = 4.0) -> Floats:
    """A Gaussian filter of ``scipy.ndimage`` over the last two axes, as products with its matrices.

    Args:
        images: shape ``[..., height, width]``.
        sigma: standard deviation in pixels; 0 leaves them as they are.
        mode: how images go on beyond their border.
        truncate: the filter ends at so many standard deviations.
    """
    if sigma <= 0.0:
        return images
    height, width = images.shape[-2:]
    rows, columns = _gaussian(height, sigma, mode, truncate), _gaussian(width, sigma, mode, truncate)
    found: Floats = rows @ images @ columns.T
    return found


@lru_cache(maxsize=128)
def _gaussian(length: int, sigma: float, mode: str, truncate: float) -> Floats:
    filtered = require("scipy.ndimage", extra="train").gaussian_filter1d
    matrix: Floats = filtered(np.eye(length), sigma, axis=0, mode=mode, truncate=truncate)
    return matrix


def magnified(images: Floats, factor: float) -> Floats:
    """Enlarged about their centre, with linear interpolation; what lies beyond the border is lost.

    Args:
        images: shape ``[..., height, width]``.
        factor: 1 or more.
    """
    for axis in (-2, -1):
        length = images.shape[axis]
        centre = (length - 1) / 2.0
        places = centre + (np.arange(length) - centre) / factor
        low = np.minimum(places.astype(np.int64), length - 2)
        share = (places - low).reshape(-1, *[1] * (-1 - axis))
        images = images.take(low, axis) * (1.0 - share) + images.take(low + 1, axis) * share
    return images


def smeared(images: Floats, angles: Floats, *, radius: float, sigma: float, beyond: str = "edge") -> Floats:
    """Motion blur: each pixel is a mean along a way that starts at it, with the weights of half a Gaussian.

    The way is ``2 * ceil(radius) + 1`` pixels long, each rounded to the grid, as in ImageMagick's motion blur.

    Args:
        images: shape ``[n, channels, height, width]``.
        angles: of the ways, in degrees, shape ``[n]``.
        radius: in pixels.
        sigma: standard deviation of the Gaussian in pixels.
        beyond: how images go on beyond their border, as a mode of ``numpy.pad``: by their outermost pixels, or zeros.
    """
    height, width = images.shape[-2:]
    steps = np.arange(2 * int(np.ceil(radius)) + 1)
    weights = np.exp(-(steps**2) / (2.0 * sigma**2))
    weights /= weights.sum()
    margin = len(steps)
    room = ((0, 0), (0, 0), (margin, margin), (margin, margin))
    padded = np.pad(images, room, mode=beyond)  # type: ignore[call-overload]
    radians = np.deg2rad(angles)[:, None]
    down, right = ((margin + np.ceil(steps * slope(radians) - 0.5)).astype(int) for slope in (np.sin, np.cos))
    found = np.zeros_like(images)
    for image, source, tops, lefts in zip(found, padded, down.tolist(), right.tolist(), strict=True):
        for weight, top, left in zip(weights.tolist(), tops, lefts, strict=True):
            image += weight * source[:, top : top + height, left : left + width]
    return found
