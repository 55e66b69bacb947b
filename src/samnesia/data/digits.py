"""The 1,797 handwritten digits that come with scikit-learn (8 x 8 pixels, ten classes), split by seed.

Nothing is downloaded: the images are part of the scikit-learn package. The split, by default 800 training, 200
validation and 797 test images, changes with the seed. All seeds draw from the same 1,797 images, so an interval over
seeds is about other splits of these images, not about new images (the test sets of two seeds share some 350 images).

Source of the images: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, 1998; scikit-learn holds its test part.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samnesia.data.augment import Shift
from samnesia.data.draws import (
    FLIP_TRAIN,
    FLIP_VALIDATION,
    MARK_TEST,
    MARK_TRAIN,
    MARK_VALIDATION,
    SPLIT,
    permutation,
)
from samnesia.data.label_noise import flip_labels
from samnesia.data.marks import draw_marks, figures, plant
from samnesia.data.pixels import Standardised
from samnesia.data.problem import Augment, Mix, Problem, SecondLabel, TensorSplit
from samnesia.data.relabel import read_chosen
from samnesia.extras import require
from samnesia.perturb.errors import ConfigurationError

NUM_CLASSES = 10
NUM_IMAGES = 1797
NUM_TRAIN = 800
NUM_VALIDATION = 200
FLIPS = {"train": FLIP_TRAIN, "validation": FLIP_VALIDATION}
MARKS = {"train": MARK_TRAIN, "validation": MARK_VALIDATION, "test": MARK_TEST}
# Mean and standard deviation of all 1797 * 64 pixels, whose values are 0 to 16: constants, so that an image means the
# same to every run, whatever its split.
PIXEL_MEAN = 4.8842
PIXEL_STD = 6.0168
BRIGHTEST = 16.0
"""Full ink."""


def digits(
    seed: int,
    flipped: float = 0.0,
    *,
    shift: int = 0,
    train: int = NUM_TRAIN,
    marks: float | None = None,
    relabel: str | None = None,
    mix: Mix | None = None,
    normalized: bool = True,
    classes: Sequence[int] | None = None,
) -> Problem:
    """Split the digits by ``seed`` into ``train`` training, 200 validation and all other images for the test.

    Images have the shape ``[1, 8, 8]``; their pixels ``v`` of 0 to 16 are standardised as ``(v - 4.8842) / 6.0168``.
    The same seed gives the same images and labels on every machine and every version of NumPy, and the training images
    of a smaller ``train`` are among those of a larger one.

    Args:
        seed: of the run.
        flipped: share of the training labels, and separately of the validation labels, that is moved to one of the
            other nine classes.
        shift: in training, images are shifted by up to so many pixels.
        train: number of training images, 1 to 1,596.
        marks: share of the training images, and separately of the validation images, whose planted mark is that of
            their class (:mod:`samnesia.data.marks`); the marks of test images are random. None is no marks.
        relabel: file of labels that replace those of training, one for each of the 1,797 images in scikit-learn's
            order, -1 for those that are not trained on; None is no file.
        mix: how batches are mixed in training; None is not at all.
        normalized: whether pixels are standardised; otherwise they are those of the images, 0 to 16.
        classes: the digits that are told apart, whose labels are their places here; None is all ten.

    Raises:
        ConfigurationError: for a share outside 0 to 1, a number of training images that leaves none for the test,
            marks together with flipped labels, a file of labels that does not fit, or classes that are not two or
            more different digits, or that stand beside marks or a file.
        MissingExtraError: if scikit-learn is not installed.
    """
    pixels, labels = _all_digits() if classes is None else _of_classes(tuple(classes), marks, relabel)
    num_classes = NUM_CLASSES if classes is None else len(classes)
    _check(train, flipped, marks, len(labels))
    members = np.split(permutation(len(labels), key=(seed, SPLIT)), [train, train + NUM_VALIDATION])
    replaced = None
    if relabel is not None:
        replaced = read_chosen(relabel, members[0], count=NUM_IMAGES, num_classes=NUM_CLASSES)

    def split(name: str, numbers: NDArray[np.int64], augment: Augment | None = None) -> TensorSplit:
        images, clean = pixels[numbers], labels[numbers]
        seconds: tuple[SecondLabel, ...] = ()
        given = (
            flip_labels(clean, flipped, num_classes=num_classes, key=(seed, FLIPS[name])) if name in FLIPS else clean
        )
        if name == "train" and replaced is not None:
            given = replaced
        if marks is not None:
            planted = draw_marks(clean, marks if name in FLIPS else None, key=(seed, MARKS[name]))
            images, seconds = plant(images, planted), (figures(name, planted),)
        return TensorSplit(
            _channels_last((((images - PIXEL_MEAN) / PIXEL_STD) if normalized else images).astype(np.float32)),
            torch.from_numpy(given),
            torch.from_numpy(clean.copy()),
            augment=augment,
            second_labels=seconds,
        )

    return Problem(
        train=split("train", members[0], Shift(shift, seed) if shift else None),
        validation=split("validation", members[1]),
        test=split("test", members[2]),
        num_outputs=num_classes,
        shape=(1, 8, 8),
        mix=mix,
        exposure=Standardised((PIXEL_MEAN / BRIGHTEST,), (PIXEL_STD / BRIGHTEST,))
        if normalized
        else Standardised((0.0,), (1.0 / BRIGHTEST,)),
    )


def training_images(seed: int, train: int = NUM_TRAIN) -> NDArray[np.int64]:
    """Numbers of the images that are trained on with this seed, in the order of the training split."""
    return permutation(NUM_IMAGES, key=(seed, SPLIT))[:train]


def digits_noisy(seed: int) -> Problem:
    """Split the digits by ``seed`` with exactly 40 % wrong labels: 320 of 800 and 80 of 200; the test is clean."""
    return digits(seed, flipped=0.4)


def _channels_last(images: NDArray[np.float32]) -> Tensor:
    """Images ``[n, 8, 8]`` as ``[n, 1, 8, 8]`` with the channel innermost in memory.

    Convolutions of such inputs are a quarter faster on a CPU, and round otherwise: the demo's figures hang on it.
    """
    return torch.from_numpy(images).unsqueeze(-1).permute(0, 3, 1, 2)


def _check(train: int, flipped: float, marks: float | None, images: int) -> None:
    most = images - NUM_VALIDATION - 1
    if not 1 <= train <= most:
        raise ConfigurationError(
            f"cannot train on {train} digits, because there are {images:,} images, of which {NUM_VALIDATION} "
            f"validate and at least one is for the test; use 1 to {most:,}"
        )
    if marks is not None and flipped:
        raise ConfigurationError(
            "cannot plant marks in digits with flipped labels, because a mark is right or wrong about a label that is "
            "itself right; use one of the two"
        )


@lru_cache(maxsize=1)
def _all_digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Pixels of 0 to 16, shape ``[1797, 8, 8]``, and classes."""
    datasets = require("sklearn.datasets", extra="train")
    bunch = datasets.load_digits()
    return bunch.images, bunch.target.astype(np.int64)


def _of_classes(
    classes: tuple[int, ...], marks: float | None, relabel: str | None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The images of these digits in scikit-learn's order, and the places of their digits among ``classes``."""
    if len(classes) < 2 or len({*classes}) < len(classes) or not {*classes} <= set(range(NUM_CLASSES)):
        raise ConfigurationError(
            f"cannot tell the digits {', '.join(map(str, classes)) or 'of no class'} apart, because that requires two "
            "or more of 0 to 9, each once; name others"
        )
    if marks is not None or relabel is not None:
        raise ConfigurationError(
            "cannot use some of the digits with marks or a file of labels, because both are about all ten; leave "
            "classes out"
        )
    pixels, labels = _all_digits()
    places = np.full(NUM_CLASSES, -1, dtype=np.int64)
    places[list(classes)] = np.arange(len(classes))
    members = places[labels] >= 0
    return pixels[members], places[labels[members]]
