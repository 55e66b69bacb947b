"""Digital: contrast, elastic, pixelate, JPEG and saturation."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samnesia.data.corruptions.kinds import BRIGHTEST, Corruption, Images, levels
from samnesia.data.corruptions.resampling import smoothed
from samnesia.data.corruptions.sampling import Draws, Floats
from samnesia.extras import require


@dataclass(frozen=True)
class Contrast(Corruption):
    """``mean + factor * (x - mean)`` with the mean of each channel over the image."""

    factor: float

    def of(self, images: Images, scale: float, draws: Draws) -> Images:
        """Paler images."""
        mean = images.mean(axis=(2, 3), keepdims=True)
        paler: Images = mean + self.factor * (images - mean)
        return paler


@dataclass(frozen=True)
class Elastic(Corruption):
    """The image is warped: moved, turned and stretched as a whole, and each pixel by a smooth random field.

    Three points, a third of the shorter side from the centre, are moved by uniform numbers and carry the plane with
    them; the field is uniform noise of -1 to 1, smoothed by a Gaussian, times ``size``. Both are one interpolation,
    which is linear; beyond the border images are mirrored.
    """

    size: float
    """Of the field before it is smoothed, in pixels."""
    sigma: float
    """Standard deviation of the Gaussian in pixels."""
    affine: float
    """How far the three points are moved at most on each axis, in pixels."""

    def of(self, images: Images, scale: float, draws: Draws) -> Images:
        """Warped images."""
        mapped = require("scipy.ndimage", extra="train").map_coordinates
        places = self._places(images.shape[2:], scale, draws)
        warped: Images = np.empty_like(images)
        for image, own, target in zip(images, places, warped, strict=True):
            for channel, row in zip(image, target, strict=True):
                mapped(channel, own, output=row, order=1, mode="reflect")
        return warped

    def _places(self, shape: tuple[int, ...], scale: float, draws: Draws) -> Floats:
        """Where each pixel is taken from, row and column; shape ``[n, 2, height, width]``."""
        noise = 2.0 * draws.uniforms(2, *shape) - 1.0
        field = smoothed(noise, self.sigma * scale, mode="reflect", truncate=3.0) * (self.size * scale)
        middle, third = np.array(shape) // 2, min(shape) // 3
        points = middle + third * np.array([[1, 1], [1, -1], [-1, -1]])
        moved = points + self.affine * scale * (2.0 * draws.uniforms(3, 2, part=1) - 1.0)
        # rows of a map that takes (row, column, 1) of each point to where it was moved
        plane = np.linalg.solve(np.column_stack([points, np.ones(3)]), moved)
        grid = np.indices(shape) + field
        linear = np.einsum("nij,nihw->njhw", plane[:, :2], grid)
        places: Floats = linear + plane[:, 2, :, None, None]
        return places


@dataclass(frozen=True)
class Pixelate(Corruption):
    """Reduced to a share of their side, and enlarged again, by Pillow's box filter."""

    share: float

    def of(self, images: Images, scale: float, draws: Draws) -> Images:
        """Coarser images."""
        box = require("PIL.Image", extra="train").Resampling.BOX
        height, width = images.shape[2:]
        small = (max(1, int(self.share * width)), max(1, int(self.share * height)))
        return _pictures(images, lambda picture: picture.resize(small, box).resize((width, height), box))


@dataclass(frozen=True)
class Jpeg(Corruption):
    """Written as JPEG by Pillow, and read again."""

    quality: int

    def of(self, images: Images, scale: float, draws: Draws) -> Images:
        """Compressed images."""
        pillow = require("PIL.Image", extra="train")

        def compressed(picture: Any) -> Any:
            file = BytesIO()
            picture.save(file, "JPEG", quality=self.quality)
            return pillow.open(file)

        return _pictures(images, compressed)


@dataclass(frozen=True)
class Saturate(Corruption):
    """The saturation ``s`` of hue, saturation and value becomes ``factor * s + rise``, cut to 0 to 1.

    Grey pixels have the hue of red, as scikit-image has it, so that a rise makes them reddish.
    """

    factor: float
    rise: float

    def of(self, images: Images, scale: float, draws: Draws) -> Images:
        """Paler or more colourful images, of three channels."""
        value, low = images.max(axis=1, keepdims=True), images.min(axis=1, keepdims=True)
        span = value - low
        before = span / np.where(value > 0.0, value, 1.0)
        after = np.clip(self.factor * before + self.rise, 0.0, 1.0)
        # each channel's distance below the value is the saturation times its share of the span
        red = np.array([0.0, 1.0, 1.0])[None, :, None, None]
        share = np.where(span > 0.0, (value - images) / np.where(span > 0.0, span, 1.0), red)
        changed: Images = value * (1.0 - after * share)
        return changed


def _pictures(images: Images, change: Any) -> Images:
    """Each image, changed as one of Pillow's."""
    made = require("PIL.Image", extra="train").fromarray
    stored = levels(images)
    changed: list[NDArray[np.uint8]] = []
    for one in stored:
        picture = np.asarray(change(made(one[0] if len(one) == 1 else np.ascontiguousarray(one.transpose(1, 2, 0)))))
        changed.append(picture[None] if len(one) == 1 else picture.transpose(2, 0, 1))
    return np.stack(changed).astype(np.float64) / BRIGHTEST
