"""Textures that are laid over images: a plasma, and frost."""

from __future__ import annotations

import numpy as np

from samnesia.data.corruptions.kinds import Layers
from samnesia.data.corruptions.resampling import smoothed
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
    """Frost of 0 to 1, shape ``[n, height, width]``: bright veins between cells, in front of clouds; ours.

    Veins lie where a plasma passes its middle, fine ones where a rougher one does; clouds decide where frost is dense.
    """
    clouds = plasma(draws, height, width, decay=1.5)
    veins, fine = (
        1.0 - np.abs(2.0 * plasma(draws, height, width, decay=decay, part=part) - 1.0)
        for part, decay in ((1, 1.35), (2, 1.15))
    )
    found = 0.25 + 0.35 * clouds + 0.6 * veins**3 * clouds + 0.5 * fine**4 * clouds
    return np.clip(found, 0.0, 1.0)


def drops(draws: Draws, height: int, width: int, *, mean: float, std: float, sigma: float) -> Layers:
    """Normal noise, smoothed: where it is high, something has been spattered; shape ``[n, height, width]``."""
    return smoothed(mean + std * draws.normals(height, width), sigma)
