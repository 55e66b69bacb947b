"""How right a classifier is on samples as they are, how sure of it, and what it has memorized."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from samnesia.evaluate.memory import Memorization, memorization, memorization_of
from samnesia.evaluate.predictions import Predictions, Sampled, predict
from samnesia.evaluate.selection import Selective, selective
from samnesia.measure.calibration.calibration import Calibration, calibration_of_outputs
from samnesia.measure.estimate import Estimate
from samnesia.measure.estimate import plain as finite

if TYPE_CHECKING:
    from samnesia.train.loaded import Loaded

TOP = 5


@dataclass(frozen=True, eq=False)
class CleanAccuracy:
    """A classifier on samples as they are.

    Attributes:
        split: whose samples.
        samples: how many.
        accuracy: share that is right, 0 to 1, with its standard error over samples.
        top5: share whose label is among the five largest outputs; None for five classes and fewer.
        loss: the run's loss without smoothing, in its unit.
        calibration: reliability, ECE, Brier score, negative log-likelihood.
        selective: risk over coverage.
        memorized: of the training split and of this one, by second label.
    """

    split: str
    samples: int
    accuracy: Estimate
    top5: Estimate | None
    loss: float
    calibration: Calibration
    selective: Selective
    memorized: tuple[Memorization, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "split": self.split,
            "samples": self.samples,
            "accuracy": self.accuracy.as_dict(),
            "top5": None if self.top5 is None else self.top5.as_dict(),
            "loss": finite(self.loss),
            "calibration": self.calibration.as_dict(),
            "selective": self.selective.as_dict(),
            "memorized": [one.as_dict() for one in self.memorized],
        }

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> CleanAccuracy:
        """What :meth:`as_dict` has written."""
        return cls(
            written["split"],
            written["samples"],
            Estimate.from_dict(written["accuracy"]),
            None if written["top5"] is None else Estimate.from_dict(written["top5"]),
            written["loss"],
            Calibration.from_dict(written["calibration"]),
            Selective.from_dict(written["selective"]),
            tuple(map(Memorization.from_dict, written["memorized"])),
        )


def clean_accuracy(loaded: Loaded, sampled: Sampled | None = None, *, bins: int = 15) -> CleanAccuracy:
    """Accuracy, loss, calibration, selective accuracy and memorization of a run or pretrained model.

    Args:
        loaded: the model and its data.
        sampled: which samples of which split; None is all of the test split. Memorization is looked at on as many
            training samples as well.
        bins: of equal width, for the expected calibration error.

    Raises:
        UnsupportedError: for outputs that are no logits of classes, or targets that are no classes.
        ConfigurationError: for a split that is not there, or outputs that are not finite.
    """
    sampled = sampled or Sampled()
    found = predict(loaded, sampled)
    calibration = calibration_of_outputs(found.outputs, found.targets, link=loaded.config.loss.link(), bins=bins)
    memorized = memorization_of(loaded, sampled.split, found)
    if sampled.split != "train":
        memorized = (*memorization(loaded, replace(sampled, split="train")), *memorized)
    right = (found.outputs.argmax(1) == found.targets).double().numpy()
    return CleanAccuracy(
        sampled.split,
        len(found),
        Estimate.of(right.tolist()),
        _top(found),
        float(loaded.criterion(found.outputs, found.targets)),
        calibration,
        selective(_confidence(loaded, found), right),
        memorized,
    )


def _confidence(loaded: Loaded, found: Predictions) -> Any:
    return loaded.config.loss.link().probabilities(found.outputs.double()).amax(1).numpy()


def _top(found: Predictions) -> Estimate | None:
    from samnesia.train.measures import hits

    if found.outputs.shape[1] <= TOP:
        return None
    return Estimate.of(hits(TOP)(found.outputs, found.targets).double().tolist())
