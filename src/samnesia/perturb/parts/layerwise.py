"""Balls of parts: every weight tensor, or every unit of it, may move by the whole radius, whatever the others do.

A unit is a slice along the first dimension of a tensor with two or more (a filter of a convolution, a neuron's incoming
weights); a tensor with fewer (a bias, the weights of a normalization) is one unit. `FilterScaling` differs: it knows
filters of convolutions alone, as ASAM's authors do.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from samnesia.perturb.parts.ball import Generators, Norm, Scaling
from samnesia.perturb.tensors import Direction, Weights


class _LargestPart(Norm):
    """The largest of the Euclidean norms of parts, each of which is a tensor or lies in one."""

    @abstractmethod
    def sizes(self, weights: Weights, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The norm of each part, over all ranks, broadcastable to its tensor."""

    def steepest(self, weights: Weights, gradients: Sequence[Tensor], epsilon: float) -> Direction:
        """``g_l / (‖g_l‖₂ + epsilon)`` for each part l; zero where the gradient is."""
        sizes = self.sizes(weights, gradients)
        largest = weights.largest(sizes)
        tensors = [g / (size + epsilon) for g, size in zip(gradients, sizes, strict=True)]
        return Direction(tensors, torch.where(largest.isfinite(), torch.ones_like(largest), torch.nan))

    def random(self, weights: Weights, generators: Generators) -> Direction:
        """A random direction of norm 1 in each part."""
        noise = weights.gaussian(generators)
        tensors = [values / size for values, size in zip(noise, self.sizes(weights, noise), strict=True)]
        return Direction(tensors, torch.ones((), dtype=noise[0].dtype, device=noise[0].device))

    def project(self, weights: Weights, scaled: Sequence[Tensor], radius: float) -> list[Tensor]:
        """``u_l · min(1, radius / ‖u_l‖₂)`` for each part l."""
        return [
            u * torch.clamp(radius / size.clamp_min(torch.finfo(size.dtype).tiny), max=1.0)
            for u, size in zip(scaled, self.sizes(weights, scaled), strict=True)
        ]

    def measure(self, weights: Weights, scaled: Sequence[Tensor]) -> Tensor:
        """``max_l ‖u_l‖₂``."""
        return weights.largest(self.sizes(weights, scaled))


@final
@dataclass(frozen=True, slots=True)
class LargestLayer(_LargestPart):
    """The largest of the tensors' Euclidean norms, ``max_l ‖u_l‖₂``; steepest direction ``g_l / (‖g_l‖₂ + epsilon)``.

    With ``LayerScaling(eta=0, scaled="all")`` the ball is that of all perturbations with ``‖e_l‖₂ ≤ ρ ‖W_l‖₂`` for
    every tensor, and the ascent ``e_l = ρ ‖W_l‖₂ g_l / ‖g_l‖₂``.
    """

    def sizes(self, weights: Weights, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The 2-norm of each tensor."""
        return [weights.reduce_tensor(i, t.square().sum()).sqrt() for i, t in enumerate(tensors)]

    def describe(self, scaled: str) -> str:
        """``max ‖scaled‖₂ of a tensor``."""
        return f"max over tensors of ‖{scaled}‖₂"


@final
@dataclass(frozen=True, slots=True)
class LargestUnit(_LargestPart):
    """The largest of the output units' Euclidean norms, ``max_f ‖u_f‖₂``.

    With `UnitScaling` the ball is that of all perturbations with ``‖e_f‖₂ ≤ ρ ‖W_f‖₂`` for every unit, and the ascent
    ``e_f = ρ ‖W_f‖₂ g_f / ‖g_f‖₂``.
    """

    def sizes(self, weights: Weights, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The 2-norm of each unit."""
        return unit_norms(weights, tensors)

    def describe(self, scaled: str) -> str:
        """``max ‖scaled‖₂ of a unit``."""
        return f"max over units of ‖{scaled}‖₂"


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
