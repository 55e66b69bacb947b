"""Memorization: which of two labels a sample is predicted as, where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samnesia.evaluate.predictions import Predictions, Sampled, predict
from samnesia.train.drawn import described

if TYPE_CHECKING:
    from samnesia.train.loaded import Loaded


@dataclass(frozen=True)
class Memorization:
    """What the samples of a split are predicted as whose label and second label differ.

    The second label is the true class where labels were flipped, or the class of a mark that was planted.

    Attributes:
        second: what the second label is, in a word: ``true``, ``mark``.
        split: whose samples.
        samples: how many have two labels that differ.
        as_label: share of them that is predicted as the label: of a flipped training label, that it is memorized.
        as_second: share that is predicted as the second label.
        agreeing: how many samples have two labels that agree.
        agreeing_right: share of those that is predicted as it; None without any.
    """

    second: str
    split: str
    samples: int
    as_label: float
    as_second: float
    agreeing: int
    agreeing_right: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Memorization:
        """What :meth:`as_dict` has written."""
        return cls(**written)


def memorization(loaded: Loaded, sampled: Sampled) -> tuple[Memorization, ...]:
    """Measure it for each second label of a split; none where there is none, or it never differs.

    Raises:
        ConfigurationError: for a split that is not there, or empty.
    """
    source = loaded.split(sampled.split)
    if source.clean_labels is None and not source.second_labels:
        return ()
    return memorization_of(loaded, sampled.split, predict(loaded, sampled))


def memorization_of(loaded: Loaded, split: str, predictions: Predictions) -> tuple[Memorization, ...]:
    """The same of predictions that are there already."""
    targets, predicted = predictions.targets, predictions.outputs.argmax(1)
    found = []
    for name, second in described(loaded.split(split), split, predictions.rows, targets)[1].items():
        apart = targets != second
        count, agreeing = int(apart.sum()), int((~apart).sum())
        if count:
            as_label, as_second = ((predicted == labels)[apart].double().mean().item() for labels in (targets, second))
            right = (predicted == targets)[~apart].double().mean().item() if agreeing else None
            found.append(Memorization(name, split, count, as_label, as_second, agreeing, right))
    return tuple(found)
