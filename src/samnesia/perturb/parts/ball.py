"""The ball: which perturbations count as equally large.

A perturbation e of the weights w has size ``‖T_w⁻¹ e‖`` for a norm (`L2`, `Linf`) and a positive diagonal scaling T_w.
``T = 1`` is SAM's ball (Foret et al., ICLR 2021); ``T = |w| + η`` and its filter- and layer-wise forms are the
normalization operators of ASAM (Kwon et al., ICML 2021), under which the size of e does not change when the weights of
a scale-invariant layer are rescaled together with it.

In scaled coordinates ``u = T⁻¹ e`` every ball is a plain one, so each operation is: scale the gradient, act in the
plain ball of the norm, scale back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.numbers import number
from samnesia.perturb.tensors import Direction, Weights, scale

Generators = Callable[[torch.device], torch.Generator]


class Norm(ABC):
    """A norm of the scaled perturbation u."""

    @abstractmethod
    def steepest(self, weights: Weights, gradients: Sequence[Tensor], epsilon: float) -> Direction:
        """The u of norm 1 with the largest inner product with `gradients`; zero for a zero gradient."""

    @abstractmethod
    def random(self, weights: Weights, generators: Generators) -> Direction:
        """A random u of norm 1."""

    @abstractmethod
    def project(self, weights: Weights, scaled: Sequence[Tensor], radius: float) -> list[Tensor]:
        """The point of the ball of `radius` that is nearest to `scaled`."""

    @abstractmethod
    def measure(self, weights: Weights, scaled: Sequence[Tensor]) -> Tensor:
        """The norm of `scaled`."""

    def describe(self, scaled: str) -> str:
        """The norm of what `scaled` names, as it is written."""
        return f"{type(self).__name__}({scaled})"


@final
@dataclass(frozen=True, slots=True)
class L2(Norm):
    """The Euclidean norm over all weights jointly; steepest direction ``g / (‖g‖₂ + epsilon)``."""

    def steepest(self, weights: Weights, gradients: Sequence[Tensor], epsilon: float) -> Direction:
        """``g / (‖g‖₂ + epsilon)``."""
        norm = weights.norm(gradients)
        return Direction(gradients, _poisoned(1.0 / (norm + epsilon), norm), norm)

    def random(self, weights: Weights, generators: Generators) -> Direction:
        """A direction uniform on the sphere: Gaussian noise over its norm."""
        noise = weights.gaussian(generators)
        norm = weights.norm(noise)
        return Direction(noise, 1.0 / norm, norm)

    def project(self, weights: Weights, scaled: Sequence[Tensor], radius: float) -> list[Tensor]:
        """``u · min(1, radius / ‖u‖₂)``."""
        norm = weights.norm(scaled)
        return scale(scaled, torch.clamp(radius / norm.clamp_min(torch.finfo(norm.dtype).tiny), max=1.0))

    def measure(self, weights: Weights, scaled: Sequence[Tensor]) -> Tensor:
        """``‖u‖₂``."""
        return weights.norm(scaled)

    def describe(self, scaled: str) -> str:
        """``‖scaled‖₂``."""
        return f"‖{scaled}‖₂"


@final
@dataclass(frozen=True, slots=True)
class Linf(Norm):
    """The largest magnitude of any entry; steepest direction ``sign(g)``."""

    def steepest(self, weights: Weights, gradients: Sequence[Tensor], epsilon: float) -> Direction:
        """``sign(g)``."""
        largest = weights.largest(gradients)
        return Direction([torch.sign(g) for g in gradients], _poisoned(torch.ones_like(largest), largest))

    def random(self, weights: Weights, generators: Generators) -> Direction:
        """A random corner of the cube: every entry +1 or -1."""
        noise = weights.gaussian(generators)
        corner = [torch.where(values < 0, -1.0, 1.0).to(values.dtype) for values in noise]
        return Direction(corner, torch.ones((), dtype=noise[0].dtype, device=noise[0].device))

    def project(self, weights: Weights, scaled: Sequence[Tensor], radius: float) -> list[Tensor]:
        """Every entry clipped to ``[-radius, radius]``."""
        return [u.clamp(-radius, radius) for u in scaled]

    def measure(self, weights: Weights, scaled: Sequence[Tensor]) -> Tensor:
        """``max |u|``."""
        return weights.largest(scaled)

    def describe(self, scaled: str) -> str:
        """``max |scaled|``."""
        return f"max |{scaled}|"


def _poisoned(factor: Tensor, size: Tensor) -> Tensor:
    """`factor`, or NaN where the gradient is not finite.

    A non-finite ascent gradient has to show in the final gradient, or a gradient scaler would take the step: dividing
    by an infinite norm would instead hide it as a perturbation of zero.
    """
    return torch.where(torch.isfinite(size), factor, torch.nan)


class Scaling(ABC):
    """The diagonal T_w, as one factor per weight tensor."""

    def check(self, names: Sequence[str]) -> None:  # noqa: B027 (most fit any model)
        """Raise ConfigurationError if the scaling means nothing for parameters of these names."""

    @abstractmethod
    def factors(self, weights: Weights) -> list[Tensor | None]:
        """T for each tensor, broadcastable to it; None means 1."""

    def describe(self) -> str:
        """What T is, in words; empty for 1."""
        return f"T by {self!r}"


@final
@dataclass(frozen=True, slots=True)
class Unscaled(Scaling):
    """``T = 1``: SAM's ball."""

    def factors(self, weights: Weights) -> list[Tensor | None]:
        """None for every tensor."""
        return [None] * len(weights.tensors)

    def describe(self) -> str:
        """Nothing."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _NormalizationOperator(Scaling):
    """What ASAM's operators share: the stabilizer and the parameters they act on.

    `eta` is added to the magnitude, so that weights of zero can move. `scaled="weight"` acts, as the paper's authors
    do, on parameters whose name contains "weight" (normalization layers included; biases, tokens and positional
    embeddings are not) and leaves ``T = 1`` elsewhere; `"all"` acts on every parameter.
    """

    symbol: ClassVar[str]
    eta: float = 0.01
    scaled: Literal["weight", "all"] = "weight"

    def __post_init__(self) -> None:
        if not 0.0 <= number(self.eta) < float("inf"):
            raise ConfigurationError(
                f"cannot scale weights with eta={self.eta!r}, because |w| + eta must be a finite size; choose eta >= 0"
            )
        if self.scaled not in ("weight", "all"):
            raise ConfigurationError(
                f"cannot scale parameters {self.scaled!r}, because only 'weight' (names that contain it) and 'all' "
                "are known; choose one of them"
            )

    def check(self, names: Sequence[str]) -> None:
        """Refuse `scaled="weight"` where no name contains it."""
        if self.scaled == "weight" and not any("weight" in name for name in names):
            raise ConfigurationError(
                "cannot scale the parameters whose name contains 'weight', because this model has none "
                f"({names[0]!r} is one of its names); say scaled='all'"
            )

    def factors(self, weights: Weights) -> list[Tensor | None]:
        """The magnitude plus `eta` for scaled parameters, None for the others."""
        return [
            self.magnitude(weights, index).add_(self.eta) if self.scaled == "all" or "weight" in name else None
            for index, name in enumerate(weights.names)
        ]

    def describe(self) -> str:
        """The magnitude, eta and the parameters they act on."""
        where = " (1 for parameters whose name lacks 'weight')" if self.scaled == "weight" else ""
        return f"T = {self.symbol}" + (f" + {self.eta:g}" if self.eta else "") + where

    @abstractmethod
    def magnitude(self, weights: Weights, index: int) -> Tensor:
        """The size of tensor `index` that stands in T, broadcastable to the tensor, in memory of its own."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ElementScaling(_NormalizationOperator):
    """``T = |w| + η``, entry by entry (Kwon et al. 2021, the paper's main form)."""

    symbol = "|w|"

    def magnitude(self, weights: Weights, index: int) -> Tensor:
        """``|w|``."""
        return weights.tensors[index].abs()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FilterScaling(_NormalizationOperator):
    """Every entry of convolution filter f_j gets ``T = ‖f_j‖₂ + η``; other weights ``|w| + η`` (Kwon et al. 2021).

    Filters are the slices along the first dimension of tensors with three or more dimensions.
    """

    symbol = "(‖filter‖₂ in convolutions, |w| elsewhere)"

    def magnitude(self, weights: Weights, index: int) -> Tensor:
        """``‖f_j‖₂`` of shape [filters, 1, …] for convolutions, ``|w|`` for other weights."""
        weight = weights.tensors[index]
        if weight.ndim < 3:
            return weight.abs()
        squares = weight.square().sum(dim=tuple(range(1, weight.ndim)), keepdim=True)
        return weights.reduce_tensor(index, squares, kept_dimension=0).sqrt()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LayerScaling(_NormalizationOperator):
    """Every entry of a tensor W gets ``T = ‖W‖₂ + η``: the radius is relative to each layer's norm."""

    symbol = "‖its tensor‖₂"

    def magnitude(self, weights: Weights, index: int) -> Tensor:
        """``‖W‖₂``, a 0-d tensor."""
        return weights.reduce_tensor(index, weights.tensors[index].square().sum()).sqrt()


