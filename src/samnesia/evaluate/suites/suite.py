"""What the suites of ``samnesia evaluate`` have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samnesia.examine.parts.part import Part

if TYPE_CHECKING:
    from samnesia.train.loaded import Loaded


class Suite(Part):
    """A kind of evaluation; a frozen dataclass whose fields are its options.

    As a part of ``samnesia measure`` (:class:`samnesia.examine.parts.part.Part`), it measures the checkpoint on the
    bench, and tells its figures and the lines of the table.
    """

    def against(self, loaded: Loaded) -> str | None:
        """Why it does not apply to this model and these data, in words; None if it does."""
        return None
