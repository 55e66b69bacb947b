"""What the suites of ``samnesia evaluate`` have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from samnesia.examine.parts.part import Part, Values


@dataclass(frozen=True)
class Score:
    """A number of the table: runs that differ by their seed alone are averaged by it."""

    value: float | None
    """As it is shown: a share in percent, say. None where there is none."""
    unit: str = "%"
    """Behind the number; empty for none."""
    digits: int = 1
    """Behind the point."""
    main: bool = False
    """Whether it stands for its suite in the summary; where none does, the first one stands for it."""

    @property
    def text(self) -> str:
        """``93.4 %``."""
        return self.written(self.value)

    def written(self, value: float | None) -> str:
        """A number of this kind."""
        if value is None:
            return "none"
        return f"{value:.{self.digits}f}" + (f" {self.unit}" if self.unit else "")


class Suite(Part):
    """A kind of evaluation; a frozen dataclass whose fields are its options.

    As a part of ``samnesia measure`` (:class:`samnesia.examine.parts.part.Part`), it measures the checkpoint on the
    bench, and tells its figures and the lines of the table. ``against(loaded)`` says why it does not apply.
    """

    def captions(self) -> Mapping[str, str]:
        """How to read its figures, a sentence or two each, by the names of their files."""
        return {}

    @abstractmethod
    def scores(self, values: Values) -> Mapping[str, Score]:
        """The lines of the table, by name."""

    def rows(self, values: Values) -> Mapping[str, str]:
        """The same in words."""
        return {name: score.text for name, score in self.scores(values).items()}
