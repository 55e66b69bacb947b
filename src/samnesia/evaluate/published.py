"""Errors on published corrupted images: ImageNet-C, CIFAR-10-C, CIFAR-100-C."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

from samnesia.data.corruptions import FAMILIES, MAIN, SEVERITIES
from samnesia.evaluate.corruptions import CorruptionErrors
from samnesia.evaluate.predictions import Sampled, predict, predict_of
from samnesia.evaluate.shifts import right, views_of
from samnesia.measure.progress import Progress, Silent
from samnesia.perturb.errors import ConfigurationError

if TYPE_CHECKING:
    from samnesia.data.published.labelled import Labelled
    from samnesia.train.loaded import Loaded


class Corrupted(Protocol):
    """Published corrupted images, as they lie on disk."""

    @property
    def severities(self) -> Mapping[str, tuple[int, ...]]:
        """Of each family of corruptions that is there."""

    @property
    def missing(self) -> tuple[str, ...]:
        """What is not there, and is left out."""

    def open(self, corruption: str, severity: int) -> Labelled:
        """The images of a family at a severity."""


@dataclass(frozen=True)
class PublishedErrors(CorruptionErrors):
    """Errors of a classifier on published corrupted images, in percent of the images.

    ``samples`` is the number of images of a family at a severity; where they have not all as many, the least. Families
    of which a severity is missing are left out: their means would be of other images.

    Attributes:
        damaged: images that were left out, because they cannot be decoded.
        missing: what is not there, and was left out.
    """

    damaged: int = 0
    missing: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether all is there that the mean corruption error is about."""
        return not self.missing and set(MAIN) <= set(self.errors) and self.severities == SEVERITIES

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**super().as_dict(), "damaged": self.damaged, "missing": list(self.missing)}

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> PublishedErrors:
        """What :meth:`as_dict` has written."""
        found = CorruptionErrors.from_dict(written)
        return cls(**vars(found), damaged=written["damaged"], missing=tuple(written["missing"]))


def published_errors(
    loaded: Loaded,
    corrupted: Corrupted,
    sampled: Sampled | None = None,
    *,
    severities: Sequence[int] = SEVERITIES,
    skip_damaged: bool = False,
    progress: Progress | None = None,
) -> PublishedErrors:
    """Errors on each family of corruptions at each severity, and on a split of the model's own.

    Args:
        loaded: the model and its data.
        corrupted: the images.
        sampled: how many images of each family and severity, and of which split of the model's own; None is all, of
            the test split.
        severities: of each family.
        skip_damaged: leave images that cannot be decoded out, instead of stopping.
        progress: who is told how far it is.

    Raises:
        UnsupportedError: for a model that is no classifier of images in files.
        ConfigurationError: for images that cannot be read, and where no family has all severities.
    """
    sampled, progress = sampled or Sampled(), progress or Silent()
    views_of(loaded)
    left_out = _left_out(corrupted, severities)
    families = [name for name in corrupted.severities if name not in left_out]
    if not families:
        raise ConfigurationError(
            "cannot evaluate on corrupted images, because no family has all of the severities "
            f"{', '.join(map(str, severities))}; name those that are there"
        )
    progress.begin("published corruptions", 1 + len(families) * len(severities))
    try:
        own = predict(loaded, sampled)
        progress.advance(1)
        seen = {
            name: [
                _seen(loaded, corrupted.open(name, severity), sampled, skip_damaged, progress)
                for severity in severities
            ]
            for name in families
        }
    finally:
        progress.end()
    every = [one for found in seen.values() for one in found]
    missing = (*corrupted.missing, *(name for one in every for name in one.missing))
    return PublishedErrors(
        sampled.split,
        min(one.count for one in every),
        _error(right(own.outputs, own.targets[:, None])),
        tuple(severities),
        {name: tuple(one.error for one in found) for name, found in seen.items()},
        left_out,
        damaged=sum(one.damaged for one in every),
        missing=tuple(dict.fromkeys(missing)),
    )


@dataclass(frozen=True)
class _Seen:
    """A family at a severity."""

    error: float
    count: int
    damaged: int
    missing: tuple[str, ...]


def _seen(loaded: Loaded, labelled: Labelled, sampled: Sampled, skip_damaged: bool, progress: Progress) -> _Seen:
    split = labelled.split(views_of(loaded), skip_damaged=skip_damaged)
    found = predict_of(loaded, split, sampled)
    progress.advance(1)
    damaged = len(sampled.numbers(split)) - len(found)
    return _Seen(_error(right(found.outputs, found.targets)), len(found), damaged, labelled.missing)


def _error(correct: torch.Tensor) -> float:
    """In percent."""
    return 100.0 * (~correct).double().mean().item()


def _left_out(corrupted: Corrupted, severities: Sequence[int]) -> dict[str, str]:
    """Families that are there in part."""
    found = {}
    for name, there in corrupted.severities.items():
        absent = [str(severity) for severity in severities if severity not in there]
        if absent:
            found[name] = f"severity {', '.join(absent)} of {FAMILIES[name].words.lower()} is missing"
    return found
