"""Errors on published corrupted images: ImageNet-C, CIFAR-10-C, CIFAR-100-C."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

from samnesia.evaluate.predictions import Sampled, predict, predict_of
from samnesia.evaluate.shifts import right, views_of
from samnesia.measure.estimate import Estimate
from samnesia.measure.progress import Progress, Silent

if TYPE_CHECKING:
    from samnesia.data.published.labelled import Labelled
    from samnesia.train.loaded import Loaded


class Corrupted(Protocol):
    """Published corrupted images, as they lie on disk."""

    missing: tuple[str, ...]
    """What is not there, and is left out."""

    @property
    def severities(self) -> Mapping[str, tuple[int, ...]]:
        """Of each family of corruptions that is there."""

    def open(self, corruption: str, severity: int) -> Labelled:
        """The images of a family at a severity."""


@dataclass(frozen=True)
class PublishedErrors:
    """A model on published corrupted images.

    Attributes:
        clean: error on the model's own images, 0 to 1, with its standard error over images.
        errors: of each family of corruptions, by severity.
        damaged: images that were left out, because they cannot be decoded.
        missing: what is not there, and was left out.
    """

    clean: Estimate
    errors: Mapping[str, Mapping[int, Estimate]]
    damaged: int = 0
    missing: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "clean": self.clean.as_dict(),
            "errors": {
                name: {str(severity): error.as_dict() for severity, error in found.items()}
                for name, found in self.errors.items()
            },
            "damaged": self.damaged,
            "missing": list(self.missing),
        }

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> PublishedErrors:
        """What :meth:`as_dict` has written."""
        errors = {
            name: {int(severity): Estimate.from_dict(error) for severity, error in found.items()}
            for name, found in written["errors"].items()
        }
        return cls(Estimate.from_dict(written["clean"]), errors, written["damaged"], tuple(written["missing"]))


def published_errors(
    loaded: Loaded,
    corrupted: Corrupted,
    sampled: Sampled | None = None,
    *,
    skip_damaged: bool = False,
    progress: Progress | None = None,
) -> PublishedErrors:
    """Error on each family of corruptions at each severity, and on a split of the model's own.

    Args:
        loaded: the model and its data.
        corrupted: the images.
        sampled: how many images of each family and severity, and of which split of the model's own; None is all, of
            the test split.
        skip_damaged: leave images that cannot be decoded out, instead of stopping.
        progress: told of each family and severity.

    Raises:
        UnsupportedError: for a model that is no classifier of images in files.
        ConfigurationError: for images that cannot be read.
    """
    sampled, progress, views = sampled or Sampled(), progress or Silent(), views_of(loaded)
    own = predict(loaded, sampled)
    clean = _error(right(own.outputs, own.targets[:, None]))
    errors: dict[str, dict[int, Estimate]] = {}
    missing, damaged = list(corrupted.missing), 0
    places = [(name, severity) for name, found in corrupted.severities.items() for severity in found]
    progress.begin("corrupted images", len(places))
    try:
        for name, severity in places:
            labelled = corrupted.open(name, severity)
            split = labelled.split(views, skip_damaged=skip_damaged)
            seen = predict_of(loaded, split, sampled)
            errors.setdefault(name, {})[severity] = _error(right(seen.outputs, seen.targets))
            damaged += len(sampled.numbers(split)) - len(seen)
            missing += labelled.missing
            progress.advance(1)
    finally:
        progress.end()
    return PublishedErrors(clean, errors, damaged, tuple(dict.fromkeys(missing)))


def _error(correct: torch.Tensor) -> Estimate:
    return Estimate.of((~correct).double().tolist())
