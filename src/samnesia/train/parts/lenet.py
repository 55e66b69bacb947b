"""A small net for small images whose normalization is a choice: none, BatchNorm, or GroupNorm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from samnesia.train.parts.checks import require
from samnesia.train.parts.net import MOST_UNITS, Net

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class LeNet(Net):
    """Convolutions with pooling and hidden layers, without a norm, with BatchNorm, or with GroupNorm."""

    channels: tuple[int, ...] = (64, 64)
    """Output channels of the convolutions; each is followed by a 2 x 2 pooling."""
    hidden: tuple[int, ...] = (384, 192)
    """Widths of the hidden layers before the logits."""
    kernel: int = 5
    """Side of the convolutions."""
    padding: int = 0
    """Pixels of zeros around their inputs."""
    norm: Literal["none", "batch", "group"] = "none"
    """What follows a convolution; a group has two channels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            all(1 <= width <= MOST_UNITS for width in (*self.channels, *self.hidden)),
            f"cannot build a net with channels {self.channels} and hidden {self.hidden}, because every layer has 1 to "
            f"{MOST_UNITS} units; use such widths",
        )
        require(
            self.kernel >= 1 and 0 <= self.padding < self.kernel,
            f"cannot build a net with kernel {self.kernel} and padding {self.padding}, because a kernel has a side, "
            "and a padding less than that; use 3 and 1, say",
        )
        require(
            self.norm != "group" or all(width % 2 == 0 for width in self.channels),
            f"cannot build a net with GroupNorm and channels {self.channels}, because a group has two of them; use "
            "even numbers",
        )

    def _new(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        from samnesia.models.small import lenet

        require(
            len(shape) == 3 and shape[1] == shape[2],
            f"cannot build a LeNet for inputs of shape {shape}, because it needs square images (channels, height, "
            "width); use an MLP or a model of your own",
        )
        left = shape[1]
        for _ in self.channels:
            left = (left + 2 * self.padding - self.kernel + 1) // 2
        require(
            left >= 1,
            f"cannot build a net of {len(self.channels)} convolutions with kernel {self.kernel} for images of "
            f"{shape[1]} pixels, because nothing is left of them; use kernel 3 with padding 1, say",
        )
        return lenet(
            shape[0],
            num_outputs,
            channels=self.channels,
            hidden=self.hidden,
            kernel=self.kernel,
            padding=self.padding,
            size=shape[1],
            norm=self.norm,
        )
