"""How pixels become what a model sees.

Images are disturbed and attacked where they are images: pixels of 0 to 1, float32 of shape ``[n, channels, height,
width]``. What a model sees of them is an :class:`Exposure`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from samnesia.perturb.errors import ConfigurationError


class Exposure(ABC):
    """Pixels of 0 to 1, as a model sees them."""

    @abstractmethod
    def inputs(self, pixels: Tensor) -> Tensor:
        """What the model sees of these pixels, shape ``[n, channels, height, width]``; differentiable."""

    @abstractmethod
    def pixels(self, inputs: Tensor) -> Tensor:
        """The pixels of what the model sees; raises ConfigurationError where they cannot be known from it."""


@dataclass(frozen=True)
class Standardised(Exposure):
    """``(pixels - mean) / std``, with a mean and a standard deviation for each channel, or one for all of them."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def inputs(self, pixels: Tensor) -> Tensor:
        """What the model sees."""
        mean, std = self._constants(pixels)
        return (pixels - mean) / std

    def pixels(self, inputs: Tensor) -> Tensor:
        """What it was made from."""
        mean, std = self._constants(inputs)
        return inputs * std + mean

    def _constants(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = (torch.tensor(values, dtype=images.dtype, device=images.device) for values in (self.mean, self.std))
        return mean[:, None, None], std[:, None, None]


@dataclass(frozen=True)
class StandardisedAlone(Exposure):
    """``(pixels - mean) / max(std, least)`` with the mean and the standard deviation of the image itself."""

    least: float
    """The smallest standard deviation that is divided by, in units of pixels of 0 to 1."""

    def inputs(self, pixels: Tensor) -> Tensor:
        """What the model sees."""
        std, mean = torch.std_mean(pixels, dim=(1, 2, 3), correction=0, keepdim=True)
        return (pixels - mean) / std.clamp(min=self.least)

    def pixels(self, inputs: Tensor) -> Tensor:
        """Not known: brightness and contrast are gone."""
        raise ConfigurationError(
            "cannot find the pixels of images that were each standardised by its own mean and standard deviation, "
            "because these are not known afterwards; use data that are standardised alike, such as Digits"
        )
