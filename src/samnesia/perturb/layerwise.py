"""The layer ball: every weight tensor may move by the whole radius, whatever the others do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from samnesia.perturb.ball import Generators, Norm
from samnesia.perturb.tensors import Direction, Weights, norms, shards


@final
@dataclass(frozen=True, slots=True)
class LargestLayer(Norm):
    """The largest of the tensors' Euclidean norms, ``max_l ‖u_l‖₂``; steepest direction ``g_l / (‖g_l‖₂ + epsilon)``.

    With ``LayerScaling(eta=0, scaled="all")`` the ball holds all perturbations with ``‖e_l‖₂ ≤ ρ ‖W_l‖₂`` for every
    tensor, and the ascent is ``e_l = ρ ‖W_l‖₂ g_l / ‖g_l‖₂``.
    """

    def steepest(self, weights: Weights, gradients: Sequence[Tensor], epsilon: float) -> Direction:
        """``g_l / (‖g_l‖₂ + epsilon)``; zero where the gradient is."""
        sizes = _sizes(weights, gradients)
        largest = weights.total(sizes, float("inf"))
        tensors = [g / (size + epsilon) for g, size in zip(gradients, sizes, strict=True)]
        return Direction(tensors, torch.where(largest.isfinite(), torch.ones_like(largest), torch.nan))

    def random(self, weights: Weights, generators: Generators) -> Direction:
        """A random direction of norm 1 in each tensor."""
        noise = weights.gaussian(generators)
        tensors = [values / size for values, size in zip(noise, _sizes(weights, noise), strict=True)]
        return Direction(tensors, torch.ones((), dtype=noise[0].dtype, device=noise[0].device))

    def project(self, weights: Weights, scaled: Sequence[Tensor], radius: float) -> list[Tensor]:
        """``u_l · min(1, radius / ‖u_l‖₂)``."""
        return [
            u * torch.clamp(radius / size.clamp_min(torch.finfo(size.dtype).tiny), max=1.0)
            for u, size in zip(scaled, _sizes(weights, scaled), strict=True)
        ]

    def measure(self, weights: Weights, scaled: Sequence[Tensor]) -> Tensor:
        """``max_l ‖u_l‖₂``."""
        return weights.total(_sizes(weights, scaled), float("inf"))

    def describe(self, scaled: str) -> str:
        """``max ‖scaled‖₂ of a tensor``."""
        return f"max over tensors of ‖{scaled}‖₂"


def _sizes(weights: Weights, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The 2-norm of each tensor, over all ranks that hold a part of it."""
    return [
        weights.reduce_tensor(i, size.double().square()).sqrt().to(size.dtype)
        if shards(weights.parameters[i])
        else size
        for i, size in enumerate(norms(tensors))
    ]
