"""The loss as a function of the perturbation, over all samples or over a micro-batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from samnesia.measure.batches import Batch, count
from samnesia.measure.estimate import Estimate
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from samnesia.perturb.parts.ball import Ball
from samnesia.perturb.tensors import Weights, copies, differences

Offsets = list[Tensor]
"""A perturbation: one tensor per trained parameter, to be added to it."""

TINY = torch.finfo(torch.float32).tiny
"""Keeps norms from dividing by zero, and is nothing beside any of them: directions are of degree zero in a gradient."""


@dataclass(frozen=True)
class Seen:
    """What a look at a perturbed point gave."""

    loss: float
    """The loss there; infinite where it is not a number (overflow)."""
    gradient: Offsets
    """Its gradient; empty if only the loss was asked for."""
    losses: Tensor
    """The loss of each batch of this process."""

    @property
    def is_flat(self) -> bool:
        """Whether the gradient is zero everywhere."""
        return all(not g.any() for g in self.gradient)


class Hill(Protocol):
    """Where an ascent climbs."""

    def look(self, offsets: Offsets, *, slope: bool) -> Seen:
        """The loss at the weights moved by these offsets, with its gradient if `slope`."""


@dataclass(frozen=True)
class Around:
    """The ball of a radius around the weights as they stand: its scaling T is fixed here, and never moves along."""

    weights: Weights
    ball: Ball
    rho: float

    @classmethod
    def of(cls, subject: Subject, ball: Ball, rho: float) -> Around:
        """The ball of the trained parameters.

        Raises:
            ConfigurationError: for a radius that is negative or no number, or a scaling that fits no parameter.
        """
        if not 0.0 <= rho < math.inf:
            raise ConfigurationError(
                f"cannot measure sharpness with rho={rho}, because a radius is a finite size; give rho >= 0"
            )
        ball.scaling.check(subject.names)
        standing = subject.weights
        return cls(standing.holding(copies(standing.tensors)), ball, float(rho))

    def nowhere(self) -> Offsets:
        """No perturbation."""
        return [torch.zeros_like(w) for w in self.weights.tensors]

    def uphill(self, gradient: Offsets, length: float) -> Offsets:
        """The perturbation of size ``length * rho`` along the ball's steepest direction."""
        direction = self.ball.steepest(self.weights, gradient, TINY)
        return [d.mul_(length * self.rho) for d in direction.values()]

    def inside(self, offsets: Offsets) -> Offsets:
        """The offsets, projected on the ball."""
        return self.ball.project(self.weights, offsets, self.rho)

    def realized(self, offsets: Offsets) -> tuple[float, float]:
        """(size in the ball, 2-norm) of what the weights move by, after rounding to their type."""
        start = self.weights.tensors
        moved = differences([w + e for w, e in zip(start, offsets, strict=True)], start)
        return float(self.ball.measure(self.weights, moved)), float(self.weights.norm(moved))


class WholeData:
    """The loss over all samples of a subject: one pass per look."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self.sizes: Tensor = torch.zeros(0)

    def look(self, offsets: Offsets, *, slope: bool) -> Seen:
        """One pass over the data."""
        subject, losses, sizes = self._subject, [], []

        def of(batch: Batch) -> list[Tensor]:
            loss, slopes = _loss_and(slope, subject, batch)
            losses.append(float(loss))
            sizes.append(float(count(batch)))
            return [loss, *slopes]

        with subject.at(offsets):
            loss, *means = subject.mean(of)
        gradient = [g.to(p.dtype) for g, p in zip(means, subject.parameters, strict=False)]
        self.sizes = torch.tensor(sizes, dtype=torch.float64)
        return Seen(_finite(float(loss)), gradient, torch.tensor(losses, dtype=torch.float64))

    def rise(self, start: Seen, there: Seen) -> Estimate:
        """The rise of the loss, with its standard error over batches (of all processes)."""
        value = there.loss - start.loss
        if not math.isfinite(value):
            return Estimate(value, math.nan, self._subject.num_batches)
        share = self.sizes / self._subject.samples
        squares = (share * (there.losses - start.losses - value)).square().sum()
        total, batches = (float(v) for v in self._subject.summed([squares, torch.tensor(float(len(share))).double()]))
        error = math.sqrt(total * batches / (batches - 1.0)) if batches > 1 else math.nan
        return Estimate(value, error, int(batches))


class MicroBatch:
    """The loss over a few samples, held in memory in pieces; inside :meth:`Subject.looking`."""

    def __init__(self, subject: Subject, pieces: Sequence[Batch]) -> None:
        self._subject, self._pieces = subject, pieces
        self.samples = sum(map(count, pieces))

    def look(self, offsets: Offsets, *, slope: bool) -> Seen:
        """One forward (and backward) per piece."""
        subject, losses = self._subject, []
        gradient = [torch.zeros_like(p) for p in subject.parameters] if slope else []
        with subject.at(offsets):
            for piece in self._pieces:
                share = count(piece) / self.samples
                loss, slopes = _loss_and(slope, subject, piece)
                losses.append(float(loss) * share)
                for total, value in zip(gradient, slopes, strict=True):
                    total.add_(value, alpha=share)
        return Seen(_finite(math.fsum(losses)), gradient, torch.tensor(losses, dtype=torch.float64))


def _loss_and(slope: bool, subject: Subject, batch: Batch) -> tuple[Tensor, Offsets]:
    """The loss of a batch, without a graph, and its gradient, if asked for."""
    if slope:
        return subject.loss_and_gradient_of(batch)
    with torch.no_grad():
        return subject.loss_of(batch), []


def check_differentiable(subject: Subject) -> None:
    """Refuse a model whose gradient would be zero, because autograd does not see its shards."""
    if subject.sharded:
        raise UnsupportedError(
            "cannot climb on a sharded model, because its shards get no gradient outside of training; gather the "
            "weights into one process, or measure average_case, which needs none"
        )


def _finite(loss: float) -> float:
    """NaN comes of an overflow: no rise is higher."""
    return math.inf if math.isnan(loss) else loss
