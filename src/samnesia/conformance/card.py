"""The card: what a subject holds, what it does not, and with which versions and command that was found."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from samnesia import __version__
from samnesia.conformance.adapters import Subject
from samnesia.conformance.outcome import Result, run_row
from samnesia.conformance.rows import ROWS, TOPICS
from samnesia.conformance.subject import Candidate, Row
from samnesia.perturb.errors import ConfigurationError

MARKS = {"pass": "✓", "fail": "✗", "n/a": "–"}
VERSION = 1


@dataclass(frozen=True)
class Card:
    """The results of one subject.

    Args:
        subject: its name.
        results: one per row, in the order of the suite.
        versions: of what it was measured with.
        command: how to measure it again.
    """

    subject: str
    results: tuple[Result, ...]
    versions: dict[str, str]
    command: str = ""

    def count(self, status: str) -> int:
        """How many rows ended so."""
        return sum(result.status == status for result in self.results)

    @property
    def conforms(self) -> bool:
        """Whether no row failed."""
        return not self.count("fail")

    @property
    def counts(self) -> str:
        """The counts in words."""
        return f"{self.count('pass')} pass, {self.count('fail')} fail, {self.count('n/a')} not applicable"

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"conformance card": VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Card:
        """From what `to_json` gave."""
        rest = {name: value for name, value in values.items() if name not in ("conformance card", "results")}
        return cls(results=tuple(Result(**result) for result in values["results"]), **rest)

    def markdown(self) -> str:
        """The card as a page: failures with what breaks in practice, then every row."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        lines = [f"# Conformance card: {self.subject}", "", f"{self.counts}. Measured with {versions}."]
        if self.command:
            lines += ["", f"    {self.command}"]
        for topic, results in self.by_topic():
            lines += ["", f"## {topic}", "", "| row | | property | what breaks in practice | evidence or reason |"]
            lines.append("|---|---|---|---|---|")
            for row, result in results:
                cells = (row.id, f"{MARKS[result.status]} {result.status}", row.title, row.breaks, result.evidence)
                lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        return "\n".join(lines) + "\n"

    def by_topic(self) -> Iterator[tuple[str, list[tuple[Row, Result]]]]:
        """The topics of which rows were run, with these."""
        found = {result.row: result for result in self.results}
        for topic, rows in TOPICS.items():
            if chosen := [(row, found[row.id]) for row in rows if row.id in found]:
                yield topic, chosen

    def dumps(self) -> str:
        """As JSON text."""
        return json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n"


def versions(subject: Subject) -> dict[str, str]:
    """Versions of what a card is measured with, the package of the optimizer under test among them."""
    found = {"samnesia": __version__, "torch": torch.__version__, "Python": platform.python_version()}
    package = type(subject.optimizer).__module__.partition(".")[0]
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        version = importlib.metadata.version(package)
        found = {package.replace("_", "-"): version} | found
    return found


def choose(names: Iterable[str]) -> tuple[Row, ...]:
    """The rows with these ids ("47" is all of 47a to 47d), all of them for none; raises ConfigurationError."""
    wanted = tuple(names)
    if not wanted:
        return ROWS
    for name in wanted:
        if not any(row.answers_to(name) for row in ROWS):
            raise ConfigurationError(
                f"cannot find row {name!r}, because the suite has no row of that name; samnesia conformance --list "
                "prints them all"
            )
    return tuple(row for row in ROWS if any(row.answers_to(name) for name in wanted))


def check_claims(candidate: Candidate) -> None:
    """Raise ConfigurationError if no subject can be built, or if one names rows that there are not."""
    choose(candidate.claims.without)


def run(
    candidate: Candidate,
    *,
    subject: str,
    rows: Sequence[Row] = ROWS,
    command: str = "",
    progress: Callable[[Row], None] = lambda row: None,
) -> Card:
    """Check rows one after the other; raises ConfigurationError if the subject cannot be built at all.

    Args:
        candidate: builds the subjects.
        subject: its name on the card.
        rows: those to be checked.
        command: what the card says of how it was made.
        progress: called before each row.
    """
    check_claims(candidate)
    found = versions(candidate.simplest)
    results = []
    for row in rows:
        progress(row)
        results.append(run_row(row, candidate))
    return Card(subject, tuple(results), found, command)


def check_out(path: Path) -> None:
    """Raise ConfigurationError unless a card can go there: a .json or .md file, which is new or was a card before."""
    if path.suffix not in (".json", ".md"):
        raise ConfigurationError(
            f"cannot write a card to {path}, because cards are written as .json or .md; give --out one of those endings"
        )
    if path.exists() and "onformance card" not in path.read_text(errors="replace")[:40]:
        raise ConfigurationError(
            f"cannot write a card to {path}, because what stands there is none and would be lost; give --out another "
            "name"
        )


def write(card: Card, path: Path) -> None:
    """Write a card as .json or .md; raises ConfigurationError where `check_out` does."""
    check_out(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(card.dumps() if path.suffix == ".json" else card.markdown())
