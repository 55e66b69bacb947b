"""What was evaluated, as a table on the terminal: a column for each run, or for all that differ by their seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from samnesia.evaluate.purpose import EVALUATING
from samnesia.evaluate.report import REPORT
from samnesia.evaluate.suites import Suite
from samnesia.evaluate.summary import Mean, groups, means, missing, notes
from samnesia.examine.table import print_columns

if TYPE_CHECKING:
    from rich.console import Console

    from samnesia.examine.run import Examined


def show(examined: Examined, suites: Sequence[Suite], console: Console) -> None:
    """Print the table, and below it what has to be said of it."""
    content = examined.content
    found = groups(content)
    cells = {}
    for suite in suites:
        of_group = means(content, suite)
        cells[suite.name] = [
            {_with_unit(name, one): one.text for name, one in of_group[group.name].items()} for group in found
        ]
    print_columns([group.head for group in found], cells, console)
    if any(len(group.runs) > 1 for group in found):
        _say(f"of several seeds: mean ± half of its {100 * content['confidence']:g} % t-interval, from 3 on", console)
    for sentence in [*notes(content, suites), *missing(content)]:
        _say(sentence, console)
    _say(f"written: {examined.out / EVALUATING.result}, {examined.out / REPORT}", console)


def _with_unit(name: str, mean: Mean) -> str:
    return f"{name} ({mean.score.unit})" if mean.score.unit else name


def _say(sentence: str, console: Console) -> None:
    console.print(sentence, highlight=False, markup=False, soft_wrap=True)
