"""How the eigenvalues are spread: the spectral density, by stochastic Lanczos quadrature."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samnesia.extras import require
from samnesia.measure.curvature.lanczos import Lanczos
from samnesia.measure.curvature.operators import Hessian, Matrix, Operator
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError


@dataclass(frozen=True)
class SpectralDensity:
    r"""The distribution :math:`\sum_{jk} \omega_{jk}\, \delta(\lambda - \theta_{jk})`, near that of the eigenvalues."""

    nodes: NDArray[np.float64]
    """θ, one row per start vector, ascending."""
    weights: NDArray[np.float64]
    """ω, of the same shape; they sum to 1."""
    matrix: str
    dimension: int
    products: int
    error: float
    """How far products may have been off beyond rounding, relative to their size; 0 for exact derivatives."""

    @property
    def smallest(self) -> float:
        """The lowest node: the lowest eigenvalue nearly, from above."""
        return float(self.nodes.min())

    @property
    def largest(self) -> float:
        """The highest node: the highest eigenvalue nearly, from below."""
        return float(self.nodes.max())

    @property
    def range(self) -> float:
        """From the lowest node to the highest."""
        return self.largest - self.smallest

    @property
    def mean(self) -> float:
        """Mean eigenvalue: the trace over the number of parameters."""
        return float((self.nodes * self.weights).sum())

    @property
    def spread(self) -> float:
        """Half the Wasserstein-1 distance of two halves of the start vectors: what their draw did; NaN for one."""
        count = len(self.nodes)
        if count < 2:
            return math.nan
        first, second = slice(0, count // 2), slice(count // 2, count)
        return 0.5 * _wasserstein(self.nodes[first], self.nodes[second], self.weights[first], self.weights[second])

    def wasserstein(self, values: ArrayLike, weights: ArrayLike | None = None) -> float:
        """The Wasserstein-1 distance from a distribution, such as that of all eigenvalues, or the nodes of another."""
        return _wasserstein(self.nodes, np.asarray(values, dtype=np.float64), self.weights, weights)

    def grid(self, points: int = 1024, *, margin: float = 0.05) -> NDArray[np.float64]:
        """Evenly spaced values over the range and a margin on both sides."""
        room = margin * (self.range or 1.0)
        return np.linspace(self.smallest - room, self.largest + room, points)

    def at(self, grid: ArrayLike, *, width: float | None = None) -> NDArray[np.float64]:
        """The density on a grid, each node a normal distribution of standard deviation ``width``.

        None: 1 % of the range. It is a density: its integral is 1.
        """
        width = width or 0.01 * (self.range or 1.0)
        offsets = (np.asarray(grid, dtype=np.float64)[:, None] - self.nodes.reshape(1, -1)) / width
        bumps: NDArray[np.float64] = np.exp(-0.5 * offsets**2) @ self.weights.reshape(-1)
        return bumps / (width * math.sqrt(2.0 * math.pi))

    def as_dict(self) -> dict[str, Any]:
        """Plain values; nodes and weights are all that a figure needs."""
        return {
            "matrix": self.matrix,
            "smallest": self.smallest,
            "largest": self.largest,
            "mean_eigenvalue": self.mean,
            "spread": None if math.isnan(self.spread) else self.spread,
            "dimension": self.dimension,
            "products": self.products,
            "error": self.error,
            "nodes": self.nodes.tolist(),
            "weights": self.weights.tolist(),
        }

    def __str__(self) -> str:
        """Three figures."""
        return (
            f"{self.matrix}, {self.dimension} parameters, {self.products} products\n"
            f"from {self.smallest:.4g} to {self.largest:.4g}, mean {self.mean:.4g}, known to {self.spread:.2g} (W1)"
        )


def spectral_density(
    subject: Subject,
    *,
    matrix: Matrix | None = None,
    steps: int = 64,
    vectors: int = 4,
    seed: int = 0,
) -> SpectralDensity:
    r"""The distribution of all eigenvalues, in ``steps * vectors`` products.

    Stochastic Lanczos quadrature (Ubaru, Chen and Saad 2017; for networks Ghorbani et al., ICML 2019): from each random
    start vector, ``steps`` of Lanczos' method give the nodes (eigenvalues in the basis) and weights (squared first
    coordinates of the eigenvectors) that match the first ``2 * steps`` moments of the spectrum as that vector sees
    it; the mean over vectors is the estimate. With full reorthogonalization, so that no eigenvalue appears twice. The
    ends of the nodes are good eigenvalues; the weight of a single one is known as well as ``vectors`` allow.

    Args:
        subject: model, criterion and batches.
        matrix: :class:`Hessian` (the default), :class:`GaussNewton` or :class:`DifferenceHessian`.
        steps: products per vector; as many as there are parameters if these are fewer.
        vectors: over which is averaged.
        seed: of the start vectors.

    Raises:
        ConfigurationError: for values out of range, or products that are not finite.
        UnsupportedError: for a model or criterion that cannot be differentiated twice.
    """
    if steps < 2 or vectors < 1:
        raise ConfigurationError(
            f"cannot draw a density from {vectors} vectors of {steps} steps, because it takes one vector and two nodes "
            "at least; give vectors >= 1 and steps >= 2"
        )
    operator = Operator(subject, matrix or Hessian())
    space = operator.space
    steps = min(steps, space.dimension)
    nodes, weights = [], []
    with subject.counting("spectral density", steps * vectors):
        for index in range(vectors):
            start = space.signs(seed * 1_000_003 + index)
            lanczos = Lanczos(operator, space, start, seed=seed + index)
            for _ in range(steps):
                lanczos.grow()
            ritz = lanczos.ritz()
            nodes.append(ritz.values)
            weights.append(ritz.vectors[0] ** 2 / vectors)
    return SpectralDensity(
        np.stack(nodes), np.stack(weights), operator.name, space.dimension, operator.products, operator.error
    )


def _wasserstein(
    left: NDArray[np.float64], right: NDArray[np.float64], weights: NDArray[np.float64], others: ArrayLike | None
) -> float:
    stats = require("scipy.stats", extra="analysis")
    others = None if others is None else np.asarray(others, dtype=np.float64).reshape(-1)
    return float(stats.wasserstein_distance(left.reshape(-1), right.reshape(-1), weights.reshape(-1), others))
