"""The model of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from torch import nn

MOST_UNITS = 4096


@dataclass(frozen=True)
class CNN:
    """A small convolutional net with BatchNorm."""

    channels: tuple[int, ...] = (16, 32)
    """Output channels of the 3 x 3 convolutions; each is followed by a 2 x 2 pooling."""
    hidden: int = 128
    """Width of the hidden layer before the logits."""

    def __post_init__(self) -> None:
        require(
            all(1 <= width <= MOST_UNITS for width in (*self.channels, self.hidden)),
            f"cannot build a net with channels {self.channels} and hidden {self.hidden}, because every layer has 1 to "
            f"{MOST_UNITS} units; use such widths",
        )

    def build(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Return the net for images of ``shape`` (channels, height, width)."""
        from samnesia.models.small import small_cnn

        channels, height, _ = shape
        require(
            height >> len(self.channels) >= 1,
            f"cannot build a net of {len(self.channels)} convolutions for images of {height} pixels, because each "
            f"halves the image; use at most {int(math.log2(height))} channels",
        )
        return small_cnn(channels, num_outputs, channels=self.channels, hidden=self.hidden, size=height)


@dataclass(frozen=True)
class MLP:
    """Fully connected layers with BatchNorm."""

    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers."""

    def __post_init__(self) -> None:
        require(
            all(1 <= width <= MOST_UNITS for width in self.hidden),
            f"cannot build a net with hidden {self.hidden}, because every layer has 1 to {MOST_UNITS} units; "
            "use such widths",
        )

    def build(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Return the net for inputs of ``shape``, which are flattened."""
        from samnesia.models.small import mlp

        return mlp(math.prod(shape), num_outputs, hidden=self.hidden)


Model = CNN | MLP
