"""Perturbations of some parameters only, as a norm that knows no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import final

import torch
from torch import Tensor

from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.ball import L2, Generators, Norm
from samnesia.perturb.tensors import Direction, Weights


@final
@dataclass(frozen=True, slots=True)
class Only(Norm):
    """`norm` of the parameters in `names`; the others do not move.

    `names` are those of ``model.named_parameters()``, without what wrappers add to them. A perturbation of other
    parameters is in no ball: its part there is not measured, and projected to zero.
    """

    names: frozenset[str]
    norm: Norm = field(default_factory=L2)

    def __post_init__(self) -> None:
        if not self.names or not isinstance(self.names, frozenset):
            raise ConfigurationError(
                f"cannot perturb only the parameters named {self.names!r}, because at least one name is needed, in a "
                "frozenset; write Only(frozenset({'head.weight'})), say"
            )

    def steepest(self, weights: Weights, gradients: Sequence[Tensor], epsilon: float) -> Direction:
        """That of `norm` for the named parameters, zero for the others."""
        chosen = self._chosen(weights)
        found = self.norm.steepest(_of(weights, chosen), [gradients[i] for i in chosen], epsilon)
        return replace(found, tensors=_among(gradients, chosen, found.tensors))

    def random(self, weights: Weights, generators: Generators) -> Direction:
        """That of `norm` for the named parameters, zero for the others."""
        chosen = self._chosen(weights)
        found = self.norm.random(_of(weights, chosen), generators)
        return replace(found, tensors=_among(weights.tensors, chosen, found.tensors))

    def project(self, weights: Weights, scaled: Sequence[Tensor], radius: float) -> list[Tensor]:
        """That of `norm` for the named parameters, zero for the others."""
        chosen = self._chosen(weights)
        found = self.norm.project(_of(weights, chosen), [scaled[i] for i in chosen], radius)
        return _among(scaled, chosen, found)

    def measure(self, weights: Weights, scaled: Sequence[Tensor]) -> Tensor:
        """`norm` of the named parameters."""
        chosen = self._chosen(weights)
        return self.norm.measure(_of(weights, chosen), [scaled[i] for i in chosen])

    def describe(self, scaled: str) -> str:
        """`norm`, and of how many parameters."""
        return f"{self.norm.describe(scaled)} of {len(self.names)} parameters"

    def _chosen(self, weights: Weights) -> list[int]:
        chosen = [i for i, name in enumerate(weights.names) if name in self.names]
        if not chosen:
            raise ConfigurationError(
                f"cannot perturb only {sorted(self.names)[:3]} and the like, because the optimizer holds no trainable "
                f"parameter of these names ({weights.names[0]!r} is one it holds); choose among those that it holds"
            )
        return chosen


def _of(weights: Weights, indices: Sequence[int]) -> Weights:
    return replace(
        weights,
        names=[weights.names[i] for i in indices],
        parameters=[weights.parameters[i] for i in indices],
        tensors=[weights.tensors[i] for i in indices],
    )


def _among(like: Sequence[Tensor], indices: Sequence[int], tensors: Sequence[Tensor]) -> list[Tensor]:
    """`tensors` at `indices`, zeros elsewhere."""
    found = dict(zip(indices, tensors, strict=True))
    return [found[i] if i in found else torch.zeros_like(t) for i, t in enumerate(like)]
