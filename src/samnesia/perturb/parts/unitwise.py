"""Perturbations relative to each output unit: a filter of a convolution, a neuron's incoming weights.

A unit is a slice along the first dimension of a tensor with two or more; a tensor with fewer (a bias, the weights of a
normalization) is one unit. `FilterScaling` differs: it knows filters of convolutions alone, as ASAM's authors do.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import final

from torch import Tensor

from samnesia.perturb.parts.ascents import Ascent
from samnesia.perturb.parts.ball import Scaling
from samnesia.perturb.parts.point import Need, Point
from samnesia.perturb.tensors import Weights


def unit_norms(weights: Weights, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The 2-norm of each unit, over all ranks: [units, 1, …] for tensors of two or more dimensions, 0-d for others."""
    return [_norms(weights, index, t) for index, t in enumerate(tensors)]


def _norms(weights: Weights, index: int, tensor: Tensor) -> Tensor:
    if len(weights.parameters[index].shape) < 2:
        return weights.reduce_tensor(index, tensor.square().sum()).sqrt()
    squares = tensor.square().sum(dim=tuple(range(1, tensor.ndim)), keepdim=True)
    return weights.reduce_tensor(index, squares, kept_dimension=0).sqrt()


@final
@dataclass(frozen=True, slots=True)
class UnitScaling(Scaling):
    """Every entry of a unit f gets ``T = ‖f‖₂``, on all parameters: the radius is relative to each unit's norm."""

    def factors(self, weights: Weights) -> list[Tensor | None]:
        """The norms."""
        return [*unit_norms(weights, weights.tensors)]

    def describe(self) -> str:
        """What T is."""
        return "T = ‖its unit‖₂"


@final
@dataclass(frozen=True, slots=True)
class UnitNoiseAscent(Ascent):
    """Gaussian noise on every unit f, of standard deviation ``ρ ‖f‖₂ / √(entries of f)``, after the gradient (RWP).

    Its expected length is about ``ρ ‖f‖₂`` in each unit; it is not normalized, and no ball bounds it. The clean
    gradient is taken for the rule, and moves nothing.
    """

    @property
    def num_gradients(self) -> int:
        """One, at the unperturbed weights."""
        return 1

    def climb(self, point: Point) -> Generator[Need, list[Tensor], None]:
        """One gradient pass, one move."""
        yield Need.GRADIENT
        noise = point.start.gaussian(point.generator)
        norms = unit_norms(point.start, point.start.tensors)
        entries = [math.prod(p.shape[1:]) if p.ndim > 1 else p.numel() for p in point.start.parameters]
        for values, size, count in zip(noise, norms, entries, strict=True):
            values.mul_(size / math.sqrt(max(1, count)))
        point.move(noise)
