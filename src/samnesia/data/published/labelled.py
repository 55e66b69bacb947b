"""Images of others with the classes that are right for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from samnesia.data.sample_split import SampleSplit, Views
from samnesia.data.samples import Labels, Samples
from samnesia.perturb.errors import ConfigurationError

NONE = -1
"""Fills the rows of answers."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images, and the class numbers of a model that are right for each.

    Attributes:
        samples: the images.
        answers: int64 of shape ``[n, most]``; a prediction is right if it is in the image's row, -1 fills the rest.
        among: the classes that may be predicted, in ascending order; None is all of the model.
        missing: what of the published set is not there, and was left out.
    """

    samples: Samples
    answers: Labels
    among: Labels | None = None
    missing: tuple[str, ...] = ()

    @property
    def covered(self) -> Labels:
        """The classes that are right for some image, in ascending order."""
        return np.unique(self.answers[self.answers != NONE])

    def split(self, views: Views, *, skip_damaged: bool) -> PublishedSplit:
        """As a model sees them that was trained with these views; targets are the answers."""
        return PublishedSplit(
            self.samples,
            np.arange(len(self.samples)),
            self.answers,
            clean_labels=None,
            views=views,
            seed=0,
            skip_damaged=skip_damaged,
        )


class PublishedSplit(SampleSplit):
    """Images of others; what is said of damaged ones names the options of evaluation."""

    doing = "evaluate on"
    leaving_out = 'damaged "skip"'


def answers_of(rows: Sequence[Sequence[int]]) -> Labels:
    """Rows of right classes, filled up to the longest one."""
    found = np.full((len(rows), max(map(len, rows), default=1)), NONE, dtype=np.int64)
    for row, numbers in zip(found, rows, strict=True):
        row[: len(numbers)] = numbers
    return found


def left_out(missing: Sequence[str], where: Any, *, skip: bool) -> tuple[str, ...]:
    """What is missing, if it may be left out.

    Raises:
        ConfigurationError: if it may not.
    """
    if missing and not skip:
        raise ConfigurationError(
            f"cannot evaluate on {where}, because it is incomplete: {some(missing)} missing; get the rest, or "
            'evaluate what is there with missing "skip"'
        )
    return tuple(missing)


def some(names: Iterable[str], most: int = 5) -> str:
    """``a, b and 7 more are``: the first of them, and how many there are."""
    known = list(names)
    rest = len(known) - most
    listed = ", ".join(known[:most]) + (f" and {rest} more" if rest > 0 else "")
    return f"{listed} {'is' if len(known) == 1 else 'are'}"
