"""The data of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from samnesia.train.parts.augmentations import Augmentation, PadCropFlip, Plain, RandomResizedCropFlip
from samnesia.train.parts.checks import check_share, require
from samnesia.train.parts.mixing import Mixing
from samnesia.train.parts.sources import TFDS, Folder, Hub, Shards, Source, Torchvision

if TYPE_CHECKING:
    from samnesia.data.problem import Problem

__all__ = [
    "CIFAR100_MEAN",
    "CIFAR100_STD",
    "CIFAR10_MEAN",
    "CIFAR10_STD",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "TFDS",
    "Augmentation",
    "Data",
    "Digits",
    "Folder",
    "Hub",
    "Images",
    "Mixing",
    "PadCropFlip",
    "Plain",
    "RandomResizedCropFlip",
    "Shards",
    "Source",
    "Torchvision",
]

# Of the channels red, green and blue over the training sets, as pixels run from 0 to 1.
CIFAR10_MEAN, CIFAR10_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
CIFAR100_MEAN, CIFAR100_STD = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Digits:
    """Scikit-learn's digits: 800 training, 200 validation and 797 test images."""

    flipped: float = 0.0
    """Share of training and validation labels moved to another class, 0 to 1."""
    shift: int = 0
    """Augmentation: shift every training image by up to so many pixels, anew each epoch."""

    def __post_init__(self) -> None:
        require(
            0.0 <= self.flipped <= 1.0,
            f"cannot flip a share of {self.flipped} of the labels, because a share lies between 0 and 1; "
            "use 0.4 for 40 %",
        )
        require(
            0 <= self.shift < 8,
            f"cannot shift images by {self.shift} pixels, because they are 8 pixels wide; use 0 to 7",
        )

    def load(self, seed: int) -> Problem:
        """Return the three splits of this seed."""
        from samnesia.data.digits import digits

        return digits(seed, flipped=self.flipped, shift=self.shift)


@dataclass(frozen=True)
class Images:
    """Images of any source. A sample looks in training as (seed, epoch, index) say, whatever loads it."""

    source: Source = field(default_factory=lambda: Folder("data"))
    """Where they come from."""
    num_classes: int | None = None
    """Number of classes; None is what the source says. Another number in the source is an error."""
    image_size: int = 224
    """Height and width in pixels that the model sees."""
    augmentation: Augmentation = field(default_factory=RandomResizedCropFlip)
    """How they look in training."""
    mean: tuple[float, ...] | None = IMAGENET_MEAN
    """Mean of each channel, as pixels run from 0 to 1; None is 0. With std None too, models see pixels of 0 to 1."""
    std: tuple[float, ...] | None = IMAGENET_STD
    """Standard deviation of each channel; None is 1. A mean of 0 and a std of 1/255 leave pixels from 0 to 255."""
    crop_pct: float = 0.875
    """Evaluation: share of the shorter side that the central crop keeps. Images of the right size are left alone."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """How images are resized."""
    mixing: Mixing | None = None
    """Mixup and CutMix; None is none."""
    flipped: float = 0.0
    """Label noise: share of the training labels that is drawn anew, and of the validation labels; the test is clean."""
    noise: Literal["other", "all"] = "other"
    """Drawn from the other classes, so that all these labels are wrong, or from all, so that some keep their class."""
    relabel: str | None = None
    """A .npy or .json file of labels that replace the training labels (the Bootstrap arm); None is none."""
    holdout: int = 0
    """Training samples held out by seed as the validation set, where the source has none."""
    damaged: Literal["stop", "skip"] = "stop"
    """What happens at an image that cannot be decoded: the run stops, or goes on without it and with a warning."""

    def __post_init__(self) -> None:
        check_share(self.flipped, "flip labels by")
        for name, least in (("num_classes", 2), ("image_size", 1), ("holdout", 0)):
            value = getattr(self, name)
            require(
                value is None or value >= least,
                f"cannot train on images with {name} {value}, because it must be {least} or more; change it",
            )
        require(
            0.0 < self.crop_pct <= 1.0,
            f"cannot crop a share of {self.crop_pct}, because a crop keeps some of the image at most all of it; "
            "use 0.875, say",
        )
        for name in ("mean", "std"):
            value = getattr(self, name)
            require(
                value is None
                or (len(value) == 3 and all(math.isfinite(v) and (name == "mean" or v > 0) for v in value)),
                f"cannot normalise images with {name} {value}, because red, green and blue need a number each, and a "
                "std a positive one; use ImageNet's, or None",
            )

    def load(self, seed: int) -> Problem:
        """Return the splits of this seed."""
        from samnesia.data.images import Labelling, check_classes, image_problem
        from samnesia.data.sample_split import Views
        from samnesia.data.views import Appearance

        sets = self.source.open()
        num_classes = check_classes(sets, self.num_classes)
        look = Appearance(
            self.image_size, self.mean or (0.0,) * 3, self.std or (1.0,) * 3, self.crop_pct, self.interpolation
        )
        return image_problem(
            sets,
            num_classes=num_classes,
            labelling=Labelling(self.flipped, self.noise, self.relabel, self.holdout),
            views=Views(self.augmentation.view(look), look.evaluation(), (3, self.image_size, self.image_size)),
            seed=seed,
            skip_damaged=self.damaged == "skip",
            mix=None if self.mixing is None else self.mixing.mixer(num_classes, seed),
        )


Data = Digits | Images
