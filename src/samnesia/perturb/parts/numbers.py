"""Values that users give as numbers: what is none becomes NaN, which lies in no interval, so one comparison does."""

from __future__ import annotations

from numbers import Integral
from typing import Any, SupportsFloat


def number(value: Any) -> float:
    """`value` as a float, also that of a tensor with one entry; NaN for what is no number (texts, booleans, None)."""
    if isinstance(value, bool) or not isinstance(value, SupportsFloat):
        return float("nan")
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):  # arrays and tensors of several entries
        return float("nan")


def integer(value: Any) -> float:
    """`value` if it is a whole number of an integer type; NaN for everything else, 2.0 and True among it."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        return float("nan")
    return int(value)
