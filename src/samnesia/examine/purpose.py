"""What runs are examined for: what it is called, where it is written, and the code that decides its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from samnesia.examine.bench import Bench, Look
from samnesia.examine.company import Company

if TYPE_CHECKING:
    from samnesia.measure.progress import Progress


def _nothing(content: Mapping[str, Any]) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class Purpose:
    """One of the commands that examine runs."""

    verb: str
    """What is done to runs."""
    done: str
    """What they are afterwards."""
    doing: str
    """What happens to them meanwhile."""
    results: str
    """What comes of it."""
    result: str
    """File of all that was asked for last."""
    rooms: tuple[str, ...]
    """Files and folders of the package whose code decides the numbers."""
    bench: Callable[[Look, Progress], Bench] = Bench
    """On which checkpoints are looked at."""
    named: bool = True
    """Whether the parts were asked for by name: one that does not apply is then refused, and else left out."""
    company: Company = field(default_factory=Company)
    """The processes that do it together."""
    summary: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _nothing
    """What is written down beside the measurements when all are there: content -> more content."""


MEASURING = Purpose(
    "measure", "measured", "measuring", "measurements", "measure.json", ("measure", "perturb", "examine/parts")
)
