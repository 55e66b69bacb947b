"""What configurations refuse, in one place for all parts."""

from __future__ import annotations

import math

from samnesia.perturb.errors import ConfigurationError

MOST_EPOCHS = 1_000_000


def require(condition: bool, sentence: str) -> None:
    """Raise a ConfigurationError with this sentence unless the condition holds."""
    if not condition:
        raise ConfigurationError(sentence)


def check_share(value: float, what: str) -> None:
    """Refuse what is no share of 0 to 1."""
    require(
        0.0 <= value <= 1.0,
        f"cannot {what} a share of {value}, because a share lies between 0 and 1; use 0.4 for 40 %",
    )


def check_epochs(value: float, what: str) -> None:
    """Refuse what is no duration in epochs."""
    require(
        0.0 <= value <= MOST_EPOCHS,
        f"cannot {what} for {value} epochs, because a duration lies between 0 and {MOST_EPOCHS}; use 0 for none",
    )


def check_positive(value: float, what: str, example: str) -> None:
    """Refuse what is not a finite positive number."""
    require(
        0.0 < value < math.inf,
        f"cannot {what} {value}, because it must be a positive number; use {example}",
    )
