"""A figure and how far it may be off."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean of ``count`` independent values and its standard error (NaN for a single one)."""

    value: float
    error: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """``mean(values)`` with ``sd(values) / sqrt(n)``."""
        error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
        return cls(math.fsum(values) / len(values), error, len(values))

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Self:
        """What :meth:`as_dict` has written; what was not finite is NaN."""
        value, error = (math.nan if written[name] is None else written[name] for name in ("value", "error"))
        return cls(value, error, written["count"])

    def as_dict(self) -> dict[str, Any]:
        """``{"value": ..., "error": ..., "count": ...}``: the one form of an estimate in JSON, also in records.

        What is not finite, as the error of a single value, is None.
        """
        return {"value": plain(self.value), "error": plain(self.error), "count": self.count}

    def __str__(self) -> str:
        """``0.123 ± 0.004``."""
        return f"{self.value:.4g}" if math.isnan(self.error) else f"{self.value:.4g} ± {self.error:.2g}"


def plain(value: float | None) -> float | None:
    """The number, or None where it is not finite: for JSON, which has no NaN and no infinity."""
    return value if value is not None and math.isfinite(value) else None
