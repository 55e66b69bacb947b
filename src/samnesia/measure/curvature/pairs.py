"""Eigenvalues with their vectors and residuals, as a result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from samnesia.measure.estimate import plain


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """An eigenvalue with its vector, and how well they fit."""

    value: float
    distance: float
    """‖A v - λ v‖ for the vector as it is: an eigenvalue of the matrix lies as near as that."""
    vector: list[Tensor]
    """One tensor per trained parameter, in their order (of a sharded one, the part in this process); of length 1."""
    converged: bool

    @property
    def residual(self) -> float:
        """‖A v - λ v‖ / |λ|."""
        return self.distance / abs(self.value) if self.value else math.inf


@dataclass(frozen=True)
class Eigenpairs:
    """Leading eigenpairs of a matrix of second derivatives; signs are kept."""

    largest: tuple[Pair, ...]
    """From the upper end downwards."""
    smallest: tuple[Pair, ...]
    """From the lower end upwards."""
    matrix: str
    products: int
    """Passes over the data that were products with the matrix."""
    tolerance: float
    dimension: int
    error: float
    """How far products may have been off beyond rounding, relative to their size; 0 for exact derivatives."""

    @classmethod
    def by_sign(cls, pairs: Sequence[Pair], **about: Any) -> Self:
        """Positive ones count as those of the upper end, negative ones as those of the lower."""
        ordered = sorted(pairs, key=lambda pair: -pair.value)
        smallest = tuple(reversed([pair for pair in ordered if pair.value < 0.0]))
        return cls(tuple(pair for pair in ordered if pair.value >= 0.0), smallest, **about)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All that were found, each once, by falling magnitude."""
        found = dict.fromkeys(self.largest + self.smallest)  # where the two ends meet they share pairs
        return tuple(sorted(found, key=lambda pair: -abs(pair.value)))

    @property
    def dominant(self) -> Pair:
        """The one of largest magnitude, whatever its sign: what power iteration finds."""
        return self.pairs[0]

    @property
    def converged(self) -> bool:
        """Whether all of them have reached the tolerance."""
        return all(pair.converged for pair in self.pairs)

    def ratio(self, index: int) -> float:
        """λ_1 / λ_index at the upper end, such as λ_max / λ_5 (Foret et al., ICLR 2021).

        NaN if there are fewer, or if λ_index is 0, as of a matrix of low rank.
        """
        if not 1 <= index <= len(self.largest) or self.largest[index - 1].value == 0.0:
            return math.nan
        return self.largest[0].value / self.largest[index - 1].value

    def as_dict(self) -> dict[str, Any]:
        """Plain values, without the vectors."""
        ratios = {f"ratio_1_{i}": self.ratio(i) for i in (2, 5) if not math.isnan(self.ratio(i))}
        return {
            "matrix": self.matrix,
            "largest": [_written(pair) for pair in self.largest],
            "smallest": [_written(pair) for pair in self.smallest],
            **ratios,
            "products": self.products,
            "tolerance": self.tolerance,
            "converged": self.converged,
            "dimension": self.dimension,
            "error": self.error,
        }

    def __str__(self) -> str:
        """A table."""
        lines = [f"{self.matrix}, {self.dimension} parameters, {self.products} products"]
        if self.error:
            lines[0] += f", each within {self.error:.1g} of itself"
        for name, end in (("upper end", self.largest), ("lower end", self.smallest)):
            lines += [name] if end else []
            for pair in end:
                unfinished = "" if pair.converged else "   not converged"
                lines.append(f"  {pair.value:>12.5g}   residual {pair.residual:.1e}{unfinished}")
        if len(self.largest) >= 5:
            lines.append(f"largest / fifth: {self.ratio(5):.3g}")
        return "\n".join(lines)


def _written(pair: Pair) -> dict[str, Any]:
    return {
        "value": pair.value,
        "residual": plain(pair.residual),
        "distance": pair.distance,
        "converged": pair.converged,
    }
