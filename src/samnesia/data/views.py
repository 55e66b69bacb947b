"""How an image looks to a model: resized, augmented, normalised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from PIL import Image, ImageOps
from torch import Tensor

from samnesia.data.pixels import Exposure, Standardised
from samnesia.extras import require
from samnesia.perturb.errors import ConfigurationError


class View(Protocol):
    """How an image becomes what a model sees."""

    def __call__(self, image: Image.Image, out: Tensor | None = None) -> Tensor:
        """Return an image in RGB as float32 of shape ``[3, size, size]``, written into ``out`` if there is one."""


@dataclass(frozen=True)
class Appearance:
    """What training and evaluation have in common.

    Attributes:
        size: height and width in pixels.
        mean: of each channel, as pixels run from 0 to 1.
        std: of each channel, likewise.
        crop_pct: share of the shorter side that evaluation's central crop keeps.
        interpolation: bilinear or bicubic.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_pct: float
    interpolation: str

    @property
    def exposure(self) -> Exposure:
        """How pixels become inputs."""
        return Standardised(self.mean, self.std)

    def evaluation(self) -> View:
        """The image resized so that its central crop keeps ``crop_pct``, or as it is where it has the size already."""
        return Finished(Resized(self.size, self.crop_pct, self.interpolation), self)


class Resized:
    """Resize the shorter side to ``size / crop_pct``, rounded down, and crop the centre; images of the size stay."""

    def __init__(self, size: int, crop_pct: float, interpolation: str) -> None:
        data = require("timm.data.transforms_factory", extra="vision")
        self._size = (size, size)
        self._transform = data.transforms_imagenet_eval(
            size, crop_pct=crop_pct, interpolation=interpolation, normalize=False
        ).transforms[:-1]  # without the conversion, which is ours

    def __call__(self, image: Image.Image) -> Image.Image:
        """Return the image in its size."""
        if image.size != self._size:
            for transform in self._transform:
                image = transform(image)
        return image


class Finished:
    """Pixels as a model sees them: ``(v / 255 - mean) / std``, then what acts on tensors."""

    def __init__(
        self, image_to_image: Callable[[Any], Any], look: Appearance, after: Sequence[Callable[[Tensor], Tensor]] = ()
    ) -> None:
        self._to_tensor = require("torchvision.transforms.functional", extra="vision").pil_to_tensor
        self._transform, self._after = image_to_image, tuple(after)
        self._mean = torch.tensor(look.mean)[:, None, None]
        self._std = torch.tensor(look.std)[:, None, None]

    def __call__(self, image: Image.Image, out: Tensor | None = None) -> Tensor:
        """Return the image as float32, shape ``[3, size, size]``, written into ``out`` if there is one."""
        raw = self._to_tensor(self._transform(image))
        pixels = torch.empty(raw.shape) if out is None else out  # a batch is filled in place: copies cost as much
        torch.div(raw, 255, out=pixels).sub_(self._mean).div_(self._std)
        for transform in self._after:
            transformed = transform(pixels)
            if transformed is not pixels:
                pixels.copy_(transformed)
        return pixels


class Cutout:
    """Set a square to zero, the mean of normalised images; its centre lies anywhere, so that borders cut it off.

    Source: T. DeVries and G. W. Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.
    """

    def __init__(self, size: int, probability: float) -> None:
        self._size, self._probability = size, probability

    def __call__(self, image: Tensor) -> Tensor:
        """Return the image, shape ``[channels, height, width]``, which is changed in place."""
        if float(torch.rand(())) < self._probability:
            height, width = image.shape[-2:]
            top = int(torch.randint(height, ())) - self._size // 2
            left = int(torch.randint(width, ())) - self._size // 2
            image[..., max(0, top) : max(0, top + self._size), max(0, left) : max(0, left + self._size)] = 0.0
        return image


class Chain:
    """Transforms one after the other."""

    def __init__(self, *transforms: Callable[[Any], Any]) -> None:
        self._transforms = transforms

    def __call__(self, image: Any) -> Any:
        """Return the image after all of them."""
        for transform in self._transforms:
            image = transform(image)
        return image


def pad_crop_flip(
    look: Appearance, *, padding: int, fill: str, cutout: int, cutout_probability: float, autoaugment: bool
) -> View:
    """Augmentation of small images; see :class:`samnesia.train.parts.augmentations.PadCropFlip`."""
    transforms = require("torchvision.transforms", extra="vision")
    if fill == "reflect" and padding >= look.size:
        raise ConfigurationError(
            f"cannot pad images of {look.size} pixels by {padding}, because a mirrored border is narrower than the "
            "image; use a smaller padding"
        )
    policy = [transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10)] if autoaugment else []
    return Finished(
        Chain(
            Resized(look.size, look.crop_pct, look.interpolation),
            *policy,
            transforms.RandomHorizontalFlip(),
            transforms.RandomCrop(look.size, padding=padding or None, padding_mode=fill),
        ),
        look,
        after=[Cutout(cutout, cutout_probability)] if cutout else [],
    )


def random_resized_crop_flip(
    look: Appearance,
    *,
    scale: tuple[float, ...],
    ratio: tuple[float, ...],
    autoaugment: str | None,
    color_jitter: float,
    erasing: float,
) -> View:
    """Augmentation of photographs; see :class:`samnesia.train.parts.augmentations.RandomResizedCropFlip`."""
    factory = require("timm.data.transforms_factory", extra="vision")
    try:
        transform = factory.transforms_imagenet_train(
            look.size,
            scale=scale,
            ratio=ratio,
            color_jitter=color_jitter or None,
            auto_augment=autoaugment,
            interpolation=look.interpolation,
            mean=look.mean,
            std=look.std,
            normalize=False,
        )
    except (AssertionError, ValueError, KeyError) as error:
        raise ConfigurationError(
            f"cannot augment images with autoaugment {autoaugment!r}, because timm has no such policy "
            f"({error or 'unknown words'}); use rand-m9-mstd0.5-inc1 or original, say"
        ) from None
    for step in transform.transforms:
        _keep_a_bit(step)
    after = []
    if erasing:
        after.append(require("timm.data.random_erasing", extra="vision").RandomErasing(erasing, device="cpu"))
    return Finished(Chain(*transform.transforms[:-1]), look, after)  # without the conversion, which is ours


def _keep_a_bit(policy: Any) -> None:
    """Let posterizing keep a bit of each colour: timm's strongest keeps none, which newer Pillows refuse."""
    posterize = require("timm.data.auto_augment", extra="vision").posterize
    operations = [*getattr(policy, "ops", ()), *(one for several in getattr(policy, "policy", ()) for one in several)]
    for operation in operations:
        if operation.aug_fn is posterize:
            operation.aug_fn = _posterize


def _posterize(image: Image.Image, bits: int, **_: Any) -> Image.Image:
    return ImageOps.posterize(image, min(8, max(1, bits)))
