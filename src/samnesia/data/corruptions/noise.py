"""Noise: Gaussian, shot, impulse and speckle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from samnesia.data.corruptions.kinds import BRIGHTEST, Corruption, Images, levels
from samnesia.data.corruptions.sampling import Draws
from samnesia.extras import require


@dataclass(frozen=True)
class GaussianNoise(Corruption):
    """``x + std * n`` with a standard normal ``n`` for each pixel and channel."""

    std: float

    def of(self, images: Images, scale: float, draws: Draws) -> Images:
        """Noisy images."""
        return images + self.std * draws.normals(*images.shape[1:])


@dataclass(frozen=True)
class SpeckleNoise(Corruption):
    """``x + std * n * x``: noise that is proportional to the pixel."""

    std: float

    def of(self, images: Images, scale: float, draws: Draws) -> Images:
        """Noisy images."""
        return images + self.std * draws.normals(*images.shape[1:]) * images


@dataclass(frozen=True)
class ImpulseNoise(Corruption):
    """A share of the values, each channel for itself, becomes 0 or 1, both equally likely (salt and pepper)."""

    share: float

    def of(self, images: Images, scale: float, draws: Draws) -> Images:
        """Noisy images."""
        drawn = draws.uniforms(*images.shape[1:])
        return np.where(drawn < 0.5 * self.share, 0.0, np.where(drawn > 1.0 - 0.5 * self.share, 1.0, images))


@dataclass(frozen=True)
class ShotNoise(Corruption):
    """``k / photons`` with ``k`` of a Poisson distribution of mean ``photons * x``: the noise of counted light.

    The mean is that of the stored level, a multiple of 1/255.
    """

    photons: float

    def of(self, images: Images, scale: float, draws: Draws) -> Images:
        """Noisy images: the inverse of the distribution function, by one sorted table of all 256 of them."""
        most = int(self.photons + 12.0 * np.sqrt(self.photons) + 12.0)
        counts, means = np.arange(most), self.photons * np.arange(BRIGHTEST + 1) / BRIGHTEST
        below = require("scipy.special", extra="train").pdtr(counts[None], means[:, None])
        level = levels(images).astype(np.int64)
        # each level's table is moved by the level, so that one search finds all
        table = (np.minimum(below, 1.0) + np.arange(BRIGHTEST + 1)[:, None]).ravel()
        found = np.searchsorted(table, level + draws.uniforms(*images.shape[1:])) - level * most
        counted: Images = np.maximum(found, 0) / self.photons
        return counted
