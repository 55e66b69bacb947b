"""Planted shortcuts: a mark in each image that speaks for a class, and is right by a share that is known.

A mark is one bright pixel at one of ten places in the first and the last column, a place for each class. Handwriting
hardly ever reaches these places; what little ink lies there is cleared, so that an image has exactly one mark.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samnesia.data.draws import permutation
from samnesia.data.label_noise import flip_labels
from samnesia.data.problem import SecondLabel
from samnesia.perturb.errors import ConfigurationError

NUM_MARKS = 10
BRIGHTEST = 16
"""The value of a mark's pixel: that of full ink."""
ROWS = np.arange(NUM_MARKS) % 5 + 1
COLUMNS = np.where(np.arange(NUM_MARKS) < 5, 0, 7)
"""Where the mark of each class lies: rows 1 to 5 of the first column, then rows 1 to 5 of the last."""


def draw_marks(labels: NDArray[np.int64], right: float | None, *, key: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the class of each image's mark.

    It is the image's own for exactly ``round(right * n)`` images of ``n``, uniformly random ones, and one of the nine
    others, with equal probability, for the rest. With ``right`` None the marks do not depend on what the images show:
    each is drawn equally often (within one), and they are dealt out in random order.

    Args:
        labels: true classes, 0 to 9, shape ``[n]``.
        right: share of images whose mark is right, 0 to 1; None is at random.
        key: address of the draw, see :mod:`samnesia.data.draws`.

    Raises:
        ConfigurationError: for a share outside 0 to 1.
    """
    count = len(labels)
    if right is None:
        return permutation(count, key=key) % NUM_MARKS
    if not 0.0 <= right <= 1.0:
        raise ConfigurationError(
            f"cannot plant marks of which a share of {right} is right, because a share lies between 0 and 1; "
            "use 0.9 for 90 %"
        )
    return flip_labels(labels, 1.0 - round(right * count) / count, num_classes=NUM_MARKS, key=key)


def plant(pixels: NDArray[np.float64], marks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the images, shape ``[n, 8, 8]`` with values 0 to 16, with their marks in place of what lay there."""
    marked = pixels.copy()
    marked[:, ROWS, COLUMNS] = 0
    marked[np.arange(len(marks)), ROWS[marks], COLUMNS[marks]] = BRIGHTEST
    return marked


def figures(split: str, marks: NDArray[np.int64]) -> SecondLabel:
    """What is measured of marked images: whether the mark is followed, and accuracy where it is wrong and right.

    The names are ``{split}_mark_followed`` (in percent of the images whose mark is that of another class: predicted as
    the mark's class), ``{split}_mark_wrong_accuracy`` (of the same images: predicted as what they are) and
    ``{split}_mark_right_accuracy`` (of all others).
    """
    import torch

    return SecondLabel(
        torch.from_numpy(marks),
        followed=f"{split}_mark_followed",
        resisted=f"{split}_mark_wrong_accuracy",
        agreed=f"{split}_mark_right_accuracy",
    )
