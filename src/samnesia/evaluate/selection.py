"""Selective accuracy: how right a classifier is on those samples of which it is most sure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samnesia.measure.estimate import plain
from samnesia.perturb.errors import ConfigurationError

Array = NDArray[np.float64]

COVERAGES = (0.5, 0.8, 0.9)
"""At which the accuracy is told."""
POINTS = 200
"""Of the curve that is kept, at most."""


@dataclass(frozen=True, eq=False)
class Selective:
    r"""Errors among the samples that are answered, as fewer and fewer are.

    With the n samples in descending order of confidence, the risk at coverage k/n is the share of errors among the
    first k. Among equal confidences none comes first: each counts as the mean of them.

    Attributes:
        coverage: shares of the samples that are answered, ascending up to 1, at most :data:`POINTS`.
        risk: the share of errors among them.
        area: :math:`\mathrm{AURC} = \frac1n \sum_k r_k`, the mean risk (Geifman et al., ICLR 2019).
        excess: AURC minus that of the same errors in the best order, all of them last (E-AURC, there).
        accuracies: at the coverages of :data:`COVERAGES`.
    """

    coverage: Array
    risk: Array
    area: float
    excess: float
    accuracies: Mapping[float, float]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "coverage": self.coverage.tolist(),
            "risk": self.risk.tolist(),
            "aurc": plain(self.area),
            "excess_aurc": plain(self.excess),
            "accuracy_at": {f"{share:g}": value for share, value in self.accuracies.items()},
        }

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Selective:
        """What :meth:`as_dict` has written."""
        return cls(
            np.array(written["coverage"], dtype=float),
            np.array(written["risk"], dtype=float),
            written["aurc"],
            written["excess_aurc"],
            {float(share): value for share, value in written["accuracy_at"].items()},
        )


def selective(confidence: Array, right: Array) -> Selective:
    """Risk over coverage, by the confidence in the predicted class (softmax response).

    Args:
        confidence: of each sample, ``[n]``; only its order counts.
        right: whether its prediction is, as 0 or 1, ``[n]``.

    Raises:
        ConfigurationError: for no samples, or confidences that are not finite.
    """
    if not len(confidence) or not np.isfinite(confidence).all():
        raise ConfigurationError(
            "cannot order samples by their confidence, because each requires a finite one, and one sample is the "
            "least; look at the outputs"
        )
    wrong = _in_order(confidence, 1.0 - right)
    count = len(wrong)
    risks = np.cumsum(wrong) / np.arange(1, count + 1)
    best = np.cumsum(np.sort(1.0 - right)) / np.arange(1, count + 1)
    kept = np.unique(np.linspace(0, count - 1, min(count, POINTS)).round().astype(int))
    area = float(risks.mean())
    accuracies = {share: 1.0 - float(risks[math.ceil(share * count) - 1]) for share in COVERAGES}
    return Selective((kept + 1) / count, risks[kept], area, area - float(best.mean()), accuracies)


def _in_order(confidence: Array, wrong: Array) -> Array:
    """Errors by descending confidence; of equal confidences each as their mean."""
    _, place, sizes = np.unique(-confidence, return_inverse=True, return_counts=True)
    means = np.bincount(place, weights=wrong) / sizes
    return np.repeat(means, sizes)
