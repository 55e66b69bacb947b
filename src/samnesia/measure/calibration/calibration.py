"""Calibration and margins of a classifier: is it as often right as it is sure, and how far is the label ahead?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samnesia.extras import require
from samnesia.measure.calibration.links import Link, Sigmoid, Softmax, gathered
from samnesia.measure.estimate import Estimate, plain
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError, UnsupportedError

Array = NDArray[np.float64]

PERCENTS = tuple(range(101))
"""The quantiles of margins that are kept."""
_COLUMNS = ("edges", "counts", "confidence", "accuracy")
_BARS = 40
_SHOWN = (1, 25, 50, 75, 99)


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """Samples by their confidence, in bins of equal width (a reliability diagram).

    Attributes:
        edges: of the bins, ``[bins + 1]`` from 0 to 1; a bin holds its lower edge, the last one both.
        counts: samples in each, ``[bins]``.
        confidence: their mean confidence; NaN where there are none.
        accuracy: the share that is right; NaN likewise.
    """

    edges: Array
    counts: Array
    confidence: Array
    accuracy: Array

    @classmethod
    def of(cls, confidence: Array, right: Array, bins: int) -> Bins:
        """Of samples with this confidence that are right (1) or wrong (0)."""
        edges = np.linspace(0.0, 1.0, bins + 1)
        place = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, bins - 1)
        counts = np.bincount(place, minlength=bins).astype(float)
        some = np.where(counts > 0, counts, np.nan)
        sums = (np.bincount(place, weights=values, minlength=bins) for values in (confidence, right))
        return cls(edges, counts, *(total / some for total in sums))


@dataclass(frozen=True, slots=True, eq=False)
class Margins:
    """How far the label is ahead of the best other class, over samples.

    Attributes:
        mean: and its standard error.
        behind: the share of samples with a margin below 0.
        quantiles: at 0, 1, …, 100 %: ``[101]``.
        edges: of the bins of a histogram, ``[bins + 1]``.
        counts: samples in each, ``[bins]``.
    """

    mean: Estimate
    behind: float
    quantiles: Array
    edges: Array
    counts: Array

    @classmethod
    def of(cls, values: Array, limits: tuple[float, float] | None = None) -> Margins:
        """Of these margins; the histogram lies between the limits (None: between the least and the largest)."""
        counts, edges = np.histogram(values, bins=_BARS, range=limits)
        quantiles = np.percentile(values, PERCENTS)
        return cls(Estimate.of(list(values)), float((values < 0).mean()), quantiles, edges, counts.astype(float))

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Margins:
        """What :meth:`as_dict` has written."""
        arrays = (np.array(written[name], dtype=float) for name in ("quantiles", "edges", "counts"))
        return cls(Estimate.from_dict(written["mean"]), written["behind"], *arrays)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        arrays = {name: _list(getattr(self, name)) for name in ("quantiles", "edges", "counts")}
        return {"mean": self.mean.as_dict(), "behind": self.behind, **arrays}

    def __str__(self) -> str:
        """The mean and five quantiles."""
        some = ", ".join(f"{self.quantiles[percent]:.3g}" for percent in _SHOWN)
        return f"mean {self.mean}, at {', '.join(map(str, _SHOWN))} %: {some}"


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    r"""Calibration and margins over samples.

    With p the probabilities of a sample's K classes by the link, y its label, and its confidence :math:`\max_k p_k`:

    Attributes:
        link: how logits became probabilities.
        samples: how many there are.
        accuracy: the share whose most probable class (the first of equals) is the label.
        confidence: the mean confidence; above the accuracy, the model is too sure of itself.
        ece: expected calibration error, Σ over bins of (share of samples) · \|accuracy - mean confidence\| (Guo et al.,
            ICML 2017; by torchmetrics, bins of equal width). It is biased upwards where bins hold few samples.
        worst_bin: the largest \|accuracy - mean confidence\| of a bin.
        brier: mean of Σ_k (p_k - [k = y])², between 0 and 2 for the softmax (Brier, 1950).
        nll: mean negative log-likelihood in nats.
        bins: what the reliability diagram shows.
        probability_margins: p_y - max_{k≠y} p_k, between -1 and 1.
        logit_margins: the same of the logits.
        groups: the same for groups of the samples.
    """

    link: Link
    samples: int
    accuracy: Estimate
    confidence: Estimate
    ece: float
    worst_bin: float
    brier: Estimate
    nll: Estimate
    bins: Bins
    probability_margins: Margins
    logit_margins: Margins
    groups: Mapping[str, Calibration]

    def __str__(self) -> str:
        """A readable block."""
        how = f"{type(self.link).__name__.lower()}, {len(self.bins.counts)} bins"
        lines = [
            f"calibration over {self.samples} samples ({how})",
            f"  accuracy {self.accuracy}, mean confidence {self.confidence}",
            f"  ECE {self.ece:.4g} (worst bin {self.worst_bin:.3g}), Brier {self.brier}, NLL {self.nll} nats",
            f"  probability margin: {self.probability_margins}",
            f"  logit margin: {self.logit_margins}",
        ]
        for name, group in self.groups.items():
            figures = f"accuracy {group.accuracy}, NLL {group.nll}, probability margin {group.probability_margins.mean}"
            lines.append(f"  {name} ({group.samples}): {figures}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; what is not there is None."""
        return {
            "link": type(self.link).__name__.lower(),
            "samples": self.samples,
            "accuracy": self.accuracy.as_dict(),
            "confidence": self.confidence.as_dict(),
            "ece": self.ece,
            "worst_bin": self.worst_bin,
            "brier": self.brier.as_dict(),
            "nll": self.nll.as_dict(),
            "bins": {name: _list(getattr(self.bins, name)) for name in _COLUMNS},
            "probability_margins": self.probability_margins.as_dict(),
            "logit_margins": self.logit_margins.as_dict(),
            "groups": {name: group.as_dict() for name, group in self.groups.items()},
        }

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Calibration:
        """What :meth:`as_dict` has written: to be drawn, say."""
        estimates = {name: Estimate.from_dict(written[name]) for name in ("accuracy", "confidence", "brier", "nll")}
        return cls(
            link={"softmax": Softmax(), "sigmoid": Sigmoid()}[written["link"]],
            samples=written["samples"],
            ece=written["ece"],
            worst_bin=written["worst_bin"],
            bins=Bins(*(np.array(written["bins"][name], dtype=float) for name in _COLUMNS)),
            probability_margins=Margins.from_dict(written["probability_margins"]),
            logit_margins=Margins.from_dict(written["logit_margins"]),
            groups={name: cls.from_dict(group) for name, group in written["groups"].items()},
            **estimates,
        )


