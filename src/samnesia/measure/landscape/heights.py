"""How high the loss lies where the weights are, and where they are moved to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from samnesia.measure.batches import Batch
from samnesia.measure.landscape.directions import Axis, combined
from samnesia.measure.landscape.normalization import PointStatistics
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError

Span = float | tuple[float, float]
"""Half of a width, or the two ends."""


@dataclass(frozen=True, slots=True)
class Height:
    """Loss at a point, and the share of samples that are classified wrongly; None where there are no classes."""

    loss: float
    error: float | None


@torch.no_grad()
def height(subject: Subject) -> Height:
    """At the weights as they stand, in one pass. Unlike ``subject.loss()``, a loss that is not finite is a height."""

    def of(batch: Batch) -> list[Tensor]:
        output = subject.model(batch[0])
        wrong = share_wrong(output, batch[1])
        return [subject.criterion(output, batch[1]), *([] if wrong is None else [wrong])]

    loss, *errors = subject.mean(of)
    return Height(float(loss), float(errors[0]) if errors else None)


def share_wrong(output: object, target: Tensor) -> Tensor | None:
    """The share of targets that are not the largest output; None unless targets are class indices for the outputs."""
    if not isinstance(output, Tensor) or output.ndim < 2 or output.shape[1] < 2:
        return None
    if target.is_floating_point() or target.shape != (output.shape[0], *output.shape[2:]):
        return None
    return (output.argmax(1) != target).double().mean()


def scan(
    subjects: Sequence[Subject],
    axes: Sequence[Axis],
    points: Sequence[tuple[float, ...]],
    statistics: PointStatistics,
    name: str,
) -> list[tuple[Height, ...]]:
    """The heights of each subject (all of one model, which the first moves) at each point, given by coefficients."""
    first, found = subjects[0], []
    passes = 1 + statistics.passes(first)
    with first.looking(), first.counting(name, len(points) * passes):
        for coefficients in points:
            with first.at(combined(axes, coefficients)), statistics.at_point(first):
                found.append(tuple(height(subject) for subject in subjects))
    return found


def positions(span: Span, points: int) -> tuple[float, ...]:
    """Equally spaced, ends included; with an odd number of points around zero, exactly zero is one of them.

    Raises:
        ConfigurationError: for fewer than two points, or ends that are not finite and in order.
    """
    if not isinstance(points, int) or points < 2:
        raise ConfigurationError(
            f"cannot draw a landscape with points={points}, because two are needed to see a difference; choose a whole "
            "number >= 2"
        )
    low, high = (-span, span) if isinstance(span, int | float) else span
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigurationError(
            f"cannot draw a landscape over a span of {span}, because it has to have a width; give a positive number, "
            "or two finite ends, the lower one first"
        )
    last = points - 1
    found = [(low * (last - i) + high * i) / last for i in range(points)]
    return tuple(0.0 if abs(t) < 1e-12 * (high - low) else t for t in found)


def errors_of(heights: Sequence[Height]) -> tuple[float, ...] | None:
    """The error rates, if there are any."""
    found = [h.error for h in heights if h.error is not None]
    return tuple(found) if len(found) == len(heights) else None
