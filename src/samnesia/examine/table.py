"""What was measured, as a table on the terminal: a column for each run, a line for each figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from samnesia.examine.parts import Part
from samnesia.examine.parts.part import in_order, latest
from samnesia.examine.run import Examined
from samnesia.extras import require

if TYPE_CHECKING:
    from rich.console import Console


def show(examined: Examined, parts: Sequence[Part], console: Console) -> None:
    """Print the figures of the last checkpoint of each run."""
    rich = require("rich.table", extra="train")
    box = require("rich.box", extra="train")
    entries = {part.name: examined.entries(part.name) for part in parts}
    labels = list(dict.fromkeys(label for found in entries.values() for label in in_order(found)))
    table = rich.Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("")
    last = {label: max(e.epoch for found in entries.values() for e in found if e.label == label) for label in labels}
    for label in labels:
        table.add_column(f"{label}\nepoch {last[label]:g}", justify="right")
    for part in parts:
        at = latest(entries[part.name])
        cells = {label: part.rows(entry.values) for label, entry in at.items()}
        names = list(dict.fromkeys(name for rows in cells.values() for name in rows))
        if names:
            table.add_row(f"[bold]{part.name}[/bold]", *([""] * len(labels)))
        for number, name in enumerate(names):
            row = [cells.get(label, {}).get(name, "") for label in labels]
            table.add_row(f"  {name}", *row, end_section=number + 1 == len(names))
    console.print(table)
