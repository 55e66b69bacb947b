"""What a cell of a study does, and what comes out of it.

The engine knows no more of a cell than this protocol: that it has settings, can be run into a directory (and, when it
was killed, run again there), and can be read. Training is one kind; a user's own function, or a chain of training,
measuring and fine-tuning, are others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Outcome:
    """What came out of a finished cell.

    Attributes:
        values: numbers by name, None where one does not exist: the columns of the study's table.
        curves: lists of one number per epoch, by name.
        seconds: wall time of the cell.
        environment: versions, hardware and commit that it ran with.
        notes: what a reader of its numbers has to know, a sentence each.
    """

    values: Mapping[str, float | None]
    curves: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    seconds: float = 0.0
    environment: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Work(Protocol):
    """What a cell does; picklable, because another process, or another machine, may do it."""

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides its numbers, the seed included, as plain JSON values."""

    def run(self, directory: Path) -> None:
        """Do it, and write ``result.json`` last and atomically; in a directory that a kill has left, go on or anew."""

    def read(self, directory: Path) -> Outcome:
        """Read what :meth:`run` has left; raises ConfigurationError when that is damaged or of other settings."""

    def done(self, directory: Path) -> float:
        """Return the share of the work that is done, 0 to 1, as far as can be seen from outside."""
