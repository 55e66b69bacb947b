"""The card on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from samnesia.conformance.card import MARKS, Card
from samnesia.conformance.rows import TOPICS
from samnesia.conformance.subject import Row

COLOURS = {"pass": "green", "fail": "bold red", "n/a": "dim"}


@contextmanager
def progress(total: int) -> Iterator[Callable[[Row], None]]:
    """Show, where a terminal is looking, which row is being checked."""
    console, count = Console(stderr=True), 0
    with console.status("building the optimizer") as status:

        def show(row: Row) -> None:
            nonlocal count
            count += 1
            status.update(f"row {row.id} ({count} of {total}): {escape(row.title)}")

        yield show


def print_card(card: Card) -> None:
    """Every row in a table; below a failure, what it breaks in practice."""
    console = Console()
    table = Table(title=f"Conformance card: {escape(card.subject)}", expand=console.is_terminal)
    for column in ("row", "", "property, evidence, what breaks in practice"):
        table.add_column(column, overflow="fold")
    for topic, results in card.by_topic():
        table.add_section()
        table.add_row("", "", f"[bold]{topic}[/bold]")
        for row, result in results:
            colour = COLOURS[result.status]
            text = escape(row.title)
            if result.evidence:
                text += f"\n[{colour}]{escape(result.evidence)}[/{colour}]"
            if result.status == "fail":
                text += f"\n[italic]in practice: {escape(row.breaks)}[/italic]"
            table.add_row(row.id, f"[{colour}]{MARKS[result.status]} {result.status}[/{colour}]", text)
    console.print(table)
    console.print(", ".join(f"{name} {version}" for name, version in card.versions.items()), highlight=False)
    console.print(card.counts, highlight=False)


def print_rows() -> None:
    """What the suite checks."""
    console = Console()
    for topic, rows in TOPICS.items():
        console.print(f"\n[bold]{topic}[/bold]")
        for row in rows:
            console.print(
                f"  {row.id:4}{escape(row.title)}\n      [dim]else: {escape(row.breaks)}[/dim]", highlight=False
            )
