"""Criteria of training and measures of evaluation.

A criterion is ``(output, target) -> scalar``. A measure is a torchmetrics metric: it adds up batches of any size and
gives the exact figure over all samples and all ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric

Criterion = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Measure:
    """A figure of evaluation: how it is added up, and how it reads."""

    build: Callable[[], Metric]
    unit: str = ""
    higher_is_better: bool = True


class MeanOfSamples(Metric):
    """The mean over all samples of ``of(output, target)``, shape ``[n]``, times ``scale``; NaN over none.

    Summed in float64, so that the figure does not depend on how the samples were batched beyond its last digits.
    """

    full_state_update = False

    def __init__(self, of: Callable[[Tensor, Tensor], Tensor], scale: float = 1.0) -> None:
        super().__init__()
        self._of, self._scale = of, scale
        self.total: Tensor
        self.count: Tensor
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch."""
        values = self._of(output, target)
        self.total += values.double().sum()
        self.count += values.numel()

    def compute(self) -> Tensor:
        """Return the mean over all batches."""
        return self._scale * self.total / self.count


def cross_entropy(smoothing: float) -> Criterion:
    """Softmax cross-entropy, averaged over the samples."""

    def mean_cross_entropy(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target, label_smoothing=smoothing)

    return mean_cross_entropy


def cross_entropy_of_samples(output: Tensor, target: Tensor) -> Tensor:
    """Softmax cross-entropy of each sample, in nats."""
    return F.cross_entropy(output, target, reduction="none")


def binary_cross_entropy(smoothing: float) -> Criterion:
    """Sigmoid cross-entropy, summed over the classes and averaged over the samples.

    With smoothing s, a target t of K classes becomes (1 - s) t + s / K.
    """

    def mean_binary_cross_entropy(output: Tensor, target: Tensor) -> Tensor:
        shares = _smoothed(_shares(output, target), smoothing)
        return F.binary_cross_entropy_with_logits(output, shares, reduction="sum") / len(output)

    return mean_binary_cross_entropy


def binary_cross_entropy_of_samples(output: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """Sigmoid cross-entropy of each sample, summed over the classes, in nats."""
    shares = _smoothed(_shares(output, target), smoothing)
    return F.binary_cross_entropy_with_logits(output, shares, reduction="none").flatten(1).sum(1)


def _smoothed(shares: Tensor, smoothing: float) -> Tensor:
    return (1.0 - smoothing) * shares + smoothing / shares.shape[1] if smoothing else shares


def _shares(output: Tensor, target: Tensor) -> Tensor:
    if target.is_floating_point():
        return target.to(output.dtype)
    return F.one_hot(target, output.shape[1]).to(output.dtype)


def hits(k: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Whether the label is among the k largest outputs of each sample, as 0 or 1."""

    def of(output: Tensor, target: Tensor) -> Tensor:
        if k == 1:
            return output.argmax(dim=1) == target
        return (output.topk(k, dim=1).indices == target[:, None]).any(dim=1)

    return of


def classification(loss: Callable[[Tensor, Tensor], Tensor], num_outputs: int) -> Mapping[str, Measure]:
    """The measures of a classifier: accuracy first, by which a run is judged, then loss and top-5."""
    measures = {
        "accuracy": Measure(lambda: MeanOfSamples(hits(1), 100.0), unit="%"),
        "loss": Measure(lambda: MeanOfSamples(loss), unit="nats", higher_is_better=False),
    }
    if num_outputs > 5:
        measures["top5_accuracy"] = Measure(lambda: MeanOfSamples(hits(5), 100.0), unit="%")
    return measures
