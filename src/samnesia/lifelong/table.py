"""What came out of a sequence of tasks, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from samnesia.lifelong.measures import Matrix

WORDS = {
    "learning_accuracy": "right after its own training",
    "forgetting": "forgetting",
    "backward_transfer": "backward transfer",
}


def lines(matrix: Matrix, row: Mapping[str, Any], *, split: str, measure: str) -> Iterator[str]:
    """Yield the accuracy matrix and what is made of it.

    Args:
        matrix: a row for each training, a column for each task.
        row: the last of the result, see :mod:`samnesia.lifelong.results`.
        split: that it is about.
        measure: likewise.
    """
    tasks = range(1, len(matrix[0]) + 1)
    head = "after" if len(matrix) > 1 else "all together"
    yield f"{split} {measure} on each task, %"
    yield f"{head:>12} " + "".join(f"{task:>7}" for task in tasks)
    for number, values in enumerate(matrix):
        name = f"task {number + 1}" if len(matrix) > 1 else ""
        yield f"{name:>12} " + "".join(f"{value:7.1f}" for value in values)
    figures = [f"average {measure} {row[f'{split}_{measure}']:.1f} %"]
    for name, words in WORDS.items():
        value = row.get(f"{split}_{name}")
        if value is not None:
            figures.append(f"{words} {value:.1f} {'%' if name == 'learning_accuracy' else 'points'}")
    yield ", ".join(figures)
