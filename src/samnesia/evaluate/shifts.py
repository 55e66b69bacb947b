"""Accuracy on images of others, as their authors define it, beside the accuracy on the model's own images.

A prediction is right if it is any of the classes that are right for the image. Where a set has some classes only,
as ImageNet-R and ImageNet-A, the prediction is the largest output among these. The model's own images are judged by the
same rule: those of the same classes, with predictions among the same, so that the two accuracies differ by the shift
alone (R. Taori et al., "Measuring Robustness to Natural Distribution Shifts in Image Classification", NeurIPS 2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from samnesia.data.sample_split import SampleSplit, Views
from samnesia.evaluate.predictions import Predictions, Sampled, predict, predict_of
from samnesia.measure.estimate import Estimate
from samnesia.perturb.errors import UnsupportedError

if TYPE_CHECKING:
    from samnesia.data.published.labelled import Labelled
    from samnesia.train.loaded import Loaded


@dataclass(frozen=True)
class Shift:
    """A model on shifted images.

    Attributes:
        accuracy: share that is right, 0 to 1, with its standard error over images.
        clean: of the model's own images of the same classes, by the same rule; None where none of them was looked at.
        classes: how many are right for some of the images.
        among: how many may be predicted; None is all of the model.
        damaged: images that were left out, because they cannot be decoded.
        missing: what of the published set is not there, and was left out.
    """

    accuracy: Estimate
    clean: Estimate | None
    classes: int
    among: int | None
    damaged: int = 0
    missing: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "accuracy": self.accuracy.as_dict(),
            "clean": None if self.clean is None else self.clean.as_dict(),
            "classes": self.classes,
            "among": self.among,
            "damaged": self.damaged,
            "missing": list(self.missing),
        }

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Shift:
        """What :meth:`as_dict` has written."""
        return cls(
            Estimate.from_dict(written["accuracy"]),
            None if written["clean"] is None else Estimate.from_dict(written["clean"]),
            written["classes"],
            written["among"],
            written["damaged"],
            tuple(written["missing"]),
        )


def shift_accuracies(
    loaded: Loaded, sets: Mapping[str, Labelled], sampled: Sampled | None = None, *, skip_damaged: bool = False
) -> dict[str, Shift]:
    """Accuracy on each set, beside that on a split of the model's own.

    Args:
        loaded: the model and its data.
        sets: images with their right classes, by name.
        sampled: how many images of each set, and of which split of the model's own; None is all, of the test split.
        skip_damaged: leave images that cannot be decoded out, instead of stopping.

    Raises:
        UnsupportedError: for a model that is no classifier of images in files.
        ConfigurationError: for images that cannot be read.
    """
    sampled = sampled or Sampled()
    views = views_of(loaded)
    clean = predict(loaded, sampled)
    found = {}
    for name, labelled in sets.items():
        split = labelled.split(views, skip_damaged=skip_damaged)
        wanted = len(sampled.numbers(split))
        seen = predict_of(loaded, split, sampled)
        among = None if labelled.among is None else torch.from_numpy(labelled.among)
        found[name] = Shift(
            _share(right(seen.outputs, seen.targets, among)),
            _own(clean, torch.from_numpy(labelled.covered), among),
            classes=len(labelled.covered),
            among=None if among is None else len(among),
            damaged=wanted - len(seen),
            missing=labelled.missing,
        )
    return found


def right(outputs: Tensor, answers: Tensor, among: Tensor | None = None) -> Tensor:
    """Whether predictions are right, bool of shape ``[n]``.

    Args:
        outputs: of the model, shape ``[n, classes]``; the largest is the prediction.
        answers: class numbers that are right, shape ``[n, most]``; -1 is none.
        among: class numbers that may be predicted; None is all.
    """
    predicted = outputs.argmax(1) if among is None else among[outputs[:, among].argmax(1)]
    return (predicted[:, None] == answers).any(1)


def unseen(loaded: Loaded) -> str | None:
    """Why it cannot be known how images in files look to the model, in words; None if it can."""
    return None if _views(loaded) else "the model's own data are not images in files"


def views_of(loaded: Loaded) -> Views:
    """How images look to the model; raises UnsupportedError where this is not known."""
    if views := _views(loaded):
        return views
    raise UnsupportedError(
        "cannot evaluate on images in files with this model, because its own data do not say how such images look to "
        "it; use a model that was trained on Images"
    )


def _views(loaded: Loaded) -> Views | None:
    splits = (loaded.problem.test, loaded.problem.train)
    return next((split.views for split in splits if isinstance(split, SampleSplit)), None)


def _own(clean: Predictions, covered: Tensor, among: Tensor | None) -> Estimate | None:
    """The model's own images of the classes that the set covers."""
    chosen = torch.isin(clean.targets, covered)
    if not chosen.any():
        return None
    return _share(right(clean.outputs[chosen], clean.targets[chosen, None], among))


def _share(correct: Tensor) -> Estimate:
    return Estimate.of(correct.double().tolist())
