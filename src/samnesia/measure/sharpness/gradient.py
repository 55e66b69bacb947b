"""The norm of the gradient: what sharpness is to first order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from samnesia.measure.batches import Batch
from samnesia.measure.estimate import Estimate, plain
from samnesia.measure.sharpness.hill import TINY, check_differentiable
from samnesia.measure.subject import Subject
from samnesia.perturb.parts.ball import Ball
from samnesia.perturb.tensors import Weights


@dataclass(frozen=True)
class GradientNorm:
    """Norms of the gradient.

    Attributes:
        whole: of the mean loss over all samples.
        per_batch: mean of the norms of the single batches' gradients, with its standard error over batches. It is no
            smaller than `whole` over batches of one size, and depends on that size.
        ball: whose steepest slope it is; the 2-norm for SAM's ball.
        samples: how many samples were looked at.
    """

    whole: float
    per_batch: Estimate
    ball: Ball
    samples: int

    def __str__(self) -> str:
        """Both norms."""
        return (
            f"gradient norm {self.whole:.4g} over all {self.samples} samples; of single batches {self.per_batch} "
            f"(mean of {self.per_batch.count})\n  steepest slope in the ball {self.ball.describe()}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "measure": "gradient norm",
            "value": plain(self.whole),
            "per_batch": self.per_batch.as_dict(),
            "ball": self.ball.describe(),
            "samples": self.samples,
        }


def gradient_norm(subject: Subject, ball: Ball | None = None) -> GradientNorm:
    r"""The norm of the gradient of the mean loss, and the mean norm of the gradients of single batches; one pass.

    In a ball it is the slope of the steepest direction, the rise per radius to first order: the 2-norm for SAM's ball,
    :math:`\lVert T_w g \rVert_2` for an L2 ball with scaling, :math:`\lVert T_w g \rVert_1` for an L∞ ball.

    Args:
        subject: model, criterion and samples.
        ball: the geometry; None is SAM's.

    Raises:
        ConfigurationError: for a loss that is not finite.
        UnsupportedError: for a sharded model.
    """
    check_differentiable(subject)
    geometry, weights = ball or Ball(), subject.weights
    geometry.scaling.check(subject.names)
    norms: list[float] = []

    def of(batch: Batch) -> list[Tensor]:
        gradient = subject.gradient_of(batch)
        norms.append(_slope(geometry, weights, gradient))
        return gradient

    with subject.counting("gradient norm", 1.0):
        whole = [g.to(p.dtype) for g, p in zip(subject.mean(of), subject.parameters, strict=True)]
    slope = _slope(geometry, weights, whole)
    if not math.isfinite(slope):
        subject.loss()  # says so, if it is the loss that is not finite
    found = torch.tensor(norms, dtype=torch.float64)
    total, batches = (float(v) for v in subject.summed([torch.stack([found.sum(), torch.ones_like(found).sum()])])[0])
    mean = total / batches
    squares = float(subject.summed([(found - mean).square().sum()])[0])
    error = math.sqrt(squares / (batches - 1.0) / batches) if batches > 1 else math.nan
    return GradientNorm(slope, Estimate(mean, error, int(batches)), geometry, subject.samples)


def _slope(ball: Ball, weights: Weights, gradient: list[Tensor]) -> float:
    """``⟨g, d⟩`` with d the steepest direction of size 1."""
    direction = ball.steepest(weights, gradient, TINY)
    return float(weights.dot(gradient, direction.tensors) * direction.factor)
