"""The estimators on logits: what predictions hold, and what of it a perturbation has taken (E1 to E4)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor

from samnesia.measure.calibration.links import Link, Softmax
from samnesia.measure.estimate import Estimate
from samnesia.measure.forgetting.corrections import Correction, MillerMadow, divergence
from samnesia.perturb.errors import ConfigurationError, UnsupportedError

WHOLE = "all"
"""The group of all samples."""
FEW = 10
"""Samples per class below which I(X;Ŷ|Y) rests on its correction, and this is said."""

Labels = Mapping[str, Tensor]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Estimator:
    """How predictions are read: by which link, with which correction of the bias."""

    link: Link = field(default_factory=Softmax)
    correction: Correction = field(default_factory=MillerMadow)

    def held(self, logits: Tensor, labels: Tensor, others: Labels | None = None) -> dict[str, Tensor]:
        """What each sample contributes to what its prediction holds, in nats, [n] by name; see :func:`information`.

        Args:
            logits: [n, K].
            labels: classes [n].
            others: further labels of the samples by name, [n] each, such as the true classes where labels are noisy;
                of any classes, also more than K.
        """
        _check(logits, labels)
        log_p = log_outcomes(self.link, logits)
        output = self.correction.pointwise(log_p, torch.zeros_like(labels))
        found = {"output": output}
        for ending, classes in _by_ending(labels, others):
            _check(logits, classes, within=classes is labels)
            superfluous = self.correction.pointwise(log_p, classes.unique(return_inverse=True)[1])
            found[f"superfluous{ending}"] = superfluous
            found[f"useful{ending}"] = output - superfluous
        return found

    def forgotten(
        self,
        before: Tensor,
        after: Tensor,
        labels: Tensor,
        others: Labels | None = None,
        *,
        held: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """What each sample contributes to what is forgotten between two sets of logits, by name; see :func:`forgotten`.

        Args: as :meth:`held`; ``held`` is what that gives for ``before``, where it is known.

        Raises:
            ConfigurationError: for logits and labels that do not belong together.
        """
        _check(before, labels, after)
        log_p, log_q = log_outcomes(self.link, before), log_outcomes(self.link, after)
        held = self.held(before, labels, others) if held is None else held
        left = self.held(after, labels, others)
        right, still = before.argmax(1) == labels, after.argmax(1) == labels
        return {
            **{name: held[name] - left[name] for name in held},
            "divergence": divergence(log_p, log_q),
            "accuracy_drop": right.double() - still.double(),
            "loss_rise": self._loss(after, labels) - self._loss(before, labels),
            **{f"{name}_before": held[name] for name in held},
        }

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return self.link.loss_of_samples(logits.detach().double(), labels)


@dataclass(frozen=True, slots=True)
class Estimates:
    """Estimates by group and name, and on how many samples they stand.

    The error of each is the standard error over samples (delta method: an information is the mean of pointwise ones,
    whose own dependence on the mean prediction has no effect at first order).
    """

    groups: Mapping[str, Mapping[str, Estimate]]
    """Estimates by group and name; the group ``all`` is always there. A group without a sample is left out."""
    per_class: int
    """Samples of the rarest class: below :data:`FEW`, I(X;Ŷ|Y) rests on the correction of its bias."""

    def __getitem__(self, name: str) -> Estimate:
        """That of all samples."""
        return self.groups[WHOLE][name]

    @property
    def few(self) -> bool:
        """Whether a class has too few samples for its mean prediction to be known."""
        return self.per_class < FEW

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values: ``{"groups": {group: {name: estimate}}, "samples": …, "per_class": …}``."""
        return {
            "groups": {group: {name: e.as_dict() for name, e in found.items()} for group, found in self.groups.items()},
            "samples": {group: next(iter(found.values())).count for group, found in self.groups.items()},
            "per_class": self.per_class,
        }

    def __str__(self) -> str:
        """A line per name, a column per group."""
        names = list(self.groups[WHOLE])
        head = f"{'':24}" + "".join(f"{group:>22}" for group in self.groups)
        lines = [f"{name:24}" + "".join(f"{str(found[name]):>22}" for found in self.groups.values()) for name in names]
        note = f"rarest class: {self.per_class} samples" + (", few" if self.few else "")
        return "\n".join([head, *lines, note])


