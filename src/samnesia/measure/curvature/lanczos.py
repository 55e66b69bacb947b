r"""Lanczos' method with full reorthogonalization: each product serves all eigenpairs at once.

From a start vector q_1 it builds an orthonormal basis Q with :math:`A Q_m = Q_{m+1} H`, one column per product. All
coefficients of H are kept, not only the three that exact arithmetic would leave. So the equation holds to rounding also
for a product that is a little unsymmetric, and residuals need no product of their own: for an eigenpair
:math:`(\theta, s)` of the symmetric part of H and :math:`y = Q_m s`,
:math:`\lVert A y - \theta y \rVert = \lVert H s - \theta \hat s \rVert`, with :math:`\hat s` that is s above a zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samnesia.measure.curvature.space import Space

_BREAKDOWN = 32.0  # times the precision and the norm of A: what is left of a product is rounding


@dataclass(frozen=True, slots=True)
class Ritz:
    """Eigenpairs of A restricted to the basis, in ascending order."""

    values: NDArray[np.float64]
    vectors: NDArray[np.float64]
    """Columns: coordinates in the basis."""
    residuals: NDArray[np.float64]
    """‖A y - θ y‖ of each; the distance of θ from an eigenvalue of A is at most that."""


class Lanczos:
    """A basis that grows by one vector per product.

    Args:
        multiply: the product with A, on flat vectors of the space.
        space: inner products, and new random vectors where the basis is closed under A.
        start: the first vector, of any length.
        seed: of the random vectors.
    """

    def __init__(self, multiply: Callable[[Tensor], Tensor], space: Space, start: Tensor, *, seed: int) -> None:
        self._multiply, self._space, self._seed = multiply, space, seed
        self._rows = torch.empty(0, len(start), dtype=space.dtype, device=space.device)
        self._h = np.zeros((1, 0))
        self._lost = 0.0
        self.size = 0
        self._append(start / space.norm(start))

    @property
    def complete(self) -> bool:
        """Whether the basis spans the whole space."""
        return self.size >= self._space.dimension

    def grow(self) -> None:
        """One product, one vector more."""
        product = self._multiply(self._rows[self.size])
        before = self._space.norm(product)
        self.size += 1
        column, rest = self._orthogonal(product, self.size)
        length = self._space.norm(rest)
        self._h = np.pad(self._h, ((0, 1), (0, 1)))
        self._h[: self.size, -1] = column
        if self.complete:
            return
        scale = max(before, float(np.abs(self._h).max()))
        if length <= _BREAKDOWN * self._space.eps * scale:  # closed under A: go on elsewhere
            self._append(self._elsewhere())
        else:
            self._h[self.size, -1] = length
            self._append(rest / length)

    def ritz(self) -> Ritz:
        """The eigenpairs in the basis as it stands."""
        square = self._h[: self.size]
        values, vectors = np.linalg.eigh((square + square.T) / 2.0)
        off = self._h @ vectors
        off[: self.size] -= vectors * values
        return Ritz(values, vectors, np.linalg.norm(off, axis=0) + self._lost)

    def restart(self, keep: NDArray[np.intp], ritz: Ritz) -> None:
        """Shrink the basis to some of its eigenvectors and the last vector (thick restart, Wu and Simon 2000)."""
        chosen = ritz.vectors[:, keep]
        square = self._h[: self.size] @ chosen
        inside = chosen.T @ square
        self._lost += float(np.linalg.norm(square - chosen @ inside, 2))  # what an unsymmetric product leaves over
        rows = self._combined(chosen)
        last = self._rows[self.size]
        bottom = self._h[self.size :] @ chosen
        self._h, self.size = np.vstack([inside, bottom]), len(keep)
        self._rows[: self.size] = rows
        self._rows[self.size] = last

    def vectors(self, ritz: Ritz, chosen: NDArray[np.intp]) -> Tensor:
        """Eigenvectors of A, approximately, one per row and of length 1."""
        return self._combined(ritz.vectors[:, chosen])

    def _combined(self, coordinates: NDArray[np.float64]) -> Tensor:
        weights = torch.from_numpy(np.ascontiguousarray(coordinates.T)).to(self._rows)
        return weights @ self._rows[: self.size]

    def _append(self, vector: Tensor) -> None:
        if self.size == len(self._rows):
            grown = self._rows.new_empty(max(16, 2 * self.size), self._rows.shape[1])
            grown[: self.size] = self._rows
            self._rows = grown
        self._rows[self.size] = vector

    def _orthogonal(self, vector: Tensor, count: int) -> tuple[NDArray[np.float64], Tensor]:
        """Coefficients along the first vectors of the basis, and the rest; twice is enough (Kahan; Parlett 1980)."""
        rows, coefficients = self._rows[:count], np.zeros(count)
        for _ in range(2):
            part = self._space.inner(rows, vector)
            vector = vector - part.to(rows) @ rows
            coefficients += part.numpy()
        return coefficients, vector

    def _elsewhere(self) -> Tensor:
        """A random vector orthogonal to the basis."""
        self._seed += 1
        _, rest = self._orthogonal(self._space.gaussian(self._seed), self.size)
        return rest / self._space.norm(rest)
