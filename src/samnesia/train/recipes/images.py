"""The data sets of the papers, as the recipes name them; ``--data.source.root DIR`` says where they lie."""

from __future__ import annotations

from dataclasses import dataclass, replace

from samnesia.train.parts.data import (
    CIFAR10_MEAN,
    CIFAR10_STD,
    CIFAR100_MEAN,
    CIFAR100_STD,
    Augmentation,
    Folder,
    Images,
    PadCropFlip,
    RandomResizedCropFlip,
    Source,
    Torchvision,
)

IMAGENET_IMAGES = 1_281_167
CIFAR_IMAGES = 50_000
CUTOUT = 16
"""Side of the square that cutout removes from CIFAR's images, in pixels."""

REFLECTED = PadCropFlip(padding=4, fill="reflect")
"""Crops and flips of the SAM paper's code."""
BLACK = PadCropFlip(padding=4, fill="constant")
"""Crops and flips of the codes that use torchvision."""
NORMALISATION = {10: (CIFAR10_MEAN, CIFAR10_STD), 100: (CIFAR100_MEAN, CIFAR100_STD)}


def imagenet(*, smallest: float = 0.05) -> Images:
    """ImageNet-1k as a folder per class, at 224 pixels; crops show a share of ``smallest`` to 1 of the image."""
    return Images(
        source=Folder(root="data/imagenet"),
        num_classes=1000,
        image_size=224,
        augmentation=RandomResizedCropFlip(scale=(smallest, 1.0)),
    )


def cifar(classes: int, augmentation: Augmentation) -> Images:
    """CIFAR-10 or CIFAR-100 at 32 pixels, normalised by its own mean and deviation."""
    mean, std = NORMALISATION[classes]
    return Images(
        source=Torchvision(name=f"CIFAR{classes}", root="data/cifar"),
        num_classes=classes,
        image_size=32,
        augmentation=augmentation,
        mean=mean,
        std=std,
    )


def cifar_large(classes: int) -> Images:
    """CIFAR-10 or CIFAR-100 as the nets of ImageNet see images: at 224 pixels, with ImageNet's augmentation."""
    return replace(imagenet(), source=Torchvision(name=f"CIFAR{classes}", root="data/cifar"), num_classes=classes)


@dataclass(frozen=True)
class FineTuned:
    """A data set that pretrained nets are fine-tuned on."""

    source: Source
    classes: int
    images: int
    """Training images."""


FINE_TUNED = {
    "aircraft": FineTuned(Torchvision(name="FGVCAircraft", root="data/torchvision", train="trainval"), 100, 6_667),
    "flowers": FineTuned(Torchvision(name="Flowers102", root="data/torchvision", train="train+val"), 102, 2_040),
    "pets": FineTuned(Torchvision(name="OxfordIIITPet", root="data/torchvision", train="trainval"), 37, 3_680),
    "cars": FineTuned(Torchvision(name="StanfordCars", root="data/torchvision"), 196, 8_144),
    "cifar10": FineTuned(Torchvision(name="CIFAR10", root="data/cifar"), 10, CIFAR_IMAGES),
    "cifar100": FineTuned(Torchvision(name="CIFAR100", root="data/cifar"), 100, CIFAR_IMAGES),
    "birdsnap": FineTuned(Folder(root="data/birdsnap"), 500, 47_386),
    "food101": FineTuned(Torchvision(name="Food101", root="data/torchvision"), 101, 75_750),
}
"""The data sets of the SAM paper's fine-tuning; validation images count as training images where there are any."""