def information(
    logits: Tensor,
    labels: Tensor,
    *,
    link: Link = Softmax(),  # noqa: B008 (frozen)
    correction: Correction = MillerMadow(),  # noqa: B008 (frozen)
    others: Labels | None = None,
    groups: Labels | None = None,
) -> Estimates:
    r"""The information that predictions hold about their inputs and labels, in nats (E1, E2 at one set of weights).

    ``output`` is :math:`I(X;\hat Y) = H(\bar p) - \mathrm{mean}\, H(p)`; ``superfluous`` is :math:`I(X;\hat Y|Y)`, its
    part that tells samples of one class apart; ``useful`` is :math:`I(\hat Y;Y)`, the rest. For each of ``others``,
    ``useful_NAME`` and ``superfluous_NAME`` are those two with its labels in place of Y.

    Args:
        logits: [n, K].
        labels: classes [n], int64.
        link: how logits become probabilities. Under ``Sigmoid`` a prediction is K answers yes or no, each a draw of its
            own, and what is said of them is summed over the K, as the loss of such nets is. That is an upper bound of
            the information of all K answers together: classes that say the same count twice.
        correction: what is done about the bias.
        others: further labels of the samples.
        groups: groups of samples by name, as boolean masks [n], or as integers [n], whose values are groups of their
            own. The information of a group is its mean of the pointwise ones, against the mean prediction of *all*
            samples: so the groups add up, and a small one has no more bias than a large one.

    Raises:
        ConfigurationError: for labels or groups that do not fit the logits, such as a label that is none of 0…K-1.
        UnsupportedError: for logits of another shape.
    """
    estimator = Estimator(link=link, correction=correction)
    return estimates(estimator.held(logits, labels, others), labels, groups)


def forgotten(
    before: Tensor,
    after: Tensor,
    labels: Tensor,
    *,
    link: Link = Softmax(),  # noqa: B008 (frozen)
    correction: Correction = MillerMadow(),  # noqa: B008 (frozen)
    others: Labels | None = None,
    groups: Labels | None = None,
) -> Estimates:
    """What predictions lose from one set of weights to another, on the same samples (E1 to E3).

    ``output``, ``superfluous``, ``useful`` (and those of ``others``): what is lost of each information, see
    :func:`information`; ``superfluous_share``: superfluous / output, the share of what is lost that told samples of one
    class apart (NaN where nothing is lost); ``divergence``: mean KL(before ‖ after); ``accuracy_drop``, a share of 1;
    ``loss_rise`` of the cross-entropy (on the samples of the perturbation that is m-sharpness: a rival of forgetting);
    ``output_before`` …: the informations before.

    Args: see :func:`information`; ``before`` and ``after`` are logits [n, K].

    Raises:
        ConfigurationError: for labels, groups or logits that do not belong together.
        UnsupportedError: for logits of another shape.
    """
    estimator = Estimator(link=link, correction=correction)
    return estimates(estimator.forgotten(before, after, labels, others), labels, groups)


def estimates(pointwise: Mapping[str, Tensor], labels: Tensor, groups: Labels | None) -> Estimates:
    """Means over all samples and over groups of what single samples contribute."""
    found = {}
    for group, mask in masks(groups, len(labels)).items():
        found[group] = of_samples(pointwise, mask)
        if "superfluous_before" in pointwise:
            lost = (pointwise[name][mask.to(labels.device)].tolist() for name in ("superfluous", "output"))
            found[group]["superfluous_share"] = ratio(*lost)
    return Estimates(found, per_class(labels))


