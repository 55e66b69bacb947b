"""Text as the data of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from samnesia.data.problem import Problem

MODULES = (
    "argparse", "difflib", "doctest", "email._header_value_parser", "http.cookiejar", "inspect", "ipaddress", "locale",
    "logging", "mailbox", "pickletools", "tarfile", "typing", "unittest.mock", "urllib.request", "subprocess",
)  # fmt: skip
"""Large modules that every Python from 3.11 on has."""


@dataclass(frozen=True)
class Text:
    """Snippets of Python's standard library: which module is a snippet of source from, in places not trained on?"""

    modules: tuple[str, ...] = MODULES
    """Modules of the standard library, a class each."""
    length: int = 32
    """Tokens of a snippet: words, digits and other characters."""
    per_region: int = 6
    """Snippets from each of a module's 16 regions: 8 regions train, 3 validate, 5 are for the test, by seed."""
    labelled: int | None = None
    """Training snippets of each module, to have fewer; None is all of its training regions."""

    def __post_init__(self) -> None:
        for name in ("length", "per_region", "labelled"):
            value = getattr(self, name)
            require(
                value is None or value >= 1,
                f"cannot cut snippets with {name} {value}, because it must be 1 or more; change it",
            )

    @property
    def says(self) -> str:
        """What the data are, in a sentence or two, for reports."""
        train, validation, test = (share * self.per_region * len(self.modules) for share in (8, 3, 5))
        train = train if self.labelled is None else self.labelled * len(self.modules)
        return (
            f"Snippets of {self.length} tokens from the source of {len(self.modules)} modules of Python's standard "
            f"library, each module a class: {train:,} for training, {validation:,} for validation and {test:,} for the "
            "test, from regions of the modules that are drawn by seed. The text depends on the version of Python."
        )

    def load(self, seed: int) -> Problem:
        """Return the three splits of this seed."""
        from samnesia.data.text import text

        return text(seed, self.modules, length=self.length, per_region=self.per_region, labelled=self.labelled)
