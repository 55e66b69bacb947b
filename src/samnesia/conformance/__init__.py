"""The conformance suite: what a SAM-like optimizer of anybody's must hold, checked from outside, and printed as a card.

Names are imported on first use: the pytest plugin lives in this package, and every pytest session loads it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samnesia.conformance.adapters import Closure, Passes, Subject, TwoStep
    from samnesia.conformance.card import Card, run
    from samnesia.conformance.outcome import NotApplicable, Result, Violation, run_row
    from samnesia.conformance.rows import ROWS
    from samnesia.conformance.setup import Claims, Setup
    from samnesia.conformance.subject import Candidate, Row, load
    from samnesia.conformance.textbook import asam, gsam, sam

__all__ = [
    "Candidate",
    "Card",
    "Claims",
    "Closure",
    "NotApplicable",
    "Passes",
    "ROWS",
    "Result",
    "Row",
    "Setup",
    "Subject",
    "TwoStep",
    "Violation",
    "asam",
    "gsam",
    "load",
    "run",
    "run_row",
    "sam",
]

_HOMES = {
    "adapters": ("Closure", "Passes", "Subject", "TwoStep"),
    "card": ("Card", "run"),
    "outcome": ("NotApplicable", "Result", "Violation", "run_row"),
    "rows": ("ROWS",),
    "setup": ("Claims", "Setup"),
    "subject": ("Candidate", "Row", "load"),
    "textbook": ("asam", "gsam", "sam"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name where it lives."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'samnesia.conformance' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"samnesia.conformance.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)
