"""Weather: snow, frost, fog and brightness; and spatter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from samnesia.data.corruptions.kinds import Corruption, Images, Layers, grey, tint
from samnesia.data.corruptions.resampling import magnified, smeared, smoothed
from samnesia.data.corruptions.sampling import Draws
from samnesia.data.corruptions.textures import crystals, drops, plasma
from samnesia.extras import require

FROST = (0.80, 0.90, 1.00)
WATER = (175 / 255, 238 / 255, 238 / 255)
MUD = (63 / 255, 42 / 255, 20 / 255)


@dataclass(frozen=True)
class Snow(Corruption):
    """A lightened image under flakes that fall: ``x' + flakes + flakes turned by 180 degrees``.

    Flakes are normal noise, enlarged, cut below a threshold, and smeared at an angle of -135 to -45 degrees;
    ``x' = share * x + (1 - share) * max(x, 1.5 * grey(x) + 0.5)``.
    """

    mean: float
    std: float
    flake: float
    """What the noise is enlarged by: pixels a flake has."""
    threshold: float
    radius: float
    """Half the length of the way in pixels."""
    sigma: float
    """Standard deviation of the motion's Gaussian in pixels."""
    share: float

    def of(self, images: Images, scale: float, draws: Draws) -> Images:
        """Images in the snow."""
        noise = self.mean + self.std * draws.normals(*images.shape[2:])
        layer = magnified(noise[:, None], max(1.0, self.flake * scale))
        layer = np.clip(np.where(layer < self.threshold, 0.0, layer), 0.0, 1.0)
        angles = -135.0 + 90.0 * draws.uniforms(part=1)
        flakes = smeared(layer, angles, radius=self.radius * scale, sigma=self.sigma * scale)
        light = np.maximum(images, 1.5 * grey(images)[:, None] + 0.5)
        return self.share * images + (1.0 - self.share) * light + flakes + flakes[:, :, ::-1, ::-1]


@dataclass(frozen=True)
class Frost(Corruption):
    """``image * x + frost * f`` with crystals ``f`` that are drawn, where ImageNet-C has photographs of frost."""

    image: float
    frost: float

    def of(self, images: Images, scale: float, draws: Draws) -> Images:
        """Images behind frost."""
        layer = crystals(draws, *images.shape[2:])[:, None] * tint(FROST, images.shape[1])
        return self.image * images + self.frost * layer


@dataclass(frozen=True)
class Fog(Corruption):
    """``(x + density * plasma) * m / (m + density)`` with the largest pixel ``m`` of the image."""

    density: float
    decay: float
    """Of the plasma: the lower, the more wisps."""

    def of(self, images: Images, scale: float, draws: Draws) -> Images:
        """Images in fog."""
        most = images.max(axis=(1, 2, 3), keepdims=True)
        layer = plasma(draws, *images.shape[2:], decay=self.decay)[:, None]
        foggy: Images = (images + self.density * layer) * most / (most + self.density)
        return foggy


@dataclass(frozen=True)
class Brightness(Corruption):
    """The value of hue, saturation and value is raised, at most to 1; what is black becomes grey."""

    rise: float

    def of(self, images: Images, scale: float, draws: Draws) -> Images:
        """Brighter images."""
        value = images.max(axis=1, keepdims=True)
        raised = np.minimum(value + self.rise, 1.0)
        brighter: Images = np.where(value > 0.0, images * raised / np.where(value > 0.0, value, 1.0), raised)
        return brighter


@dataclass(frozen=True)
class Water(Corruption):
    """Drops of water, lighter where they face the light at the top left: ``x + strength * m * colour``.

    ``m`` is smoothed noise above a threshold, times how much the drop slopes towards the light, over its maximum.
    """

    mean: float
    std: float
    sigma: float
    """Of the smoothing, in pixels."""
    threshold: float
    strength: float
    deepest: float = 20.0
    """Pixels from the edge on which a drop rises."""

    def of(self, images: Images, scale: float, draws: Draws) -> Images:
        """Wet images."""
        noise = drops(draws, *images.shape[2:], mean=self.mean, std=self.std, sigma=self.sigma * scale)
        liquid = np.where(noise < self.threshold, 0.0, noise)
        layer = liquid * self._shine(liquid, scale)
        layer /= np.maximum(layer.max(axis=(1, 2), keepdims=True), 1e-12)
        return images + self.strength * layer[:, None] * tint(WATER, images.shape[1])

    def _shine(self, liquid: Layers, scale: float) -> Layers:
        """0.25 on the side of the drop that is turned away, to 1 on that towards the light."""
        distance = require("scipy.ndimage", extra="train").distance_transform_edt
        # a dry frame, so that drops end at the border, and there is an edge in every image
        framed = np.pad(liquid > 0.0, ((0, 0), (1, 1), (1, 1)))
        height = np.minimum(np.stack([distance(one) for one in framed]), max(1.0, self.deepest * scale))
        slope = (height[:, 2:, 2:] - height[:, :-2, :-2]) / (2.0 * np.sqrt(2.0))
        shine: Layers = 0.625 + 0.375 * np.clip(slope, -1.0, 1.0)
        return shine


@dataclass(frozen=True)
class Mud(Corruption):
    """Splashes of mud that hide what is behind: ``x * (1 - m) + m * colour``.

    ``m`` is where smoothed noise is above a threshold, smoothed again, and nothing below 0.8.
    """

    mean: float
    std: float
    sigma: float
    """Of the first smoothing, in pixels."""
    threshold: float
    edge: float
    """Of the second, in pixels."""

    def of(self, images: Images, scale: float, draws: Draws) -> Images:
        """Dirty images."""
        noise = drops(draws, *images.shape[2:], mean=self.mean, std=self.std, sigma=self.sigma * scale)
        layer = smoothed((noise > self.threshold).astype(np.float64), self.edge * scale)
        layer = np.where(layer < 0.8, 0.0, layer)[:, None]
        return images * (1.0 - layer) + layer * tint(MUD, images.shape[1])
