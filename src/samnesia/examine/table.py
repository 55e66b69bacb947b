"""What was measured, as a table on the terminal: a column for each run, a line for each figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from samnesia.examine.parts import Part
from samnesia.examine.parts.part import Entry, in_order, latest
from samnesia.examine.purpose import MEASURING
from samnesia.examine.run import Examined
from samnesia.extras import require

if TYPE_CHECKING:
    from rich.console import Console


def show(examined: Examined, parts: Sequence[Part], console: Console) -> None:
    """Print the figures of the last checkpoint of each run, those between runs, and what has to be said of them."""
    entries = {part.name: examined.entries(part.name) for part in parts}
    labels = list(dict.fromkeys(label for found in entries.values() for label in in_order(found)))
    runs = [label for label in labels if label in examined.content["runs"]]
    _print(entries, parts, runs, console)
    for label in labels:
        if label not in runs:
            _print(entries, parts, [label], console)
    for sentence in _foot(examined, entries, parts):
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _foot(examined: Examined, entries: Mapping[str, Sequence[Entry]], parts: Sequence[Part]) -> Iterator[str]:
    at = [(part, latest(entries[part.name])) for part in parts]
    if any(
        cell.endswith(" *") for part, last in at for entry in last.values() for cell in part.rows(entry.values).values()
    ):
        yield "* not converged to the tolerance"
    if any(len({entry.epoch for entry in found if entry.label == label}) > 1
           for found in entries.values() for label in in_order(found)):  # fmt: skip
        yield f"the table shows the last epoch; the others are in {MEASURING.result} and the figures"
    yield from _fewer(examined)
    for part, last in at:
        for label, entry in last.items():
            yield from (f"{label}: {note}" for note in part.notes(entry.values))


def _fewer(examined: Examined) -> Iterator[str]:
    """Which runs have fewer samples than were asked for."""
    wanted = examined.content["look"]["samples"]
    there = {
        one["run"]: (one["looked_at"]["samples"], one["looked_at"]["split"])
        for one in examined.content["measures"]
        if one["run"] in examined.content["runs"] and one["looked_at"]["drawn"].startswith("all ")
    }
    for count, split in dict.fromkeys(there.values()) if wanted is not None else ():
        if count < wanted:
            who = ", ".join(label for label, one in there.items() if one == (count, split))
            yield f"{who}: all {count} {split} samples were looked at, because there are fewer than {wanted}"


def _print(
    entries: Mapping[str, Sequence[Entry]], parts: Sequence[Part], labels: Sequence[str], console: Console
) -> None:
    every = [entry for found in entries.values() for entry in found]
    heads = [f"{label}\nepoch {max(one.epoch for one in every if one.label == label):g}" for label in labels]
    cells = {}
    for part in parts:
        at = latest(entries[part.name])
        cells[part.name] = [part.rows(at[label].values) if label in at else {} for label in labels]
    print_columns(heads, cells, console)


def print_columns(heads: Sequence[str], cells: Mapping[str, Sequence[Mapping[str, str]]], console: Console) -> None:
    """Print a table.

    Args:
        heads: of its columns.
        cells: by part, for each column, its lines by name.
        console: where to.
    """
    rich = require("rich.table", extra="train")
    text = require("rich.text", extra="train").Text
    table = rich.Table(box=require("rich.box", extra="train").SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("", no_wrap=True)
    for head in heads:
        table.add_column(text(head), justify="right")
    for part, columns in cells.items():
        names = list(dict.fromkeys(name for rows in columns for name in rows))
        if names:
            table.add_row(text(part, style="bold"), *([""] * len(heads)))
        for number, name in enumerate(names):
            row = [text(rows.get(name, "")) for rows in columns]
            table.add_row(text(f"  {name}"), *row, end_section=number + 1 == len(names))
    console.print(table)
