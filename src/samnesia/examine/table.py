"""What was measured, as a table on the terminal: a column for each run, a line for each figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from samnesia.examine.parts import Part
from samnesia.examine.parts.part import Entry, in_order, latest
from samnesia.examine.run import Examined
from samnesia.extras import require

if TYPE_CHECKING:
    from rich.console import Console


def show(examined: Examined, parts: Sequence[Part], console: Console) -> None:
    """Print the figures of the last checkpoint of each run, and then those between runs."""
    entries = {part.name: examined.entries(part.name) for part in parts}
    labels = list(dict.fromkeys(label for found in entries.values() for label in in_order(found)))
    runs = [label for label in labels if label in examined.content["runs"]]
    _print(entries, parts, runs, console)
    for label in labels:
        if label not in runs:
            _print(entries, parts, [label], console)


def _print(
    entries: Mapping[str, Sequence[Entry]], parts: Sequence[Part], labels: Sequence[str], console: Console
) -> None:
    rich = require("rich.table", extra="train")
    text = require("rich.text", extra="train").Text
    table = rich.Table(box=require("rich.box", extra="train").SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("", no_wrap=True)
    every = [entry for found in entries.values() for entry in found]
    for label in labels:
        last = max(entry.epoch for entry in every if entry.label == label)
        table.add_column(text(f"{label}\nepoch {last:g}"), justify="right")
    for part in parts:
        at = latest(entries[part.name])
        cells = {label: part.rows(at[label].values) for label in labels if label in at}
        names = list(dict.fromkeys(name for rows in cells.values() for name in rows))
        if names:
            table.add_row(text(part.name, style="bold"), *([""] * len(labels)))
        for number, name in enumerate(names):
            row = [text(cells.get(label, {}).get(name, "")) for label in labels]
            table.add_row(text(f"  {name}"), *row, end_section=number + 1 == len(names))
    console.print(table)
