"""A comparison as it is printed at its end: a table, what its numbers are, and the verdicts, in 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samnesia.study.design import Design
from samnesia.study.hypotheses import Difference
from samnesia.study.judging import numbers
from samnesia.study.judging.statistics import LEAST
from samnesia.study.judging.verdicts import Verdict
from samnesia.study.report import wording
from samnesia.study.report.figures.style import label
from samnesia.study.report.judged import Judged

if TYPE_CHECKING:
    from rich.table import Table

SHORT = {"last": "last\nepoch", "best": "best\nepoch"}
"""Points of a run as heads of columns."""


def print_comparison(summary: Mapping[str, Any], verdicts: Sequence[Verdict], design: Design, out: Path) -> None:
    """Print what came out, what failed, and where the report is."""
    from rich.console import Console

    console = Console()
    console.print()
    console.print(summary_table(summary))
    console.print(explanation(summary), style="dim", highlight=False, markup=False)
    console.print(wording.headline(summary), highlight=False, markup=False)
    if line := verdict_line(verdicts, design):
        console.print(line, highlight=False, markup=False)
    for sentence in wording.troubles(summary):
        console.print(sentence, highlight=False, markup=False, style="yellow")
    console.print(f"Report: {out / 'report.html'}", highlight=False, markup=False, soft_wrap=True)


def summary_table(summary: Mapping[str, Any]) -> Table:
    """The comparison as a table for a terminal of 80 columns: a row per method, mean and half the interval's width."""
    from rich.table import Table

    base, judged = label(summary["baseline"]), Judged.of(summary)
    unit = " %" if judged.unit == "%" else ""
    flipped = any(row["flipped_fitted"]["last"]["mean"] is not None for row in summary["methods"])
    points = [(SHORT[point], point) for point in judged.points]
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("method", no_wrap=True)
    for heading in (*(f"{head}{unit}" for head, _ in points), *(f"{point},\nto {base}" for _, point in points),
                    *(["flipped\nfitted %"] if flipped else []), "grad.\nevals", "seconds"):  # fmt: skip
        table.add_column(heading, justify="right", no_wrap=True)
    for row in summary["methods"]:
        differences = row["difference"] if row["method"] != summary["baseline"] else {}
        fitted = row["flipped_fitted"]["last"]
        table.add_row(
            "\n".join((label(row["method"]), *_counts(row, len(summary["seeds"])))),
            *(
                judged.value(score["mean"]) + numbers.half_width(score, judged.decimals)
                for score in row["score"].values()
            ),
            *(
                judged.difference(change["mean"]) + numbers.half_width(change, judged.decimals)
                for change in differences.values()
            ),
            *([] if differences else [""] * len(points)),
            *([numbers.plain(fitted["mean"]) + numbers.half_width(fitted)] if flipped else []),
            numbers.plain(row["gradient_evaluations"], 0),
            numbers.plain(row["seconds"]),
        )
    return table


def explanation(summary: Mapping[str, Any]) -> str:
    """What the numbers of the table are, in a sentence."""
    judged = Judged.of(summary)
    if judged.unit == "%":
        start, points = "Mean of the runs", "in points and "
    else:
        better = "higher" if judged.higher_is_better else "lower"
        start, points = f"{wording.capital(judged.heading)}, {better} is better: mean of the runs", ""
    differences = f"differences are {points}paired by seed"
    if not any(value["low"] is not None for row in summary["methods"] for value in row["score"].values()):
        return f"{start}; {differences}. There are no intervals: they take {LEAST} seeds that are not all equal.\n"
    share = f"half the {100 * summary['confidence']:g} % interval over seeds"
    return (
        f"{start} \N{PLUS-MINUS SIGN} {share}; {differences}. Unlike the verdicts, intervals are not widened for the "
        "number of methods.\n"
    )


def verdict_line(verdicts: Sequence[Verdict], design: Design) -> str:
    """For which methods the claim is supported, undecided or contradicted; empty where nothing was claimed."""
    groups: dict[str, list[str]] = {"supported": [], "undecided": [], "contradicted": []}
    claims = [one.hypothesis for one in verdicts if isinstance(one.hypothesis, Difference)]
    if not claims:
        return ""
    for verdict, claimed in zip(verdicts, claims, strict=True):
        groups[verdict.verdict].append(label(claimed.treatment[design.compared]))
    first = claims[0]
    side = "above" if first.direction == "higher" else "below"
    margin = f" by {numbers.measured(first.smallest, first.unit(design))} or more" if first.smallest else ""
    claim = f"Ending {side} {label(first.control[design.compared])}{margin} in {design.measure(first.measure).label}"
    told = "; ".join(f"{ruling} for {wording.listed(names)}" for ruling, names in groups.items() if names)
    count = f"{len(claims)} methods" if len(claims) > 1 else "1 method"
    return f"{claim}: {told} (Holm over {count}, error {100 * design.alpha:g} % in all)."


def _counts(row: Mapping[str, Any], seeds: int) -> list[str]:
    """How many runs and pairs a row stands on, where these are not all seeds."""
    point = next(iter(row["score"]))
    runs, pairs = row["score"][point]["n"], row["difference"][point]["n"]
    if runs == pairs:
        return [f"n = {runs}"] if runs < seeds else []
    return [f"n = {runs},", f"{pairs} pairs"]
