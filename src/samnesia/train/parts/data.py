"""The data of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from samnesia.train.parts.augmentations import Augmentation, PadCropFlip, Plain, RandomResizedCropFlip
from samnesia.train.parts.checks import check_share, require
from samnesia.train.parts.mixing import Mixing
from samnesia.train.parts.sources import TFDS, Folder, Hub, Shards, Source, Torchvision
from samnesia.train.parts.text import Text

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
    "Photographs",
    "Plain",
    "RandomResizedCropFlip",
    "Shards",
    "Source",
    "Table",
    "Text",
    "Torchvision",
]

# Of the channels red, green and blue over the training sets, as pixels run from 0 to 1.
CIFAR10_MEAN, CIFAR10_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
CIFAR100_MEAN, CIFAR100_STD = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PHOTOGRAPHS = ("brick", "cell", "coins", "grass", "gravel", "immunohistochemistry", "moon", "text")
"""With texture nearly everywhere: a patch of sky could be from anywhere."""


@dataclass(frozen=True)
class Digits:
    """Scikit-learn's handwritten digits, 8 x 8 pixels in ten classes, split by seed."""

    flipped: float = 0.0
    """Share of training and validation labels moved to another class, 0 to 1."""
    shift: int = 0
    """Augmentation: shift every training image by up to so many pixels, anew each epoch."""
    train: int = 800
    """Number of training images, 1 to 1596; 200 validate, and all others are for the test."""
    marks: float | None = None
    """Shortcut: share of training and validation images whose planted mark is that of their class; None is no marks."""
    relabel: str | None = None
    """A .npy or .json file of labels that replace the training labels (the Bootstrap arm); None is none."""
    mixing: Mixing | None = None
    """Mixup and CutMix; None is none."""
    normalized: bool = True
    """Standardise pixels by mean and standard deviation of all digits; otherwise they are as they come, 0 to 16."""
    classes: tuple[int, ...] | None = None
    """The digits that are told apart, some 180 images each; None is all ten."""

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
        require(
            1 <= self.train <= 1596,
            f"cannot train on {self.train} digits, because there are 1,797 images, of which 200 validate and at least "
            "one is for the test; use 1 to 1,596",
        )
        if self.marks is not None:
            check_share(self.marks, "plant marks that are right in")
            require(
                not self.flipped and not self.shift,
                f"cannot plant marks with flipped {self.flipped:g} and shift {self.shift}, because the place of a mark "
                "tells its class, and it is right or wrong about a label that is itself right; leave both at 0",
            )

    @property
    def says(self) -> str:
        """What the data are, in a sentence or two, for reports."""
        sizes = f"{self.train:,} training, 200 validation and {1597 - self.train:,} test images"
        which = ""
        if self.classes is not None:
            sizes = f"{self.train:,} training and 200 validation images, all others for the test"
            which = f" {', '.join(map(str, self.classes))}"
        text = f"Scikit-learn's digits{which}: {sizes}.{_says_flipped(self.flipped)}"
        if self.relabel is not None:
            text += " Training labels are those of a file."
        if not self.normalized:
            text += " Pixels are as they come, 0 to 16."
        if self.marks is not None:
            text += (
                " A mark is planted in each image, one pixel whose place tells a class: that of the image for "
                f"{100 * self.marks:g} % of the training and of the validation images; test marks are random."
            )
        return text

    def load(self, seed: int) -> Problem:
        """Return the three splits of this seed."""
        from samnesia.data.digits import NUM_CLASSES, digits

        return digits(
            seed,
            flipped=self.flipped,
            shift=self.shift,
            train=self.train,
            marks=self.marks,
            relabel=self.relabel,
            mix=None
            if self.mixing is None
            else self.mixing.mixer(NUM_CLASSES if self.classes is None else len(self.classes), seed),
            normalized=self.normalized,
            classes=self.classes,
        )


@dataclass(frozen=True)
class Photographs:
    """Patches of photographs that come with scikit-image: which one is a patch from, in places not trained on?"""

    names: tuple[str, ...] = PHOTOGRAPHS
    """The photographs, a class each, by their names in skimage.data."""
    side: int = 16
    """Height and width of a patch in pixels."""
    per_region: int = 12
    """Patches from each of a photograph's 16 regions: 8 regions train, 3 validate, 5 are for the test, by seed."""

    def __post_init__(self) -> None:
        for name, least in (("side", 2), ("per_region", 1)):
            value = getattr(self, name)
            require(
                value >= least,
                f"cannot cut patches with {name} {value}, because it must be {least} or more; change it",
            )

    @property
    def says(self) -> str:
        """What the data are, in a sentence or two, for reports."""
        train, validation, test = (share * self.per_region * len(self.names) for share in (8, 3, 5))
        return (
            f"Patches of {self.side} x {self.side} pixels from {len(self.names)} photographs of scikit-image's, each "
            f"photograph a class: {train:,} for training, {validation:,} for validation and {test:,} for the test, "
            "from regions of the photographs that lie apart and are drawn by seed."
        )

    def load(self, seed: int) -> Problem:
        """Return the three splits of this seed."""
        from samnesia.data.photographs import photographs

        return photographs(seed, self.names, side=self.side, per_region=self.per_region)


@dataclass(frozen=True)
class Table:
    """A table of scikit-learn's with its features as they were measured, or normalised."""

    name: Literal["wine", "breast_cancer"] = "wine"
    """178 wines with 13 features in 3 classes, or 569 tumours with 30 features in 2."""
    train: int = 80
    """Rows for training."""
    validation: int = 40
    """Rows for validation; all others are for the test."""
    normalized: bool = False
    """Give each feature the mean 0 and the standard deviation 1, by the training rows; otherwise it is as measured."""

    def __post_init__(self) -> None:
        for name in ("train", "validation"):
            value = getattr(self, name)
            require(value >= 1, f"cannot split a table with {name} {value}, because it must be 1 or more; change it")

    @property
    def says(self) -> str:
        """What the data are, in a sentence or two, for reports."""
        features = "normalised by the training rows" if self.normalized else "as they were measured"
        return (
            f"Scikit-learn's table {self.name} with its features {features}: {self.train} rows for "
            f"training, {self.validation} for validation, and all others for the test."
        )

    def load(self, seed: int) -> Problem:
        """Return the three splits of this seed."""
        from samnesia.data.table import table

        return table(seed, self.name, train=self.train, validation=self.validation, normalized=self.normalized)


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

    @property
    def says(self) -> str:
        """What the data are, in a sentence or two, for reports."""
        text = "Images of any source. A sample looks in training as (seed, epoch, index) say, whatever loads it."
        return f"{text}{_says_flipped(self.flipped, self.noise)}"

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
            views=Views(
                self.augmentation.view(look),
                look.evaluation(),
                (3, self.image_size, self.image_size),
                look.exposure,
            ),
            seed=seed,
            skip_damaged=self.damaged == "skip",
            mix=None if self.mixing is None else self.mixing.mixer(num_classes, seed),
        )


def _says_flipped(share: float, noise: str = "other") -> str:
    if not share:
        return ""
    moved = "drawn anew from all classes" if noise == "all" else "moved to another class"
    return f" {100 * share:g} % of the training and of the validation labels are {moved}; the test labels are clean."


Data = Digits | Photographs | Table | Images | Text
