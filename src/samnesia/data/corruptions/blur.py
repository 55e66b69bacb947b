"""Blur: Gaussian, out of focus, through frosted glass, in motion, and while zooming."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samnesia.data.corruptions.kinds import Corruption, Images
from samnesia.data.corruptions.resampling import magnified, smeared, smoothed
from samnesia.data.corruptions.sampling import Draws, Floats
from samnesia.extras import require


@dataclass(frozen=True)
class GaussianBlur(Corruption):
    """A Gaussian filter."""

    sigma: float
    """Standard deviation in pixels."""

    def of(self, images: Images, scale: float, draws: Draws) -> Images:
        """Blurred images."""
        return smoothed(images, self.sigma * scale)


@dataclass(frozen=True)
class DefocusBlur(Corruption):
    """A mean over a disc, whose edge is smoothed by a Gaussian."""

    radius: float
    """Of the disc in pixels."""
    edge: float
    """Standard deviation of the Gaussian in pixels."""

    def of(self, images: Images, scale: float, draws: Draws) -> Images:
        """Blurred images; beyond the border they are mirrored."""
        kernel = self._kernel(scale)
        reach = len(kernel) // 2
        padded = np.pad(images, ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="reflect")
        convolved = require("scipy.signal", extra="train").fftconvolve
        found: Images = convolved(padded, kernel[None, None], mode="valid", axes=(2, 3))
        return found

    def _kernel(self, scale: float) -> Floats:
        radius, edge = self.radius * scale, self.edge * scale
        reach = int(np.ceil(radius) + max(1, np.ceil(3.0 * edge)))
        offsets = np.arange(-reach, reach + 1)
        disc = (np.hypot(offsets[:, None], offsets[None]) <= radius).astype(np.float64)
        kernel = smoothed(disc, edge, mode="constant")
        shares: Floats = kernel / kernel.sum()
        return shares


@dataclass(frozen=True)
class GlassBlur(Corruption):
    """A Gaussian filter, pixels swapped with neighbours, and the filter again.

    In each round, all pixels in turn, from the last row to the first and from right to left, swap places with one that
    is drawn from ``-reach`` to ``reach - 1`` pixels away on each axis; where the share is below 1, the others stay.
    """

    sigma: float
    """Standard deviation in pixels."""
    reach: int
    """In pixels; rounded where it is scaled, and at least 1."""
    rounds: int
    share: float = 1.0
    """Of the pixels that are swapped."""

    def of(self, images: Images, scale: float, draws: Draws) -> Images:
        """Blurred images; the pixels of all channels move together."""
        count, channels, height, width = images.shape
        reach = max(1, round(self.reach * scale))
        flat = smoothed(images, self.sigma * scale).reshape(count, channels, -1)
        moves = np.floor(draws.uniforms(self.rounds, 2, height, width) * 2 * reach).astype(np.int64) - reach
        if self.share < 1.0:
            moves *= draws.uniforms(self.rounds, 1, height, width, part=1) < self.share
        moved = np.stack([one[:, _swapped(own, reach)] for one, own in zip(flat, moves, strict=True)])
        return smoothed(moved.reshape(images.shape), self.sigma * scale)


def _swapped(moves: NDArray[np.int64], reach: int) -> list[int]:
    """Where each pixel's value comes from after all swaps; ``moves`` has the shape ``[rounds, 2, height, width]``."""
    _, _, height, width = moves.shape
    order = list(range(height * width))
    rows, columns = (np.arange(length - reach, reach - 1, -1) for length in (height, width))
    inner = np.ix_(rows, columns)
    here = (rows[:, None] * width + columns).ravel()
    for down, right in moves:
        there = here + (down[inner] * width + right[inner]).ravel()
        for one, other in zip(here.tolist(), there.tolist(), strict=True):
            order[one], order[other] = order[other], order[one]
    return order


@dataclass(frozen=True)
class MotionBlur(Corruption):
    """A mean along a way, with the weights of half a Gaussian, at an angle of -45 to 45 degrees."""

    radius: float
    """Half the length of the way in pixels."""
    sigma: float
    """Standard deviation of the Gaussian in pixels."""

    def of(self, images: Images, scale: float, draws: Draws) -> Images:
        """Blurred images."""
        angles = 90.0 * draws.uniforms() - 45.0
        return smeared(images, angles, radius=self.radius * scale, sigma=self.sigma * scale)


@dataclass(frozen=True)
class ZoomBlur(Corruption):
    """The mean of the image and of it enlarged about its centre by 1, 1 + step, ..., 1 + (count - 1) * step."""

    count: int
    """How many are taken beside the image."""
    step: float

    def of(self, images: Images, scale: float, draws: Draws) -> Images:
        """Blurred images."""
        total = images.copy()
        for number in range(self.count):
            total += magnified(images, 1.0 + number * self.step)
        return total / (self.count + 1)
