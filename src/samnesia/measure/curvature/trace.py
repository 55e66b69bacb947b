"""Trace and Frobenius norm of a matrix of second derivatives, with standard errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from samnesia.measure.curvature.operators import Hessian, Matrix, Operator
from samnesia.measure.estimate import Estimate
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError

_FEWEST = 8  # vectors before their spread is believed


@dataclass(frozen=True, slots=True)
class Moments:
    """Trace and Frobenius norm, from the same products."""

    trace: Estimate
    """Σ λ_i."""
    frobenius_norm: Estimate
    """√Σ λ_i²."""
    matrix: str
    dimension: int
    products: int
    error: float
    """How far products may have been off beyond rounding, relative to their size; 0 for exact derivatives."""

    @property
    def mean_eigenvalue(self) -> Estimate:
        """Trace over the number of parameters."""
        return Estimate(self.trace.value / self.dimension, self.trace.error / self.dimension, self.trace.count)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "matrix": self.matrix,
            "trace": self.trace.as_dict(),
            "frobenius_norm": self.frobenius_norm.as_dict(),
            "mean_eigenvalue": self.mean_eigenvalue.as_dict(),
            "dimension": self.dimension,
            "products": self.products,
            "error": self.error,
        }

    def __str__(self) -> str:
        """Two lines."""
        return (
            f"{self.matrix}, {self.dimension} parameters, {self.products} products\n"
            f"trace {self.trace}, Frobenius norm {self.frobenius_norm}"
        )


def moments(
    subject: Subject,
    *,
    matrix: Matrix | None = None,
    vectors: int = 100,
    relative_error: float | None = None,
    seed: int = 0,
) -> Moments:
    r"""Trace and Frobenius norm by Hutchinson's estimator, one product per vector.

    For vectors v of independent signs :math:`\mathbb{E}\, v^\top A v = \operatorname{tr} A` and
    :math:`\mathbb{E} \lVert A v \rVert^2 = \lVert A \rVert_F^2` (Hutchinson 1990). Errors are standard errors over the
    vectors; that of the norm is the one of its square over twice the norm.

    Args:
        subject: model, criterion and batches.
        matrix: :class:`Hessian` (the default), :class:`GaussNewton` or :class:`DifferenceHessian`.
        vectors: at most so many products.
        relative_error: stop (after 8 vectors at least) when both standard errors are below that share of the values;
            None takes all vectors. A trace near zero is never as exact.
        seed: of the vectors.

    Raises:
        ConfigurationError: for values out of range, or products that are not finite.
        UnsupportedError: for a model or criterion that cannot be differentiated twice.
    """
    _check(vectors, relative_error)
    operator = Operator(subject, matrix or Hessian())
    space = operator.space
    traces: list[float] = []
    squares: list[float] = []
    with subject.counting("trace", vectors):
        for index in range(vectors):
            # seeds of different calls must not meet: seed + index would share all vectors but one with seed + 1
            vector = space.signs(seed * 1_000_003 + index)
            product = operator(vector)
            traces.append(float(space.inner(vector[None], product)[0]))
            squares.append(space.norm(product) ** 2)
            if relative_error is not None and index + 1 >= _FEWEST and _enough(traces, squares, relative_error):
                break
    return Moments(
        Estimate.of(traces), _root(Estimate.of(squares)), operator.name, space.dimension, operator.products,
        operator.error,
    )  # fmt: skip


def trace(subject: Subject, **options: Any) -> Estimate:
    """The trace of the Hessian with its standard error: :func:`moments` with the same options."""
    return moments(subject, **options).trace


def frobenius_norm(subject: Subject, **options: Any) -> Estimate:
    """The Frobenius norm of the Hessian with its standard error: :func:`moments` with the same options."""
    return moments(subject, **options).frobenius_norm


def _enough(traces: Sequence[float], squares: Sequence[float], relative_error: float) -> bool:
    found = (Estimate.of(traces), _root(Estimate.of(squares)))
    return all(one.error <= relative_error * abs(one.value) for one in found)


def _root(squared: Estimate) -> Estimate:
    value = math.sqrt(squared.value)
    return Estimate(value, squared.error / (2.0 * value) if value else squared.error, squared.count)


def _check(vectors: int, relative_error: float | None) -> None:
    if vectors < 1:
        raise ConfigurationError(
            f"cannot estimate from {vectors} vectors, because each gives one value; give vectors >= 1"
        )
    if relative_error is not None and not relative_error > 0.0:
        raise ConfigurationError(
            f"cannot reach a relative error of {relative_error}, because it shrinks as 1/√vectors; give "
            "relative_error > 0, or None"
        )
