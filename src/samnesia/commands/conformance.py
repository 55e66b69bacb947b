"""``samnesia conformance``."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from samnesia.perturb.errors import ConfigurationError


@dataclass(frozen=True)
class Conformance:
    """Check a SAM-like optimizer of anybody's against the conformance suite, and print its card.

    FILE.py:FUNCTION names a function that builds it, as in `def make(setup): return Closure(MySAM(setup.params,
    setup.optimizer, rho=setup.rho, **setup.options))` with `from samnesia.conformance import Closure`; adapters and
    everything else are explained in docs/conformance.md. The file is imported and runs with your rights.
    """

    optimizer: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="FILE.py:FUNCTION")] = None
    """Where the optimizer is built."""
    rows: tuple[str, ...] = ()
    """Check these rows only: 47 is all of 47a to 47d."""
    out: Path | None = None
    """Also write the card to this file, as JSON (.json) or Markdown (.md)."""
    list: bool = False
    """Print what the suite checks, and check nothing."""

    def run(self) -> int:
        """Print the card; 1 where a row fails."""
        from samnesia.conformance import card
        from samnesia.conformance.subject import load
        from samnesia.conformance.terminal import print_card, print_rows, progress

        if self.list:
            print_rows()
            return 0
        if self.optimizer is None:
            raise ConfigurationError(
                "cannot check an optimizer before it is known how to build it; name the function that does, as in "
                "samnesia conformance my_sam.py:make"
            )
        rows = card.choose(self.rows)
        if self.out is not None:
            card.check_out(self.out)
        words = ("samnesia", "conformance", self.optimizer, *(("--rows", *self.rows) if self.rows else ()))
        with load(self.optimizer) as candidate, progress(len(rows)) as show:
            found = card.run(candidate, subject=self.optimizer, rows=rows, command=shlex.join(words), progress=show)
        print_card(found)
        if self.out is not None:
            card.write(found, self.out)
        return int(not found.conforms)
