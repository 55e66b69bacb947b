"""Power iteration: the protocol of PyHessian, and the baseline that others are held against."""

from __future__ import annotations

import math

from torch import Tensor

from samnesia.measure.curvature.operators import Hessian, Matrix, Operator
from samnesia.measure.curvature.pairs import Eigenpairs, Pair
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError


def power_iteration(
    subject: Subject,
    k: int = 1,
    *,
    matrix: Matrix | None = None,
    steps: int = 100,
    change: float | None = 1e-4,
    residual: float | None = None,
    seed: int = 0,
) -> Eigenpairs:
    r"""The k eigenpairs of largest magnitude, one after the other, by power iteration with deflation.

    With its defaults it is the protocol of PyHessian (Yao et al., 2020) with which Vani et al. (ICML 2024) report their
    top eigenvalue: at most 100 steps of :math:`v \leftarrow A v / \lVert A v \rVert` from a random vector, until
    :math:`v^\top A v` changes by less than 1e-4 of itself. The sign is kept, so that a dominant negative eigenvalue is
    found as negative. It says nothing about the other end, and a small change per step is no small error where two
    magnitudes lie near each other: look at the residuals, or take :func:`eigenpairs`.

    Args:
        subject: model, criterion and batches.
        k: how many; each later one is sought orthogonal to the earlier.
        matrix: :class:`Hessian` (the default), :class:`GaussNewton` or :class:`DifferenceHessian`.
        steps: at most so many products for each.
        change: stop when the value changes by less, relative to itself; None does not ask.
        residual: stop when ‖A v - λ v‖ / |λ| is as small, beside the earlier vectors (what these are off by stays);
            None does not ask. With both rules, either is enough.
        seed: of the start vectors.

    Raises:
        ConfigurationError: for values out of range, no rule to stop, or products that are not finite.
        UnsupportedError: for a model or criterion that cannot be differentiated twice.
    """
    operator = Operator(subject, matrix or Hessian())
    _check(k, steps, change, residual, operator.space.dimension)
    found: list[tuple[float, float, Tensor, bool]] = []
    with subject.counting("power iteration", k * steps):
        for index in range(k):
            start = operator.space.gaussian(seed + index)
            found.append(_dominant(operator, start, [row for _, _, row, _ in found], steps, change, residual))
    pairs = [Pair(value, distance, operator.space.split(row), done) for value, distance, row, done in found]
    return Eigenpairs.by_sign(
        pairs,
        matrix=operator.name,
        products=operator.products,
        tolerance=change if residual is None else residual,
        dimension=operator.space.dimension,
        error=operator.error,
    )


def _dominant(
    operator: Operator, vector: Tensor, earlier: list[Tensor], steps: int, change: float | None, residual: float | None
) -> tuple[float, float, Tensor, bool]:
    """Value, ‖A v - λ v‖, v, and whether a rule stopped it."""
    space, before = operator.space, math.nan
    for _ in range(steps):
        vector = _beside(operator, vector, earlier)
        vector = vector / space.norm(vector)
        product = operator(vector)
        value = float(space.inner(vector[None], product)[0])
        rest = product - value * vector
        distance = space.norm(rest)
        still = change is not None and abs(value - before) < change * abs(before)
        # beside the earlier vectors: what these are off by stays in the rest, however long one iterates
        near = residual is not None and space.norm(_beside(operator, rest, earlier)) <= residual * abs(value)
        if still or near or distance == 0.0:
            return value, distance, vector, True
        following, before = product, value
        kept, vector = vector, following
    return value, distance, kept, False


def _beside(operator: Operator, vector: Tensor, earlier: list[Tensor]) -> Tensor:
    for row in earlier:
        vector = vector - float(operator.space.inner(row[None], vector)[0]) * row
    return vector


def _check(k: int, steps: int, change: float | None, residual: float | None, dimension: int) -> None:
    if not 1 <= k <= dimension:
        raise ConfigurationError(f"cannot find {k} eigenpairs, because the matrix has {dimension}; give 1 <= k <= that")
    if steps < 1:
        raise ConfigurationError(f"cannot iterate {steps} times, because each step is a product; give steps >= 1")
    given = [value for value in (change, residual) if value is not None]
    if not given or not all(0.0 < value < 1.0 for value in given):
        raise ConfigurationError(
            "cannot stop power iteration without a rule between 0 and 1, because it never ends by itself; give change= "
            "(1e-4 is usual) or residual="
        )
