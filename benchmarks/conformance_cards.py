"""The cards of docs/conformance.md: ours beside those of the peers that the package index has.

    python benchmarks/conformance_cards.py measure [NAME ...]   cards into benchmarks/results/conformance (minutes)
    python benchmarks/conformance_cards.py render               the page's table and findings from these cards

The cards of optax come from benchmarks/conformance_peers/optax_sam.py, which needs an environment of its own.
`tests/conformance/test_page.py` holds the page against the committed cards.
"""

import json
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from samnesia.conformance import ROWS, Card, load, run
from samnesia.conformance.card import MARKS
from samnesia.conformance.rows import TOPICS

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "conformance.md"
CARDS = ROOT / "benchmarks" / "results" / "conformance"
START, END = "<!-- cards: made by benchmarks/conformance_cards.py -->", "<!-- /cards -->"


@dataclass(frozen=True)
class Column:
    """A subject of the page."""

    name: str
    heading: str
    group: str
    spec: str | None = None  # FILE.py:function; None: made by the script of its own

    @property
    def file(self) -> Path:
        """Its card."""
        return CARDS / f"{self.name}.json"

    def card(self) -> Card:
        """The committed card, in the order of the suite."""
        card = Card.from_json(json.loads(self.file.read_text()))
        order = [row.id for row in ROWS]
        return replace(card, results=tuple(sorted(card.results, key=lambda result: order.index(result.row))))


OURS, KOZISTR, OPTAX = "samnesia", "pytorch-optimizer", "optax.contrib.sam"
PEERS = "benchmarks/conformance_peers"
COLUMNS = (
    Column("samnesia-sam", "sam", OURS, f"{PEERS}/ours.py:sam"),
    Column("samnesia-asam", "asam", OURS, f"{PEERS}/ours.py:asam"),
    Column("samnesia-gsam", "gsam", OURS, f"{PEERS}/ours.py:gsam"),
    Column("samnesia-random", "random", OURS, f"{PEERS}/ours.py:random_perturbation"),
    Column("samnesia-as-optimizer", "as_optimizer", OURS, f"{PEERS}/ours.py:as_optimizer"),
    Column("samnesia-two-step", "two_step", OURS, f"{PEERS}/ours.py:two_step"),
    Column("pytorch-optimizer-sam", "SAM", KOZISTR, f"{PEERS}/kozistr.py:sam"),
    Column("pytorch-optimizer-gsam", "GSAM", KOZISTR, f"{PEERS}/kozistr.py:gsam"),
    Column("pytorch-optimizer-wsam", "WSAM", KOZISTR, f"{PEERS}/kozistr.py:wsam"),
    Column("pytorch-optimizer-looksam", "LookSAM", KOZISTR, f"{PEERS}/kozistr.py:looksam"),
    Column("pytorch-optimizer-friendlysam", "FriendlySAM", KOZISTR, f"{PEERS}/kozistr.py:friendly_sam"),
    Column("pytorch-optimizer-bsam", "BSAM", KOZISTR, f"{PEERS}/kozistr.py:bsam"),
    Column("optax-transparent", "transparent", OPTAX),
    Column("optax-opaque", "opaque", OPTAX),
)


def section() -> str:
    """What the page shows of the cards."""
    cards = {column: column.card() for column in COLUMNS}
    return "\n".join((START, "", *counts(cards), *table(cards), *findings(cards), END))


def counts(cards: dict[Column, Card]) -> list[str]:
    """How many rows each holds."""
    lines = ["| | versions | ✓ | ✗ | – |", "|---|---|---|---|---|"]
    for column, card in cards.items():
        versions = ", ".join(f"{name} {version}" for name, version in card.versions.items())
        numbers = " | ".join(str(card.count(status)) for status in MARKS)
        lines.append(f"| {column.group} `{column.heading}` | {versions} | {numbers} |")
    return [*lines, ""]


def table(cards: dict[Column, Card]) -> list[str]:
    """A mark for every row and subject."""
    found = {column: {result.row: result.status for result in card.results} for column, card in cards.items()}
    heads = [f"`{column.heading}`" for column in COLUMNS]
    lines = []
    for topic, rows in TOPICS.items():
        lines += [f"### {topic}", "", "| row | property, and what breaks in practice | " + " | ".join(heads) + " |"]
        lines.append("|---|---|" + "---|" * len(COLUMNS))
        for row in rows:
            marks = " | ".join(MARKS[found[column][row.id]] for column in COLUMNS)
            lines.append(f"| {row.id} | **{row.title}** — {row.breaks} | {marks} |")
        lines.append("")
    return lines


def findings(cards: dict[Column, Card]) -> list[str]:
    """The evidence of every failure, and the reason of every row that does not apply."""
    lines = ["### Evidence", ""]
    for column, card in cards.items():
        lines += [f"<details><summary>{column.group} <code>{column.heading}</code>: {card.counts}</summary>", ""]
        for status in ("fail", "n/a"):
            for evidence, rows in by_evidence(card, status).items():
                lines.append(f"- {MARKS[status]} {', '.join(rows)}: {evidence.replace('<', '&lt;')}")
        if not card.count("fail") + card.count("n/a"):
            lines.append("Every row holds.")
        lines += ["", f"Made by `{card.command}`.", "", "</details>", ""]
    return lines


def by_evidence(card: Card, status: str) -> dict[str, list[str]]:
    """Evidence -> the rows that have it."""
    found: dict[str, list[str]] = {}
    for result in card.results:
        if result.status == status:
            found.setdefault(result.evidence, []).append(result.row)
    return found


def with_section(page: str) -> str:
    """The page with the section in place of the one it has."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return before + section() + after


def measure(names: list[str]) -> None:
    """Check every subject that is named, or all."""
    for column in COLUMNS:
        if column.spec is None or (names and column.name not in names):
            continue
        command = shlex.join(("samnesia", "conformance", column.spec))
        with load(column.spec) as candidate:
            card = run(candidate, subject=column.spec, command=command)
        card = replace(card, results=tuple(replace(result, seconds=0.0) for result in card.results))
        CARDS.mkdir(parents=True, exist_ok=True)
        column.file.write_text(card.dumps())
        print(f"{column.name}: {card.counts}", flush=True)


def main() -> None:
    """Measure or render."""
    words = sys.argv[1:]
    if words[:1] == ["measure"]:
        measure(words[1:])
    elif words == ["render"]:
        PAGE.write_text(with_section(PAGE.read_text()))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
