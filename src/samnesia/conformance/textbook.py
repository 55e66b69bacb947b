"""The formulas as papers print them, slow and obvious: what the subjects' claims are held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

Tensors = dict[str, Tensor]
GradientOf = Callable[[Tensors], Tensors]
EPSILON = 1e-12


class Formula(Protocol):
    """The gradient a method steps with, from weights, the loss's gradient as a function of them, and radii by name."""

    def __call__(self, weights: Tensors, gradient_of: GradientOf, rho: Mapping[str, float]) -> Tensors:
        """The gradient, by name."""
        ...


def norm(tensors: Tensors) -> Tensor:
    """The Euclidean norm of all tensors together."""
    length: Tensor = torch.cat([t.flatten() for t in tensors.values()]).norm()
    return length


def sam(weights: Tensors, gradient_of: GradientOf, rho: Mapping[str, float]) -> Tensors:
    """SAM: the gradient at w + rho g / ||g||, with one norm over all parameters (arXiv:2010.01412, equation 2)."""
    gradient = gradient_of(weights)
    length = norm(gradient) + EPSILON
    return gradient_of({name: w + rho[name] * gradient[name] / length for name, w in weights.items()})


def asam(weights: Tensors, gradient_of: GradientOf, rho: Mapping[str, float]) -> Tensors:
    """Element-wise ASAM: the gradient at w + rho T^2 g / ||T g||, T = |w| + 0.01 for weights and 1 for the rest.

    arXiv:2102.11600, equation 9, with the authors' eta and choice of parameters (by the end of their names).
    """
    scale = {name: w.abs() + 0.01 if name.endswith("weight") else torch.ones_like(w) for name, w in weights.items()}
    gradient = gradient_of(weights)
    length = norm({name: scale[name] * g for name, g in gradient.items()}) + EPSILON
    step = {name: scale[name] ** 2 * g / length for name, g in gradient.items()}
    return gradient_of({name: w + rho[name] * step[name] for name, w in weights.items()})


def gsam(weights: Tensors, gradient_of: GradientOf, rho: Mapping[str, float]) -> Tensors:
    """GSAM with alpha = 0.4: the SAM gradient minus alpha times the part of the clean one orthogonal to it.

    arXiv:2203.08065, algorithm 1.
    """
    clean, perturbed = gradient_of(weights), sam(weights, gradient_of, rho)
    inner = sum((clean[name] * perturbed[name]).sum() for name in weights)
    along = inner / (norm(perturbed) + EPSILON) ** 2
    return {name: perturbed[name] - 0.4 * (clean[name] - along * perturbed[name]) for name in weights}
