"""The 1,797 handwritten digits that come with scikit-learn (8 x 8 pixels, ten classes), split by seed.

Nothing is downloaded: the images are part of the scikit-learn package. The split, 800 training, 200 validation and 797
test images, changes with the seed. All seeds draw from the same 1,797 images, so an interval over seeds is about other
splits of these images, not about new images (the test sets of two seeds share some 350 images).

Source of the images: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, 1998; scikit-learn holds its test part.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from samnesia.data.augment import Shift
from samnesia.data.draws import FLIP_TRAIN, FLIP_VALIDATION, SPLIT, permutation
from samnesia.data.label_noise import flip_labels
from samnesia.data.problem import Augment, Problem, TensorSplit
from samnesia.extras import require

NUM_CLASSES = 10
NUM_TRAIN = 800
NUM_VALIDATION = 200
# Mean and standard deviation of all 1797 * 64 pixels, whose values are 0 to 16: constants, so that an image means the
# same to every run, whatever its split.
PIXEL_MEAN = 4.8842
PIXEL_STD = 6.0168


def digits(seed: int, flipped: float = 0.0, *, shift: int = 0) -> Problem:
    """Split the digits by ``seed``: 800 training, 200 validation and 797 test images, disjoint, of shape ``[1, 8, 8]``.

    A share ``flipped`` of the training labels, and separately the same share of the validation labels, is moved to one
    of the other nine classes. In training, images are shifted by up to ``shift`` pixels. Pixels ``v`` of 0 to 16 are
    standardised as ``(v - 4.8842) / 6.0168``.

    The same seed gives the same images and labels on every machine and every version of NumPy.

    Raises:
        ConfigurationError: for a share outside 0 to 1.
        MissingExtraError: if scikit-learn is not installed.
    """
    images, labels = _all_digits()
    order = permutation(len(labels), key=(seed, SPLIT))
    train, validation, test = np.split(order, [NUM_TRAIN, NUM_TRAIN + NUM_VALIDATION])
    augment = Shift(shift, seed) if shift else None
    return Problem(
        train=_split(images, labels, train, flipped=flipped, key=(seed, FLIP_TRAIN), augment=augment),
        validation=_split(images, labels, validation, flipped=flipped, key=(seed, FLIP_VALIDATION)),
        test=_split(images, labels, test, flipped=0.0, key=(seed,)),
        num_outputs=NUM_CLASSES,
        shape=images.shape[1:],
    )


def digits_noisy(seed: int) -> Problem:
    """Split the digits by ``seed`` with exactly 40 % wrong labels: 320 of 800 and 80 of 200; the test is clean."""
    return digits(seed, flipped=0.4)


@lru_cache(maxsize=1)
def _all_digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    datasets = require("sklearn.datasets", extra="train")
    bunch = datasets.load_digits()
    images = ((bunch.images - PIXEL_MEAN) / PIXEL_STD).astype(np.float32)[:, None]
    return images, bunch.target.astype(np.int64)


def _split(
    images: NDArray[np.float32],
    labels: NDArray[np.int64],
    members: NDArray[np.int64],
    *,
    flipped: float,
    key: tuple[int, ...],
    augment: Augment | None = None,
) -> TensorSplit:
    clean = labels[members]
    return TensorSplit(
        torch.from_numpy(images[members]),
        torch.from_numpy(flip_labels(clean, flipped, num_classes=NUM_CLASSES, key=key)),
        torch.from_numpy(clean),
        augment=augment,
    )
