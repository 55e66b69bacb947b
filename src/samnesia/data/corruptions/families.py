"""The families of corruptions and the constants of their severities.

The constants of 224 pixels are those published with ImageNet-C, and those of 32 pixels those of CIFAR-10-C, of the same
authors (Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations",
ICLR 2019, and the code they released); those of 8 pixels are ours. An image is given the constants whose side is
nearest to its shorter side in ratio, with lengths in pixels scaled to it: from 8 to 15 pixels, from 16 to 84, and
above.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from samnesia.data.corruptions.blur import DefocusBlur, GaussianBlur, GlassBlur, MotionBlur, ZoomBlur
from samnesia.data.corruptions.digital import Contrast, Elastic, Jpeg, Pixelate, Saturate
from samnesia.data.corruptions.kinds import Corruption
from samnesia.data.corruptions.noise import GaussianNoise, ImpulseNoise, ShotNoise, SpeckleNoise
from samnesia.data.corruptions.weather import Brightness, Fog, Frost, Mud, Snow, Water

Strengths = tuple[Corruption, ...]
"""Of the severities 1 to 5."""


@dataclass(frozen=True)
class Family:
    """A kind of corruption at five severities.

    Attributes:
        name: as in ImageNet-C, with hyphens.
        number: of its random draws; never given to another.
        kind: noise, blur, weather, digital.
        main: whether it is one of the 15 that the mean corruption error is about; the other four are for development.
        at_224: constants for images of 224 pixels a side.
        at_32: for 32 pixels.
        at_8: for 8 pixels.
        colours: whether it does something to colours alone.
    """

    name: str
    number: int
    kind: Literal["noise", "blur", "weather", "digital"]
    at_224: Strengths
    at_32: Strengths
    at_8: Strengths
    main: bool = True
    colours: bool = False

    @property
    def words(self) -> str:
        """For people: ``Gaussian noise``."""
        spaced = self.name.replace("-", " ")
        return {"jpeg": "JPEG"}.get(spaced, spaced[0].upper() + spaced[1:])

    def at(self, severity: int, side: int) -> tuple[Corruption, float]:
        """What is done to images of this side, the shorter one, and the factor of its lengths in pixels."""
        strengths = {224: self.at_224, 32: self.at_32, 8: self.at_8}
        meant = min(strengths, key=lambda known: abs(math.log(side / known)))
        return strengths[meant][severity - 1], side / meant

    def against(self, channels: int) -> str | None:
        """Why it does not apply to images of so many channels, in words; None if it does."""
        return "grey images have no colours" if self.colours and channels == 1 else None


def _five(kind: Callable[..., Corruption], *constants: float | tuple[float, ...]) -> Strengths:
    return tuple(kind(*(own if isinstance(own, tuple) else (own,))) for own in constants)


_ALL = (
    Family(
        "gaussian-noise", 0, "noise",
        at_224=_five(GaussianNoise, 0.08, 0.12, 0.18, 0.26, 0.38),
        at_32=_five(GaussianNoise, 0.04, 0.06, 0.08, 0.09, 0.10),
        at_8=_five(GaussianNoise, 0.08, 0.12, 0.18, 0.26, 0.38),
    ),
    Family(
        "shot-noise", 1, "noise",
        at_224=_five(ShotNoise, 60, 25, 12, 5, 3),
        at_32=_five(ShotNoise, 500, 250, 100, 75, 50),
        at_8=_five(ShotNoise, 60, 25, 12, 5, 3),
    ),
    Family(
        "impulse-noise", 2, "noise",
        at_224=_five(ImpulseNoise, 0.03, 0.06, 0.09, 0.17, 0.27),
        at_32=_five(ImpulseNoise, 0.01, 0.02, 0.03, 0.05, 0.07),
        at_8=_five(ImpulseNoise, 0.03, 0.06, 0.09, 0.17, 0.27),
    ),
    Family(
        "defocus-blur", 3, "blur",
        at_224=_five(DefocusBlur, (3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        at_32=_five(DefocusBlur, (0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        at_8=_five(DefocusBlur, (0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    ),
    Family(
        "glass-blur", 4, "blur",
        at_224=_five(GlassBlur, (0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        at_32=_five(GlassBlur, (0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        at_8=_five(
            GlassBlur, (0.3, 1, 1, 0.1), (0.3, 1, 1, 0.2), (0.4, 1, 1, 0.3), (0.4, 1, 1, 0.45), (0.4, 1, 1, 0.7)
        ),
    ),
    Family(
        "motion-blur", 5, "blur",
        at_224=_five(MotionBlur, (10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        at_32=_five(MotionBlur, (6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        at_8=_five(MotionBlur, (1, 0.5), (1, 0.7), (1, 1.0), (2, 1.2), (2, 1.6)),
    ),
    Family(
        "zoom-blur", 6, "blur",
        at_224=_five(ZoomBlur, (12, 0.01), (16, 0.01), (11, 0.02), (13, 0.02), (11, 0.03)),
        at_32=_five(ZoomBlur, (7, 0.01), (12, 0.01), (16, 0.01), (21, 0.01), (26, 0.01)),
        at_8=_five(ZoomBlur, (6, 0.03), (6, 0.06), (6, 0.09), (6, 0.12), (6, 0.15)),
    ),
    Family(
        "snow", 7, "weather",
        at_224=_five(
            Snow, (0.1, 0.3, 3, 0.5, 10, 4, 0.8), (0.2, 0.3, 2, 0.5, 12, 4, 0.7), (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65), (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        at_32=_five(
            Snow, (0.1, 0.2, 1, 0.6, 8, 3, 0.95), (0.1, 0.2, 1, 0.5, 10, 4, 0.9), (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85), (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        at_8=_five(
            Snow, (0.1, 0.2, 1, 0.5, 2, 1, 0.95), (0.1, 0.3, 1, 0.5, 2, 1, 0.9), (0.15, 0.3, 1, 0.5, 2, 1, 0.85),
            (0.25, 0.3, 1, 0.55, 3, 1.5, 0.8), (0.3, 0.3, 1, 0.5, 3, 2, 0.7),
        ),
    ),
    Family(
        "frost", 8, "weather",
        at_224=_five(Frost, (1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
        at_32=_five(Frost, (1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        at_8=_five(Frost, (1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.5), (0.75, 0.6)),
    ),
    Family(
        "fog", 9, "weather",
        at_224=_five(Fog, (1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        at_32=_five(Fog, (0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        at_8=_five(Fog, (0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    ),
    Family(
        "brightness", 10, "weather",
        at_224=_five(Brightness, 0.1, 0.2, 0.3, 0.4, 0.5),
        at_32=_five(Brightness, 0.05, 0.1, 0.15, 0.2, 0.3),
        at_8=_five(Brightness, 0.05, 0.1, 0.15, 0.2, 0.3),
    ),
    Family(
        "contrast", 11, "digital",
        at_224=_five(Contrast, 0.4, 0.3, 0.2, 0.1, 0.05),
        at_32=_five(Contrast, 0.75, 0.5, 0.4, 0.3, 0.15),
        at_8=_five(Contrast, 0.75, 0.5, 0.4, 0.3, 0.15),
    ),
    Family(
        "elastic-transform", 12, "digital",
        at_224=_five(
            Elastic, (488, 170.8, 24.4), (488, 19.52, 48.8), (12.2, 2.44, 4.88), (17.08, 2.44, 4.88),
            (29.28, 2.44, 4.88),
        ),
        at_32=_five(
            Elastic, (0, 0, 2.56), (1.6, 6.4, 2.24), (2.56, 1.92, 1.92), (3.2, 1.28, 1.6), (3.2, 0.96, 0.96)
        ),
        at_8=_five(Elastic, (0.3, 0.5, 0.3), (0.6, 0.5, 0.45), (1, 0.5, 0.6), (1.5, 0.5, 0.75), (2, 0.5, 0.9)),
    ),
    Family(
        "pixelate", 13, "digital",
        at_224=_five(Pixelate, 0.6, 0.5, 0.4, 0.3, 0.25),
        at_32=_five(Pixelate, 0.95, 0.9, 0.85, 0.75, 0.65),
        at_8=_five(Pixelate, 0.875, 0.75, 0.625, 0.5, 0.375),
    ),
    Family(
        "jpeg", 14, "digital",
        at_224=_five(Jpeg, 25, 18, 15, 10, 7),
        at_32=_five(Jpeg, 80, 65, 58, 50, 40),
        at_8=_five(Jpeg, 25, 18, 15, 10, 7),
    ),
    Family(
        "speckle-noise", 15, "noise",
        at_224=_five(SpeckleNoise, 0.15, 0.2, 0.35, 0.45, 0.6),
        at_32=_five(SpeckleNoise, 0.06, 0.1, 0.12, 0.16, 0.2),
        at_8=_five(SpeckleNoise, 0.15, 0.2, 0.35, 0.45, 0.6),
        main=False,
    ),
    Family(
        "gaussian-blur", 16, "blur",
        at_224=_five(GaussianBlur, 1, 2, 3, 4, 6),
        at_32=_five(GaussianBlur, 0.4, 0.6, 0.7, 0.8, 1),
        at_8=_five(GaussianBlur, 0.4, 0.6, 0.7, 0.8, 1),
        main=False,
    ),
    Family(
        "spatter", 17, "weather",
        at_224=(
            *_five(Water, (0.65, 0.3, 4, 0.69, 0.6), (0.65, 0.3, 3, 0.68, 0.6), (0.65, 0.3, 2, 0.68, 0.5)),
            *_five(Mud, (0.65, 0.3, 1, 0.65, 1.5), (0.67, 0.4, 1, 0.65, 1.5)),
        ),
        at_32=(
            *_five(Water, (0.62, 0.1, 0.7, 0.7, 0.5), (0.65, 0.1, 0.8, 0.7, 0.5), (0.65, 0.3, 1, 0.69, 0.5)),
            *_five(Mud, (0.65, 0.1, 0.7, 0.69, 0.6), (0.65, 0.1, 0.5, 0.68, 0.6)),
        ),
        at_8=(
            *_five(Water, (0.65, 0.3, 0.5, 0.85, 0.4), (0.65, 0.3, 0.5, 0.75, 0.5), (0.65, 0.3, 0.5, 0.65, 0.6)),
            *_five(Mud, (0.65, 0.3, 0.4, 0.75, 0.3), (0.65, 0.3, 0.4, 0.65, 0.3)),
        ),
        main=False,
    ),
    Family(
        "saturate", 18, "digital",
        at_224=_five(Saturate, (0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
        at_32=_five(Saturate, (0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
        at_8=_five(Saturate, (0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
        main=False, colours=True,
    ),
)  # fmt: skip

FAMILIES: Mapping[str, Family] = {family.name: family for family in _ALL}
"""Every family by its name."""
MAIN = tuple(family.name for family in _ALL if family.main)
"""The 15 of the mean corruption error."""
EXTRA = tuple(family.name for family in _ALL if not family.main)
"""The four that were released beside them, to choose by without looking at the others."""
