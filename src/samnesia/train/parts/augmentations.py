"""How images look in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from samnesia.train.parts.checks import check_share, require

if TYPE_CHECKING:
    from samnesia.data.views import Appearance, View


@dataclass(frozen=True)
class Plain:
    """As in evaluation."""

    def view(self, look: Appearance) -> View:
        """Return image -> tensor."""
        return look.evaluation()


@dataclass(frozen=True)
class PadCropFlip:
    """CIFAR's: AutoAugment if wanted, a horizontal flip by chance, a random crop of the padded image, Cutout if wanted.

    Order and padding are those of the SAM paper's code (google-research/sam), where Cutout is a square of 16 pixels.
    Images of another size are first brought to that of the run, as in evaluation.
    """

    padding: int = 4
    """Pixels added on each side before the crop."""
    fill: Literal["reflect", "constant"] = "reflect"
    """What is added: the image mirrored, or black."""
    cutout: int = 0
    """Side of the square that is set to zero (the mean of normalised images), in pixels; 0 is no Cutout."""
    cutout_probability: float = 1.0
    """Share of the images that lose such a square."""
    autoaugment: bool = False
    """AutoAugment with the policy found for CIFAR-10 (which is used for CIFAR-100 as well)."""

    def __post_init__(self) -> None:
        for name in ("padding", "cutout"):
            value = getattr(self, name)
            require(
                value >= 0,
                f"cannot augment images with {name} {value}, because pixels are not negative; use 0 for none",
            )
        check_share(self.cutout_probability, "cut squares out of")

    def view(self, look: Appearance) -> View:
        """Return image -> tensor."""
        from samnesia.data.views import pad_crop_flip

        return pad_crop_flip(
            look,
            padding=self.padding,
            fill=self.fill,
            cutout=self.cutout,
            cutout_probability=self.cutout_probability,
            autoaugment=self.autoaugment,
        )


@dataclass(frozen=True)
class RandomResizedCropFlip:
    """ImageNet's: a random part of the image resized, a horizontal flip by chance, and what timm adds on wish."""

    scale: tuple[float, ...] = (0.08, 1.0)
    """Smallest and largest share of the image's area."""
    ratio: tuple[float, ...] = (3 / 4, 4 / 3)
    """Smallest and largest ratio of width to height."""
    autoaugment: str | None = None
    """A policy of timm, such as original, v0 or rand-m9-mstd0.5-inc1; None is none."""
    color_jitter: float = 0.0
    """Strength of changes of brightness, contrast and saturation; timm leaves them out under a policy."""
    erasing: float = 0.0
    """Probability that a random rectangle is set to zero."""

    def __post_init__(self) -> None:
        require(
            len(self.scale) == 2 and 0.0 < self.scale[0] <= self.scale[1] <= 1.0,
            f"cannot crop images with scale {self.scale}, because it is a smallest and a largest share of the area; "
            "use 0.08 and 1, say",
        )
        require(
            len(self.ratio) == 2 and 0.0 < self.ratio[0] <= self.ratio[1],
            f"cannot crop images with ratio {self.ratio}, because it is a smallest and a largest width over height; "
            "use 0.75 and 1.333, say",
        )
        require(
            self.color_jitter >= 0.0,
            f"cannot jitter colours by {self.color_jitter}, because a strength is not negative; use 0 for none",
        )
        check_share(self.erasing, "erase rectangles from")

    def view(self, look: Appearance) -> View:
        """Return image -> tensor."""
        from samnesia.data.views import random_resized_crop_flip

        return random_resized_crop_flip(
            look,
            scale=self.scale,
            ratio=self.ratio,
            autoaugment=self.autoaugment,
            color_jitter=self.color_jitter,
            erasing=self.erasing,
        )


Augmentation = Plain | PadCropFlip | RandomResizedCropFlip
