"""Warnings of ours as sentences, in the process of the command line and in its workers alike."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from typing import TextIO

from samnesia.perturb.errors import SamnesiaWarning
from samnesia.processes import first_to_tell


@contextlib.contextmanager
def warnings_as_sentences() -> Iterator[None]:
    """Print warnings of ours as sentences, without the source line that Python adds."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", SamnesiaWarning)
        standard = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, SamnesiaWarning):
                if first_to_tell(str(message)):
                    print(f"samnesia: warning: {message}", file=file or sys.stderr)
            else:
                standard(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield
