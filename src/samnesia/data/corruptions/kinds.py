"""What a corruption is: what is done to images at one severity."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from samnesia.data.corruptions.sampling import Draws

Images = NDArray[np.float64]
"""Pixels of 0 to 1, shape ``[n, channels, height, width]``."""
Layers = NDArray[np.float64]
"""What is laid over images: shape ``[n, height, width]``."""

LUMINANCE = np.array([0.299, 0.587, 0.114])
"""Shares of red, green and blue in grey (ITU-R BT.601)."""
BRIGHTEST = 255


class Corruption(ABC):
    """What is done to images at one severity; a frozen dataclass of its constants."""

    @abstractmethod
    def of(self, images: Images, scale: float, draws: Draws) -> Images:
        """Corrupted images of the same shape; they are cut to 0 to 1 and rounded afterwards.

        Args:
            images: pixels.
            scale: factor of all lengths in pixels: the images' side over that which the constants are meant for.
            draws: random numbers of each image.
        """


def quantised(images: Images) -> Images:
    """Rounded to multiples of 1/255 from 0 to 1, as images are stored.

    Halves go up, and so does what is less than 1e-6 short of one: where exact arithmetic ends at a half, the last bit
    of a sum, in which machines differ, does not decide.
    """
    return np.floor(np.clip(images, 0.0, 1.0) * BRIGHTEST + (0.5 + 1e-6)) / BRIGHTEST


def levels(images: Images) -> NDArray[np.uint8]:
    """The same as whole numbers of 0 to 255."""
    return np.rint(quantised(images) * BRIGHTEST).astype(np.uint8)


def grey(images: Images) -> Layers:
    """Their luminance; images of one channel as they are."""
    if images.shape[1] == 1:
        return images[:, 0]
    found: Layers = np.einsum("nchw,c->nhw", images, LUMINANCE)
    return found


def tint(colour: tuple[float, float, float], channels: int) -> NDArray[np.float64]:
    """A colour for images of so many channels, shape ``[channels, 1, 1]``: of one channel it is its luminance."""
    found = np.array(colour) if channels == 3 else np.array([LUMINANCE @ np.array(colour)])
    return found[:, None, None]
