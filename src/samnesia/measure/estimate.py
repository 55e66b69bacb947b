"""A figure and how far it may be off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

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

    def __str__(self) -> str:
        """``0.123 ± 0.004``."""
        return f"{self.value:.4g}" if math.isnan(self.error) else f"{self.value:.4g} ± {self.error:.2g}"
