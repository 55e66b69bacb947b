"""Several steps of the base optimizer on one batch: how many, and how far the weights follow them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.numbers import integer, number
from samnesia.perturb.tensors import Weights


class Interpolation(ABC):
    """How far the slow weights φ follow the fast ones: ``φ + a (φ_k - φ)``."""

    @abstractmethod
    def shares(self, weights: Weights, first: Sequence[Tensor], last: Sequence[Tensor]) -> list[Tensor]:
        """The a of each weight, 0-d, from the displacements ``φ_1 - φ`` and ``φ_k - φ``."""


@final
@dataclass(frozen=True, slots=True)
class Fixed(Interpolation):
    """The same a in (0, 1] for all weights and steps."""

    alpha: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 < number(self.alpha) <= 1.0:
            raise ConfigurationError(
                f"cannot interpolate with alpha={self.alpha!r}, because the slow weights move a part of the way to the "
                "fast ones; choose it in (0, 1]"
            )

    def shares(self, weights: Weights, first: Sequence[Tensor], last: Sequence[Tensor]) -> list[Tensor]:
        """alpha."""
        return [t.new_tensor(self.alpha) for t in last]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Aligned(Interpolation):
    """``a = (cos(φ_1 - φ, φ_k - φ) + 1) / 2``: how well the first step agrees with all of them (Mordido et al. 2024).

    By itself for each tensor, as its authors do, or with `per_tensor=False` once for all weights. A tensor that did not
    move has a = 1/2, which changes nothing.
    """

    per_tensor: bool = True

    def shares(self, weights: Weights, first: Sequence[Tensor], last: Sequence[Tensor]) -> list[Tensor]:
        """The cosines, moved to [0, 1]."""
        if not self.per_tensor:
            whole = _share(weights.dot(first, last), weights.norm(first), weights.norm(last))
            return [whole.to(t) for t in last]
        squares = [self._sum(weights, i, t * t) for i, t in enumerate(first)]
        others = [self._sum(weights, i, t * t) for i, t in enumerate(last)]
        products = [self._sum(weights, i, a * b) for i, (a, b) in enumerate(zip(first, last, strict=True))]
        return [_share(p, a.sqrt(), b.sqrt()).to(t) for p, a, b, t in zip(products, squares, others, last, strict=True)]

    @staticmethod
    def _sum(weights: Weights, index: int, values: Tensor) -> Tensor:
        return weights.reduce_tensor(index, values.sum(dtype=torch.promote_types(values.dtype, torch.float32)))


def _share(product: Tensor, left: Tensor, right: Tensor) -> Tensor:
    sizes = left * right
    return torch.where(sizes > 0, product / sizes.clamp_min(torch.finfo(sizes.dtype).tiny) + 1.0, 1.0) / 2.0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class InnerSteps:
    """`steps` rounds on one batch: perturb further, step the fast weights with the gradient found there.

    At the end the slow weights, those the batch began with, follow the fast ones by `interpolation`. `reuse` takes the
    gradient of one round's step for the next round's ascent too, which is the same gradient but for dropout: one
    evaluation less in each round but the first.
    """

    steps: int = 2
    interpolation: Interpolation = field(default_factory=Fixed)
    reuse: bool = False

    def __post_init__(self) -> None:
        if not integer(self.steps) >= 1:
            raise ConfigurationError(
                f"cannot take steps={self.steps!r} on a batch, because each of them is one of the base optimizer; "
                "choose a whole number >= 1"
            )
