"""What a run minimises and what it is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from samnesia.measure.calibration.links import Link
    from samnesia.train.measures import Criterion, Measure


def _check_smoothing(smoothing: float) -> None:
    require(
        0.0 <= smoothing < 1.0,
        f"cannot smooth labels by {smoothing}, because it is a share of the target; use a value from 0 to below 1",
    )


@dataclass(frozen=True)
class CrossEntropy:
    """Softmax cross-entropy, averaged over the samples; targets are class indices or distributions over classes."""

    smoothing: float = 0.0
    """Share of the target that is spread evenly over all classes."""

    def __post_init__(self) -> None:
        _check_smoothing(self.smoothing)

    def criterion(self) -> Criterion:
        """Return (output, target) -> scalar."""
        from samnesia.train.measures import cross_entropy

        return cross_entropy(self.smoothing)

    def of_samples(self) -> Criterion:
        """Return (output, target) -> the loss of each sample, of which the criterion is the mean."""
        from functools import partial

        from torch.nn.functional import cross_entropy

        return partial(cross_entropy, reduction="none", label_smoothing=self.smoothing)

    def of_evaluation(self) -> Criterion:
        """Return the criterion without what is for training only: no smoothing."""
        from samnesia.train.measures import cross_entropy

        return cross_entropy(0.0)

    def link(self) -> Link:
        """Return how outputs become probabilities."""
        from samnesia.measure.calibration.links import Softmax

        return Softmax()

    def measures(self, num_outputs: int) -> Mapping[str, Measure]:
        """Return what evaluation reports, by name: the loss without smoothing, and the accuracies."""
        from samnesia.train.measures import classification, cross_entropy_of_samples

        require(
            num_outputs >= 2,
            f"cannot train with softmax cross-entropy on {num_outputs} output, because a softmax over one class is "
            "always 1; use two outputs, or a loss of your own",
        )
        return classification(cross_entropy_of_samples, num_outputs)


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """Sigmoid cross-entropy, summed over the classes and averaged over the samples (Vani et al.'s ViT runs)."""

    smoothing: float = 0.0
    """Share of the target that is spread evenly over all classes."""

    def __post_init__(self) -> None:
        _check_smoothing(self.smoothing)

    def criterion(self) -> Criterion:
        """Return (output, target) -> scalar."""
        from samnesia.train.measures import binary_cross_entropy

        return binary_cross_entropy(self.smoothing)

    def of_samples(self) -> Criterion:
        """Return (output, target) -> the loss of each sample, of which the criterion is the mean."""
        from functools import partial

        from samnesia.train.measures import binary_cross_entropy_of_samples

        return partial(binary_cross_entropy_of_samples, smoothing=self.smoothing)

    def of_evaluation(self) -> Criterion:
        """Return the criterion without what is for training only: no smoothing."""
        from samnesia.train.measures import binary_cross_entropy

        return binary_cross_entropy(0.0)

    def link(self) -> Link:
        """Return how outputs become probabilities."""
        from samnesia.measure.calibration.links import Sigmoid

        return Sigmoid()

    def measures(self, num_outputs: int) -> Mapping[str, Measure]:
        """Return what evaluation reports, by name: the loss without smoothing, and the accuracies."""
        from samnesia.train.measures import binary_cross_entropy_of_samples, classification

        return classification(binary_cross_entropy_of_samples, num_outputs)


Loss = CrossEntropy | BinaryCrossEntropy