def masks(groups: Labels | None, samples: int) -> dict[str, Tensor]:
    """Boolean masks by name: all samples, and each group that has one.

    Raises:
        ConfigurationError: for a group that says nothing of some samples.
    """
    found = {WHOLE: torch.ones(samples, dtype=torch.bool)}
    for name, members in (groups or {}).items():
        if members.shape != (samples,) or members.is_floating_point():
            raise ConfigurationError(
                f"cannot split {samples} samples by {name!r}, whose labels are {members.dtype} of shape "
                f"{list(members.shape)}, because each sample requires one; give a boolean mask, or integers"
            )
        members = members.cpu()
        if members.dtype == torch.bool:
            found[name] = members
        else:
            found |= {f"{name}={value}": members == value for value in members.unique().tolist()}
    return {name: mask for name, mask in found.items() if bool(mask.any())}


def log_outcomes(link: Link, logits: Tensor) -> Tensor:
    """Log-probabilities [n, outcomes] in double precision; raises UnsupportedError for what are no logits [n, K]."""
    if logits.ndim != 2 or logits.shape[1] < 2 or not logits.is_floating_point():
        raise UnsupportedError(
            f"cannot estimate forgetting from outputs of shape {tuple(logits.shape)} and type {logits.dtype}, because "
            "a prediction requires the logits of two classes or more; give a floating tensor of shape [n, K]"
        )
    return link.log_outcomes(logits.detach().double())


def per_class(labels: Tensor) -> int:
    """How many samples the rarest of the classes that occur has."""
    return int(labels.unique(return_counts=True)[1].min()) if len(labels) else 0


def ratio(above: Sequence[float], below: Sequence[float]) -> Estimate:
    """The ratio of two means with its standard error (delta method); NaN where the lower mean is 0."""
    count, total = len(below), math.fsum(below)
    if not count or total == 0.0:
        return Estimate(math.nan, math.nan, count)
    value = math.fsum(above) / total
    rest = [(a - value * b) * count / total for a, b in zip(above, below, strict=True)]
    return Estimate(value, Estimate.of(rest).error, count)


def of_samples(pointwise: Mapping[str, Tensor], mask: Tensor) -> dict[str, Estimate]:
    """Means over the samples of a mask, with their standard errors."""
    values = torch.stack(list(pointwise.values())).cpu()[:, mask]
    count = values.shape[1]
    errors = values.std(1) / math.sqrt(count) if count > 1 else torch.full((len(values),), math.nan)
    figures = zip(values.mean(1).tolist(), errors.tolist(), strict=True)
    return {name: Estimate(*figure, count) for name, figure in zip(pointwise, figures, strict=True)}


def _by_ending(labels: Tensor, others: Labels | None) -> list[tuple[str, Tensor]]:
    return [("", labels), *((f"_{name}", classes) for name, classes in (others or {}).items())]


def _check(logits: Tensor, labels: Tensor, after: Tensor | None = None, *, within: bool = True) -> None:
    """Refuse labels that are not one class per sample, or, with ``within``, none of those that have a logit."""
    if labels.is_floating_point() or labels.dtype == torch.bool or labels.shape != logits.shape[:1] or not len(labels):
        raise ConfigurationError(
            f"cannot estimate forgetting with labels {labels.dtype} of shape {list(labels.shape)} for logits of shape "
            f"{list(logits.shape)}, because each sample requires one class, and one sample is the least; give int64 [n]"
        )
    if within and logits.ndim == 2 and not 0 <= int(labels.min()) <= int(labels.max()) < logits.shape[1]:
        raise ConfigurationError(
            f"cannot estimate forgetting with labels from {int(labels.min())} to {int(labels.max())} for logits of "
            f"{logits.shape[1]} classes, because a label says which of them is right; leave out samples without a "
            f"label, and number the classes from 0 to {logits.shape[1] - 1}"
        )
    if after is not None and after.shape != logits.shape:
        raise ConfigurationError(
            f"cannot compare logits of shape {list(logits.shape)} with {list(after.shape)}, because they have to be of "
            "the same samples and classes; evaluate both on one batch"
        )
