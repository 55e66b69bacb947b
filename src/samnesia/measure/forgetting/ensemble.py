r"""E5, the model-specific part: how far independently trained models differ, before and after their perturbations.

What is specific to a model is what another one, trained alike from another seed (and on another draw of the data),
would not say. In function space that is the spread of the predictions over K' models, for one and the same sample:

==============  ==================================  =====================================================
log_variance    mean over x, ŷ of Var_m log p_m     the form of methods.md §13.3; tiny probabilities count
                                                    as much as large ones
which_model     I(M;Ŷ|X) = mean over x of           how well a prediction tells which of the models made
                H(mean_m p_m) - mean_m H(p_m)       it, in nats; at most log K'
==============  ==================================  =====================================================

A perturbation that makes models forget what is specific to them brings them nearer to each other: both fall. They stand
for the information I(φ;S) that weights hold about the training set, and assume that

- the models are exchangeable: one configuration, seeds that nothing was chosen by, five or more of them;
- each is perturbed by its own method on a batch of its own, at the same step, and all see the same samples here;
- what all models share, right or wrong, is not specific, and is not seen by either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from samnesia.measure.calibration.links import Link, Softmax
from samnesia.measure.estimate import Estimate
from samnesia.measure.forgetting.corrections import Correction, MillerMadow
from samnesia.measure.forgetting.estimators import Labels, log_outcomes, masks
from samnesia.perturb.errors import ConfigurationError

FEWEST = 3
"""Models that there must be: leaving one out has to leave a spread."""


@dataclass(frozen=True, slots=True)
class ModelSpecific:
    """What models lose of what is specific to them; errors are those over models (jackknife)."""

    groups: Mapping[str, Mapping[str, Estimate]]
    """By group of samples (``all`` first): ``log_variance`` and ``which_model``, lost, and both ``…_before``."""
    models: int
    samples: int

    def __getitem__(self, name: str) -> Estimate:
        """That of all samples."""
        return self.groups["all"][name]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        groups = {group: {name: e.as_dict() for name, e in found.items()} for group, found in self.groups.items()}
        return {"groups": groups, "models": self.models, "samples": self.samples}

    def __str__(self) -> str:
        """A line per name, a column per group."""
        head = f"{'':24}" + "".join(f"{group:>22}" for group in self.groups)
        lines = [
            f"{name:24}" + "".join(f"{str(found[name]):>22}" for found in self.groups.values())
            for name in self.groups["all"]
        ]
        return "\n".join([head, *lines, f"{self.models} models, {self.samples} samples"])


def model_specific(
    before: Sequence[Tensor],
    after: Sequence[Tensor],
    *,
    link: Link = Softmax(),  # noqa: B008 (frozen)
    correction: Correction = MillerMadow(),  # noqa: B008 (frozen)
    groups: Labels | None = None,
) -> ModelSpecific:
    """E5 of several models: the spread of their predictions at w, and what of it is gone at w + e.

    Args:
        before: the logits [n, K] of each model at its weights, all on the same n samples in the same order.
        after: those of the same models in the same order, each perturbed.
        link: how logits become probabilities.
        correction: of ``which_model``, whose mean prediction is over so few models.
        groups: of samples; see :func:`samnesia.measure.information`.

    Raises:
        ConfigurationError: for fewer than three models, or logits of different shapes.
        UnsupportedError: for logits of another form.
    """
    if len(before) < FEWEST or len(before) != len(after):
        raise ConfigurationError(
            f"cannot tell what is specific to a model from {len(before)} models before and {len(after)} after, because "
            f"that is their spread, and each is compared with itself; give {FEWEST} or more of both"
        )
    shapes = {tuple(logits.shape) for logits in (*before, *after)}
    if len(shapes) != 1:
        raise ConfigurationError(
            f"cannot compare models whose logits are of shapes {sorted(shapes)}, because they have to be of the same "
            "samples and classes; evaluate all on one set"
        )
    old = torch.stack([log_outcomes(link, logits.cpu()) for logits in before])
    new = torch.stack([log_outcomes(link, logits.cpu()) for logits in after])
    models, samples = len(old), old.shape[1]
    found = {}
    for group, mask in masks(groups, samples).items():
        whole = _lost(old[:, mask], new[:, mask], correction)
        others = [[i for i in range(models) if i != m] for m in range(models)]
        without = [_lost(old[rest][:, mask], new[rest][:, mask], correction) for rest in others]
        found[group] = {name: _jackknife(value, [w[name] for w in without]) for name, value in whole.items()}
    return ModelSpecific(found, models, samples)


def _lost(old: Tensor, new: Tensor, correction: Correction) -> dict[str, float]:
    held, left = _spread(old, correction), _spread(new, correction)
    return {**{name: held[name] - left[name] for name in held}, **{f"{name}_before": v for name, v in held.items()}}


def _spread(log_p: Tensor, correction: Correction) -> dict[str, float]:
    """Of log-probabilities [models, samples, outcomes]."""
    models, samples = log_p.shape[:2]
    sample = torch.arange(samples).repeat(models)
    pointwise = correction.pointwise(log_p.flatten(0, 1), sample)
    return {"log_variance": float(log_p.var(0).mean()), "which_model": float(pointwise.mean())}


def _jackknife(value: float, without: Sequence[float]) -> Estimate:
    count = len(without)
    mean = math.fsum(without) / count
    error = math.sqrt((count - 1) / count * math.fsum((w - mean) ** 2 for w in without))
    return Estimate(value, error, count)
