"""Warnings of ours as sentences, in the process of the command line and in its workers alike."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import TextIO

from samnesia.perturb.errors import SamnesiaWarning
from samnesia.processes import first_to_tell


@contextlib.contextmanager
def warnings_told(tell: Callable[[str, TextIO | None], None]) -> Iterator[None]:
    """Give the text of each warning of ours to ``tell``, with the file it was meant for; others are shown as always."""
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
                tell(str(message), file)
            else:
                standard(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


@contextlib.contextmanager
def warnings_as_sentences() -> Iterator[None]:
    """Print warnings of ours as sentences, without the source line that Python adds."""

    def tell(sentence: str, file: TextIO | None) -> None:
        if first_to_tell(sentence):
            print(f"samnesia: warning: {sentence}", file=file or sys.stderr)

    with warnings_told(tell):
        yield