@torch.no_grad()
def calibration_of(
    subject: Subject, *, link: Link | None = None, bins: int = 15, groups: Mapping[str, Tensor] | None = None
) -> Calibration:
    """Measure the calibration and the margins of a classifier; one pass over the data.

    Args:
        subject: a model whose outputs are logits ``[n, K]``, with targets that are class indices.
        link: how logits become probabilities: :class:`Softmax` (the default) or :class:`Sigmoid`.
        bins: of equal width, for the expected calibration error.
        groups: by name, which samples are in a group (bool, an entry for each sample in their order, of this process);
            those without any are left out.

    Raises:
        UnsupportedError: for outputs that are no logits of two or more classes, or targets that are no class indices.
        ConfigurationError: for fewer than one bin, outputs that are not finite, or groups of another length.
    """
    _check_bins(bins)
    link = link or Softmax()
    parts: list[dict[str, Tensor]] = []
    with subject.counting("calibration", 1), subject.looking():
        parts.extend(_of_samples(subject.model(batch[0]), batch[1], link) for batch in subject.batches())
    table = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    masks = _checked(groups or {}, len(table["right"]))
    if subject.distributed:
        table, masks = gathered(table), gathered(masks)
    return _summary(
        {name: values.numpy() for name, values in table.items()}, link, bins, {k: m.numpy() for k, m in masks.items()}
    )


def calibration_of_outputs(
    outputs: Tensor,
    targets: Tensor,
    *,
    link: Link | None = None,
    bins: int = 15,
    groups: Mapping[str, Tensor] | None = None,
) -> Calibration:
    """The same of outputs ``[n, K]`` that are there already, and their targets ``[n]``; see :func:`calibration_of`."""
    _check_bins(bins)
    link = link or Softmax()
    table = _of_samples(outputs, targets, link)
    masks = _checked(groups or {}, len(targets))
    return _summary(
        {name: values.numpy() for name, values in table.items()}, link, bins, {k: m.numpy() for k, m in masks.items()}
    )


