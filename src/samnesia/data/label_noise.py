"""Symmetric label noise under both conventions in use, with an exact count of drawn labels.

:func:`flip_labels` moves labels to *other* classes, so that the share is that of wrong labels. :func:`redraw_labels`
draws them from *all* classes, the true one among them: a share q leaves q (K - 1) / K wrong.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from samnesia.data.draws import integers, permutation
from samnesia.perturb.errors import ConfigurationError


def flip_labels(
    labels: NDArray[np.int64], fraction: float, *, num_classes: int, key: tuple[int, ...]
) -> NDArray[np.int64]:
    """Move a fraction of the labels to another class, and return all labels as a new array.

    Exactly ``round(fraction * len(labels))`` labels change. Which ones is uniformly random, and each goes to one of the
    ``num_classes - 1`` *other* classes with equal probability, so ``fraction`` is the share of labels that are wrong.
    (Under the other convention, :func:`redraw_labels`, "40 %" means 36 % wrong labels with ten classes.)

    Args:
        labels: class indices, shape ``[n]``.
        fraction: share of labels to move, 0 to 1.
        num_classes: number of classes, at least 2.
        key: address of the draw, see :mod:`samnesia.data.draws`.

    Raises:
        ConfigurationError: for a fraction outside 0 to 1 or fewer than two classes.
    """
    _check(fraction, num_classes)
    chosen = permutation(len(labels), key=(*key, 0))[: round(fraction * len(labels))]
    moves = 1 + integers(len(chosen), below=num_classes - 1, key=(*key, 1))
    flipped = labels.copy()
    flipped[chosen] = (labels[chosen] + moves) % num_classes
    return flipped


def redraw_labels(
    labels: NDArray[np.int64], fraction: float, *, num_classes: int, key: tuple[int, ...]
) -> NDArray[np.int64]:
    """Draw a fraction of the labels anew, uniformly from all classes, and return all labels as a new array.

    Exactly ``round(fraction * len(labels))`` labels are drawn, uniformly random ones, and on average a share
    ``1 / num_classes`` of these keeps its class. This is the convention of Wortsman et al., "Learning Neural Network
    Subspaces", 2021 (their code).

    Args:
        labels: class indices, shape ``[n]``.
        fraction: share of labels to draw, 0 to 1.
        num_classes: number of classes, at least 2.
        key: address of the draw, see :mod:`samnesia.data.draws`.

    Raises:
        ConfigurationError: for a fraction outside 0 to 1 or fewer than two classes.
    """
    _check(fraction, num_classes)
    chosen = permutation(len(labels), key=(*key, 0))[: round(fraction * len(labels))]
    redrawn = labels.copy()
    redrawn[chosen] = integers(len(chosen), below=num_classes, key=(*key, 1))
    return redrawn


NOISES = {"other": flip_labels, "all": redraw_labels}
"""The two conventions, by what configurations call them."""


def _check(fraction: float, num_classes: int) -> None:
    if not 0.0 <= fraction <= 1.0:
        raise ConfigurationError(
            f"cannot flip a fraction of {fraction} of the labels, because a share lies between 0 and 1; "
            "use 0.4 for 40 %"
        )
    if num_classes < 2:
        raise ConfigurationError(
            f"cannot flip labels of {num_classes} class(es), because a flipped label needs another class to go to; "
            "use num_classes of at least 2"
        )
