"""Symmetric label noise over the wrong classes, with an exact count."""

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
    (Under the other convention in use, symmetric over all classes, a share ``1 / num_classes`` of the drawn labels
    keeps its class: that "40 %" means 36 % wrong labels with ten classes.)

    Args:
        labels: class indices, shape ``[n]``.
        fraction: share of labels to move, 0 to 1.
        num_classes: number of classes, at least 2.
        key: address of the draw, see :mod:`samnesia.data.draws`.

    Raises:
        ConfigurationError: for a fraction outside 0 to 1 or fewer than two classes.
    """
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
    chosen = permutation(len(labels), key=(*key, 0))[: round(fraction * len(labels))]
    moves = 1 + integers(len(chosen), below=num_classes - 1, key=(*key, 1))
    flipped = labels.copy()
    flipped[chosen] = (labels[chosen] + moves) % num_classes
    return flipped
