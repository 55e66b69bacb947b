"""How numbers are written: true minus signs, intervals, dashes where there is nothing, and counts with their nouns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from samnesia.study.judging.statistics import LEAST

Estimate = Mapping[str, Any]
"""A mean with its interval and the seeds: ``n``, ``mean``, ``low``, ``high``, ``per_seed``."""
Bounds = tuple[float, float]


def plain(value: float | None, digits: int = 1) -> str:
    """A number with a true minus sign and thin groups of thousands; a dash where there is none."""
    if value is None:
        return "\N{EN DASH}"
    text = f"{value:,.{digits}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return (text if _is_seen(value, digits) else text.lstrip("-")).replace("-", "\N{MINUS SIGN}")


def signed(value: float | None, digits: int = 1) -> str:
    """A difference with its sign, which what is zero in these digits has not; a dash where there is none."""
    if value is None or not _is_seen(value, digits):
        return plain(value, digits)
    return f"{value:+,.{digits}f}".replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", "\N{MINUS SIGN}")


def counted(number: int, noun: str) -> str:
    """``1 seed``, ``5 seeds``."""
    return f"{number} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Several of a noun, which may be a factor that is called by its plural already."""
    if noun.endswith("s"):
        return noun if not noun.endswith("sis") else f"{noun[:-2]}es"
    return f"{noun[:-1]}ies" if re.search(r"[^aeiou]y$", noun) else f"{noun}s"


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers in words, those that follow each other together: ``0 to 4, 7``."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{part[0]} to {part[-1]}" if len(part) > 2 else ", ".join(map(str, part)) for part in parts)


def measured(value: float, unit: str, form: str = "{:g}") -> str:
    """A number as a person would write it, with its unit: ``0.5 points``, ``1 point``."""
    text = form.format(value)
    return f"{text} {'point' if unit == 'points' and text == '1' else unit}".rstrip()


def ends(value: Estimate, digits: int = 1, bounds: Bounds | None = None) -> str:
    """``93.9 to 95.5``, with ``n = 4`` where runs are missing; in words where equal numbers give no interval.

    The interval is cut at ``bounds``.
    """
    if value["low"] is not None:
        low, high = value["low"], value["high"]
        if bounds is not None:
            low, high = max(bounds[0], low), min(bounds[1], high)
        interval = f"{plain(low, digits)} to {plain(high, digits)}"
    else:
        interval = "all seeds equal" if value["n"] >= LEAST else ""
    missing = f"n = {value['n']}" if 0 < value["n"] < len(value["per_seed"]) else ""
    return ", ".join(part for part in (interval, missing) if part)


def level(value: Estimate, digits: int = 1, bounds: Bounds | None = None) -> str:
    """``94.7 (93.9 to 95.5)``; the mean alone where there is no interval."""
    interval = ends(value, digits, bounds)
    return plain(value["mean"], digits) + (f" ({interval})" if interval else "")


def change(value: Estimate, digits: int = 1) -> str:
    """``+12.1 (10.3 to 13.9)``; the mean alone where there is no interval."""
    interval = ends(value, digits)
    return signed(value["mean"], digits) + (f" ({interval})" if interval else "")


def half_width(value: Estimate, digits: int = 1) -> str:
    """`` ±0.8``: half the width of an interval, which is symmetric; empty where there is none."""
    return "" if value["low"] is None else f" \N{PLUS-MINUS SIGN}{plain((value['high'] - value['low']) / 2, digits)}"


def _is_seen(value: float, digits: int) -> bool:
    """Whether it is written with another figure than 0."""
    return round(value, digits) != 0.0
