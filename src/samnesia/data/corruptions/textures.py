"""Textures that are laid over images: a plasma, and frost."""

from __future__ import annotations

import numpy as np

from samnesia.data.corruptions.kinds import Layers
from samnesia.data.corruptions.resampling import smeared, smoothed
from samnesia.data.corruptions.sampling import Draws


def plasma(draws: Draws, height: int, width: int, *, decay: float, part: int = 0) -> Layers:
    """Clouds of 0 to 1, shape ``[n, height, width]``, by the diamond-square algorithm on a torus.

    Each halving of the grid puts a point between its four neighbours, at their mean plus a uniform number, whose size
    falls by ``decay**2`` from one halving to the next, as in the code of ImageNet-C. The torus has the next power of
    two a side, and is stretched to 0 to 1 before a corner of it is taken.
    """
    side = 1 << (max(height, width) - 1).bit_length()
    drawn, used = 2.0 * draws.uniforms(side * side, part=part) - 1.0, 0
    count = len(drawn)
    field = np.zeros((count, side, side))
    size, step = 1.0, side

    def moved(total: Layers) -> Layers:
        nonlocal used
        begin, used = used, used + total[0].size
        return total / 4.0 + size * drawn[:, begin:used].reshape(total.shape)

    while step > 1:
        half = step // 2
        corners = field[:, ::step, ::step]
        along = corners + np.roll(corners, -1, axis=2)
        down = corners + np.roll(corners, -1, axis=1)
        middles = moved(along + np.roll(along, -1, axis=1))
        field[:, half::step, half::step] = middles
        field[:, ::step, half::step] = moved(along + middles + np.roll(middles, 1, axis=1))
        field[:, half::step, ::step] = moved(down + middles + np.roll(middles, 1, axis=2))
        step, size = half, size / decay**2
    lowest = field.min(axis=(1, 2), keepdims=True)
    highest = field.max(axis=(1, 2), keepdims=True)
    stretched = (field - lowest) / np.maximum(highest - lowest, 1e-12)
    corner: Layers = stretched[:, :height, :width]
    return corner


def crystals(draws: Draws, height: int, width: int) -> Layers:
    """Frost of 0 to 1, shape ``[n, height, width]``; ours.

    Seeds, which are the few high values of noise, grow needles in six directions, 60 degrees apart; clouds decide where
    they are dense, and make the ground.
    """
    side = min(height, width)
    clouds = plasma(draws, height, width, decay=1.5)
    seeds = np.maximum(draws.normals(height, width, part=1) - 1.5, 0.0)
    seeds /= np.maximum(seeds.mean(axis=(1, 2), keepdims=True), 1e-12)
    first = 60.0 * draws.uniforms(part=2)
    needles = np.zeros_like(clouds)
    for turn in range(0, 360, 60):
        grown = smeared(seeds[:, None], first + turn, radius=side / 12, sigma=side / 18, beyond="constant")
        needles = np.maximum(needles, grown[:, 0])
    covered = 1.0 - np.exp(-needles * (0.1 + 1.9 * clouds**2))
    found: Layers = 0.1 + 0.3 * clouds + 0.6 * covered
    return found


def drops(draws: Draws, height: int, width: int, *, mean: float, std: float, sigma: float) -> Layers:
    """Normal noise, smoothed: where it is high, something has been spattered; shape ``[n, height, width]``."""
    return smoothed(mean + std * draws.normals(height, width), sigma)