@final
@dataclass(frozen=True, slots=True)
class Ball:
    """``{e : ‖T_w⁻¹ e‖ ≤ radius}``: a norm and a scaling. Shared by training and by measures of sharpness."""

    norm: Norm = field(default_factory=L2)
    scaling: Scaling = field(default_factory=Unscaled)

    def steepest(self, weights: Weights, gradients: Sequence[Tensor], epsilon: float = 1e-12) -> Direction:
        """The perturbation of size 1 that raises the linearized objective most: argmax ⟨g, e⟩.

        L2: ``T² g / (‖T g‖₂ + epsilon)`` (Kwon et al. 2021); L∞: ``T sign(T g)``. Of degree zero in the gradient: a
        scaled loss gives the same perturbation. A zero gradient gives zero, a non-finite one NaN everywhere.
        """
        factors = self.scaling.factors(weights)
        return _scaled_back(factors, self.norm.steepest(weights, _times(factors, gradients), epsilon))

    def random(self, weights: Weights, generators: Generators) -> Direction:
        """A random perturbation of size 1."""
        return _scaled_back(self.scaling.factors(weights), self.norm.random(weights, generators))

    def project(self, weights: Weights, perturbation: Sequence[Tensor], radius: float) -> list[Tensor]:
        """The perturbation with its scaled coordinates projected on the ball of `radius`."""
        factors = self.scaling.factors(weights)
        return _times(factors, self.norm.project(weights, _over(factors, perturbation), radius))

    def measure(self, weights: Weights, perturbation: Sequence[Tensor]) -> Tensor:
        """The size ``‖T_w⁻¹ e‖``; a 0-d tensor."""
        return self.norm.measure(weights, _over(self.scaling.factors(weights), perturbation))

    def describe(self) -> str:
        """What a radius means in this ball: ``‖e / T‖₂ ≤ rho, T = |w| + 0.01 …``."""
        scaling = self.scaling.describe()
        return f"{self.norm.describe('e / T' if scaling else 'e')} ≤ rho" + (f", {scaling}" if scaling else "")


def _times(factors: Sequence[Tensor | None], tensors: Sequence[Tensor]) -> list[Tensor]:
    return [t if factor is None else t * factor for factor, t in zip(factors, tensors, strict=True)]


def _scaled_back(factors: Sequence[Tensor | None], direction: Direction) -> Direction:
    """Back from scaled coordinates; in place, because whatever has a factor was computed for this direction alone."""
    if all(factor is None for factor in factors):
        return direction
    tensors = [t if factor is None else t.mul_(factor) for factor, t in zip(factors, direction.tensors, strict=True)]
    return Direction(tensors, direction.factor)


def _over(factors: Sequence[Tensor | None], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Entries where T = 0 cannot have moved: their coordinate is 0, not 0/0."""
    return [
        t if factor is None else torch.where(factor > 0, t / factor, 0.0)
        for factor, t in zip(factors, tensors, strict=True)
    ]
