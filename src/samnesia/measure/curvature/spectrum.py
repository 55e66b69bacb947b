"""The ends of a spectrum: leading eigenpairs, by Lanczos' method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samnesia.measure.curvature.lanczos import Lanczos, Ritz
from samnesia.measure.curvature.operators import Ends, Hessian, Matrix, Operator
from samnesia.measure.curvature.pairs import Eigenpairs, Pair
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError

_Indices = NDArray[np.intp]
_CHECKED_EACH = 64  # as long as the basis is small, after each product; then once per so many-th part of its size
_ROUNDING = 32.0  # times the precision and the largest |λ|: what residuals cannot go below


def _lower(values: NDArray[np.float64], k: int) -> _Indices:
    return np.arange(min(k, len(values)))


def _upper(values: NDArray[np.float64], k: int) -> _Indices:
    return np.arange(max(len(values) - k, 0), len(values))


def _nowhere(values: NDArray[np.float64], k: int) -> _Indices:
    return np.arange(0)


def _lower_of_leading(values: NDArray[np.float64], k: int) -> _Indices:
    leading = np.argsort(-np.abs(values), kind="stable")[:k]
    return np.sort(leading[values[leading] < 0.0])


def _upper_of_leading(values: NDArray[np.float64], k: int) -> _Indices:
    leading = np.argsort(-np.abs(values), kind="stable")[:k]
    return np.sort(leading[values[leading] >= 0.0])


_Choice = Callable[[NDArray[np.float64], int], _Indices]
_ENDS: dict[str, tuple[_Choice, _Choice]] = {
    "both": (_lower, _upper),
    "largest": (_nowhere, _upper),
    "smallest": (_lower, _nowhere),
    "magnitude": (_lower_of_leading, _upper_of_leading),
}


def eigenpairs(
    subject: Subject,
    k: int = 5,
    *,
    matrix: Matrix | None = None,
    ends: Ends | None = None,
    tolerance: float = 1e-3,
    seed: int = 0,
    max_products: int | None = None,
    basis: int | None = None,
) -> Eigenpairs:
    r"""The leading eigenpairs of the Hessian (or another matrix) at one or both ends of its spectrum, with residuals.

    Lanczos' method with full reorthogonalization and, if the basis is bounded, thick restarts. It stops as soon as all
    wanted pairs have :math:`\lVert A v - \lambda v \rVert \le \mathrm{tolerance} \cdot |\lambda|`; a pair with
    :math:`|\lambda|` below ``tolerance`` times the largest magnitude has to come as near as if it were of that size
    (or near rounding). Residuals are those of the vectors returned, from the recurrence, without further products.

    One vector is followed: an eigenvalue that is exactly multiple is found once, unless ``max_products`` reaches the
    number of parameters, when the spectrum is complete.

    Args:
        subject: model, criterion and batches.
        k: how many pairs at each end that is wanted.
        matrix: :class:`Hessian` (the default), :class:`GaussNewton` or :class:`DifferenceHessian`.
        ends: "both", "largest" or "smallest" (algebraically), or "magnitude": the k of largest magnitude together.
            None: both, of a Gauss-Newton matrix the largest.
        tolerance: the relative residual that is enough.
        seed: of the start vector.
        max_products: when to stop in any case; ``converged`` then says which pairs fall short. None: 100 products per
            pair that is wanted, or as many as there are parameters if these are fewer.
        basis: how many vectors of the size of the model may be held; None: one per product.

    Raises:
        ConfigurationError: for fewer parameters than pairs, values out of range, or products that are not finite.
        UnsupportedError: for a model or criterion that cannot be differentiated twice.
    """
    matrix = matrix or Hessian()
    ends = ends or matrix.ends
    if ends not in _ENDS:
        raise ConfigurationError(
            f"cannot look at the ends {ends!r} of a spectrum, because there are {', '.join(_ENDS)}; give one of these"
        )
    operator = Operator(subject, matrix)
    search = _Search(k, tolerance, *_ENDS[ends], eps=operator.space.eps)
    wanted = 2 * k if ends == "both" else k
    limit = min(max_products or 100 * wanted, operator.space.dimension)
    _check(k, tolerance, max_products, basis, wanted, operator.space.dimension)
    lanczos = Lanczos(operator, operator.space, operator.space.gaussian(seed), seed=seed)
    with subject.counting("eigenpairs", limit):
        while True:
            lanczos.grow()
            done = operator.products >= limit or lanczos.complete
            full = basis is not None and lanczos.size >= basis
            if done or full or lanczos.size % max(1, lanczos.size // _CHECKED_EACH) == 0:
                ritz = lanczos.ritz()
                if done or search.finished(ritz):
                    break
                if full:
                    lanczos.restart(search.kept(ritz, lanczos.size), ritz)
    chosen, good = search.wanted(ritz.values), search.good(ritz)
    pairs = {
        i: Pair(float(ritz.values[i]), float(ritz.residuals[i]), operator.space.split(row), bool(good[i]))
        for i, row in zip(chosen, lanczos.vectors(ritz, chosen), strict=True)
    }
    return Eigenpairs(
        largest=tuple(pairs[i] for i in search.upper(ritz.values, k)[::-1]),
        smallest=tuple(pairs[i] for i in search.lower(ritz.values, k)),
        matrix=operator.name,
        products=operator.products,
        tolerance=tolerance,
        dimension=operator.space.dimension,
        error=operator.error,
    )


@dataclass(frozen=True, slots=True)
class _Search:
    """Which pairs are wanted, and whether they are good enough."""

    k: int
    tolerance: float
    lower: _Choice
    upper: _Choice
    eps: float

    def wanted(self, values: NDArray[np.float64]) -> _Indices:
        return np.union1d(self.lower(values, self.k), self.upper(values, self.k)).astype(np.intp)

    def good(self, ritz: Ritz) -> NDArray[np.bool_]:
        """Of each pair, whether it has converged."""
        largest = float(np.abs(ritz.values).max())
        size = np.maximum(np.abs(ritz.values), self.tolerance * largest)
        return ritz.residuals <= np.maximum(self.tolerance * size, _ROUNDING * self.eps * largest)

    def finished(self, ritz: Ritz) -> bool:
        """Whether all that are wanted are there and have converged."""
        ends = len(self.lower(ritz.values, self.k)) + len(self.upper(ritz.values, self.k))
        if not self.k <= ends <= len(ritz.values):  # what one end has is not to stand in for the other
            return False
        return bool(self.good(ritz)[self.wanted(ritz.values)].all())

    def kept(self, ritz: Ritz, size: int) -> _Indices:
        """What a smaller basis begins with: the wanted pairs, and their neighbours up to half of the room."""
        wide = max(self.k, size // 4) if len(self.wanted(ritz.values)) > self.k else max(self.k, size // 2)
        lower, upper = self.lower(ritz.values, wide), self.upper(ritz.values, wide)
        return np.union1d(lower, upper).astype(np.intp)


def _check(k: int, tolerance: float, max_products: int | None, basis: int | None, wanted: int, dimension: int) -> None:
    if not 1 <= k <= dimension:
        raise ConfigurationError(f"cannot find {k} eigenpairs, because the matrix has {dimension}; give 1 <= k <= that")
    if not 0.0 < tolerance < 1.0:
        raise ConfigurationError(
            f"cannot stop at a residual of {tolerance}, because it is relative to the eigenvalue; give "
            "0 < tolerance < 1"
        )
    if max_products is not None and max_products < min(wanted, dimension):
        raise ConfigurationError(
            f"cannot find {wanted} eigenpairs in {max_products} products, because each product adds one; give "
            f"max_products >= {wanted}, and rather ten times that"
        )
    if basis is not None and basis < 2 * wanted + 2:
        raise ConfigurationError(
            f"cannot find {wanted} eigenpairs with {basis} vectors, because a restart keeps them and needs room to go "
            f"on; give basis >= {2 * wanted + 2}, or None"
        )