def _of_samples(output: Any, targets: Tensor, link: Link) -> dict[str, Tensor]:
    """What is known of each sample, in double precision on the CPU."""
    _check(output, targets)
    logits, targets = output.double(), targets.long()
    probabilities = link.probabilities(logits)
    confidence, predicted = probabilities.max(1)
    labels = torch.nn.functional.one_hot(targets, logits.shape[1]).to(logits.dtype)
    values = {
        "right": (predicted == targets).double(),
        "confidence": confidence,
        "brier": (probabilities - labels).square().sum(1),
        "nll": link.loss_of_samples(logits, targets),
        "probability_margin": _margin(probabilities, targets),
        "logit_margin": _margin(logits, targets),
    }
    return {name: value.cpu() for name, value in values.items()}


def _margin(scores: Tensor, targets: Tensor) -> Tensor:
    own = scores.gather(1, targets[:, None])[:, 0]
    return own - scores.scatter(1, targets[:, None], -math.inf).amax(1)


def _summary(table: Mapping[str, Array], link: Link, bins: int, masks: Mapping[str, NDArray[np.bool_]]) -> Calibration:
    confidence, right = table["confidence"], table["right"]
    return Calibration(
        link=link,
        samples=len(right),
        accuracy=Estimate.of(list(right)),
        confidence=Estimate.of(list(confidence)),
        ece=_calibration_error(confidence, right, bins, "l1"),
        worst_bin=_calibration_error(confidence, right, bins, "max"),
        brier=Estimate.of(list(table["brier"])),
        nll=Estimate.of(list(table["nll"])),
        bins=Bins.of(confidence, right, bins),
        probability_margins=Margins.of(table["probability_margin"], (-1.0, 1.0)),
        logit_margins=Margins.of(table["logit_margin"]),
        groups={
            name: _summary({key: values[mask] for key, values in table.items()}, link, bins, {})
            for name, mask in masks.items()
            if mask.any()
        },
    )


def _check_bins(bins: int) -> None:
    if bins < 1:
        raise ConfigurationError(f"cannot sort confidences into {bins} bins, because one is the least; give bins >= 1")


def _calibration_error(confidence: Array, right: Array, bins: int, norm: str) -> float:
    """By torchmetrics: the error of "the prediction is right", whose probability the confidence is.

    Its multi-class form rounds to single precision. Confidences of 1 would have a bin of their own.
    """
    metrics = require("torchmetrics.functional.classification", extra="analysis")
    below_one = torch.from_numpy(confidence).clamp(max=math.nextafter(1.0, 0.0))
    return float(metrics.binary_calibration_error(below_one, torch.from_numpy(right).long(), n_bins=bins, norm=norm))


def _check(output: Any, targets: Tensor) -> None:
    if not isinstance(output, Tensor) or output.ndim != 2 or output.shape[1] < 2:
        shape = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise UnsupportedError(
            f"cannot measure the calibration of outputs {shape}, because it requires logits of two or more classes "
            "[n, K]; measure a classifier"
        )
    if targets.ndim != 1 or targets.is_floating_point() or int(targets.min()) < 0 or targets.max() >= output.shape[1]:
        raise UnsupportedError(
            f"cannot measure calibration with {str(targets.dtype).removeprefix('torch.')} targets of shape "
            f"{list(targets.shape)}, because it requires one class index below {output.shape[1]} per sample; give "
            "class indices"
        )
    if not output.isfinite().all():
        raise ConfigurationError(
            "cannot measure calibration with outputs that are not finite, because they are no probabilities; look at "
            "the weights and the inputs"
        )


def _checked(groups: Mapping[str, Tensor], samples: int) -> dict[str, Tensor]:
    for name, mask in groups.items():
        if mask.dtype != torch.bool or mask.shape != (samples,):
            raise ConfigurationError(
                f"cannot use the group {name!r} of {mask.dtype} and shape {list(mask.shape)}, because it requires one "
                f"bool for each of the {samples} samples, in their order; build it from the same samples"
            )
    return {name: mask.cpu() for name, mask in groups.items()}


def _list(values: Array) -> list[float | None]:
    return [plain(value) for value in values.tolist()]
