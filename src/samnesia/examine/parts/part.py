"""What the parts of ``samnesia measure`` have in common."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from samnesia.examine.bench import Bench
    from samnesia.examine.chosen import Chosen, Place
    from samnesia.train.loaded import Loaded

_DECIMALS = 6  # more are written with an exponent

Values = dict[str, Any]
"""What was measured, as plain JSON values."""


@dataclass(frozen=True)
class Entry:
    """What was measured at a place."""

    label: str
    """Of the run, or of several."""
    epoch: float
    """How many epochs it had been trained for."""
    values: Values
    """What was measured."""
    group: str = ""
    """Of the runs that differ from this one by their seed alone, and this one; its label where there are none."""


def _never(loaded: Loaded) -> str | None:
    return None


@dataclass(frozen=True)
class Task:
    """A measurement that is done, written down, and never done again."""

    what: str
    label: str
    places: tuple[Place, ...]
    """The checkpoints it is about."""
    options: Values
    measure: Callable[[Bench], Values]
    """Does it."""
    against: Callable[[Loaded], str | None] = _never
    """Why it cannot be done of the last of the checkpoints, in words."""


class Part(ABC):
    """A kind of measurement; a frozen dataclass whose fields are its options.

    What it needs of torch and of the rooms is imported where it measures: the options of the command line are known
    before.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """On the command line."""

    @property
    def options(self) -> Values:
        """Everything that decides its numbers, beside what is looked at."""
        plain: Values = dataclasses.asdict(self)  # type: ignore[call-overload]
        return plain

    def tasks(self, chosen: Sequence[Chosen]) -> Iterator[Task]:
        """What there is to do; a task for each checkpoint, if nothing else is said."""
        for one in chosen:
            for place in one.places:
                yield Task(self.name, one.label, (place,), self.options, self._at(place), self.against)

    def against(self, loaded: Loaded) -> str | None:
        """Why it does not apply to this model and these data (``the data are no images``); None if it does."""
        return None

    def _at(self, place: Place) -> Callable[[Bench], Values]:
        return lambda bench: self.measure(bench, place)

    @abstractmethod
    def measure(self, bench: Bench, place: Place) -> Values:
        """Measure a checkpoint."""

    @abstractmethod
    def figures(self, entries: Sequence[Entry]) -> Iterator[tuple[str, Figure]]:
        """The figures of what was measured, each with the name of its file."""

    @abstractmethod
    def rows(self, values: Values) -> Mapping[str, str]:
        """The lines of the table: figures by name, in words."""

    def notes(self, values: Values) -> Iterator[str]:
        """What has to be said below the table, a sentence each; nothing, if nothing else is said."""
        yield from ()


def rounded(estimate: Values, *, missing: str = "none") -> str:
    """``74.5 ± 3.1``: the error to two significant digits, the value to the same decimals; four digits without one."""
    value, error = estimate["value"], estimate["error"]
    if value is None:
        return missing
    if not error:
        return f"{value:.4g}" + ("" if error is None else " ± 0")
    exponent = int(f"{error:.1e}".partition("e")[2])
    decimals = 1 - exponent
    if decimals > _DECIMALS:
        digits = max(0, int(f"{value:e}".partition("e")[2]) + decimals)
        return f"{value:.{digits}e} ± {error:.1e}"
    places = max(0, decimals)
    return f"{round(value, decimals):.{places}f} ± {round(error, decimals):.{places}f}"


def latest(entries: Sequence[Entry]) -> dict[str, Entry]:
    """What was measured at the last epoch of each label, together."""
    found: dict[str, Entry] = {}
    for entry in entries:
        known = found.get(entry.label)
        if known is None or entry.epoch > known.epoch:
            found[entry.label] = entry
        elif entry.epoch == known.epoch:
            found[entry.label] = replace(entry, values={**known.values, **entry.values})
    return found


def in_order(entries: Sequence[Entry]) -> list[str]:
    """The labels, in the order in which they were given."""
    return list(dict.fromkeys(entry.label for entry in entries))
