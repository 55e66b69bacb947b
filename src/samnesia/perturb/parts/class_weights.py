"""Parts of a loss that belong to classes: which samples count, and by how much."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor

from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from samnesia.perturb.parts.selection import PerSample


@final
@dataclass(frozen=True, slots=True)
class ClassWeighted:
    """``Σ_i c_i L_i / N``: each sample's loss times the weight of its class, over the size of the whole batch.

    Not over the sum of the weights, as ``F.cross_entropy(weight=...)``: parts of a loss, whose weights add up to one
    for each class, add up to the loss.

    Args:
        weights: one for each class.
        per_sample: ``(output, target) -> [N, ...]``; the default is cross-entropy.

    Call with `output` of shape [N, K, ...] and `target` either class indices [N, ...], where negative ones do not
    count, or distributions of the shape of `output`, for which ``c_i = Σ_k y_ik weights_k``.
    """

    weights: Sequence[float]
    per_sample: PerSample = partial(F.cross_entropy, reduction="none")

    def __post_init__(self) -> None:
        given: Any = self.weights
        numbers = isinstance(given, Sequence) and all(isinstance(one, Real) and math.isfinite(one) for one in given)
        if not numbers or not given:
            raise ConfigurationError(
                f"cannot weigh classes by {self.weights}, because each needs a number; give a list or "
                "tuple of one for every class"
            )

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The weighted loss of a batch, a 0-d tensor."""
        if output.ndim < 2 or output.shape[1] != len(self.weights):
            raise UnsupportedError(
                f"cannot weigh the classes of an output of shape {tuple(output.shape)}, because the second dimension "
                f"must be the classes, for which there are {len(self.weights)} weights; give one weight per class"
            )
        losses = self.per_sample(output, target)
        weights = losses.new_tensor(self.weights)
        if target.is_floating_point():
            factors, counted = target.movedim(1, -1).to(weights) @ weights, torch.ones_like(losses)
        else:
            counted = (target >= 0).to(weights)
            factors = weights[target.clamp_min(0)] * counted
        if factors.shape != losses.shape:
            raise UnsupportedError(
                f"cannot weigh losses of shape {tuple(losses.shape)} by class, because the targets name the classes of "
                f"samples of shape {tuple(factors.shape)}; let per_sample give one loss for each"
            )
        return (factors * losses).sum() / counted.sum()
