"""The sentences of a report: what the numbers say, with their intervals, and nothing beyond."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from samnesia.study.figures import Curves, label
from samnesia.study.judged import Judged
from samnesia.study.numbers import Estimate, plain
from samnesia.study.statistics import LEAST

Summary = Mapping[str, Any]


def entry(value: object) -> str:
    """One value of a configuration, as a reader would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(entry(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def listed(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def capital(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def headline(summary: Summary) -> str:
    """What helped at the last epoch and what of it remains at the best epoch, in one sentence."""
    judged, base = Judged.of(summary), label(summary["baseline"])
    at_last, at_best = judged.at["last"], judged.at["best"]
    rows = [row for row in summary["methods"][1:] if row["difference"]["last"]["mean"] is not None]
    rows.sort(key=lambda row: -judged.gain(row["difference"]["last"]["mean"]))
    if not rows:
        row = summary["methods"][0]
        if row["score"]["last"]["mean"] is None:
            return f"No run of {base}, the baseline, has finished, so that nothing can be compared with it yet."
        last, best = (judged.in_unit(judged.level(row["score"][point])) for point in judged.at)
        return f"{base} reaches {last} {judged.name} {at_last} and {best} {at_best}."
    top = rows[0]
    name, last, best = label(top["method"]), top["difference"]["last"], top["difference"]["best"]
    if last["low"] is None:
        cause = "All seeds differ equally, which gives" if last["n"] >= LEAST else "Fewer than three seeds give"
        return (
            f"{cause} no interval: {at_last} {name} differs from {base} by "
            f"{judged.in_steps(judged.difference(last['mean']))}, {at_best} by {judged.difference(best['mean'])}."
        )
    ahead = [label(row["method"]) for row in rows if judged.side(row["difference"]["last"]) > 0]
    if not ahead:
        return (
            f"No method is told apart from {base} for the better {at_last}: the {judged.top}, {name}, differs by "
            f"{judged.in_steps(judged.change(last))}, and by {judged.change(best)} {at_best}."
        )
    most = f", {name} by most:" if len(ahead) > 1 else " by"
    return (
        f"{listed(ahead)} {'ends' if len(ahead) == 1 else 'end'} {judged.better} {base} {at_last}{most} "
        f"{judged.in_steps(judged.change(last))}; {_remainder(judged, name, best)}."
    )


def findings(summary: Summary) -> list[str]:
    """One sentence for the last and one for the best epoch: the baseline, and every method beside it by its side."""
    judged = Judged.of(summary)
    return [
        _finding(summary, judged, point)
        for point in judged.at
        if summary["methods"][0]["score"][point]["mean"] is not None
    ]


def troubles(summary: Summary) -> list[str]:
    """One sentence for each run that failed, is missing, collapsed or skipped steps."""
    failed = [
        f"{label(failure['method'])}, seed {failure['seed']}, failed: {failure['reason']}"
        for failure in summary["failures"]
    ]
    failed += [f"{label(run['method'])}, seed {run['seed']}, has not run yet." for run in summary["missing"]]
    return failed + [f"{label(row['method'])}, {note}" for row in summary["methods"] for note in row["notes"]]


def unbroken(sentence: str) -> str:
    """The sentence with intervals in parentheses kept on one line."""
    return re.sub(r"\([^)]*\)", lambda interval: interval[0].replace(" ", "\N{NO-BREAK SPACE}"), sentence)


def describe_scores(summary: Summary) -> str:
    """The figure of the scores in words, for those who cannot see it."""
    judged = Judged.of(summary)
    rows = [
        f"{label(row['method'])} {judged.level(row['score']['last'])} last, {judged.level(row['score']['best'])} best"
        for row in summary["methods"]
    ]
    unit = " in percent" if judged.unit == "%" else f" in {judged.unit}" if judged.unit else ""
    return f"{capital(judged.name)}{unit} by method, mean and interval: {'; '.join(rows)}."


def describe_differences(summary: Summary) -> str:
    """The figure of paired differences in words."""
    judged = Judged.of(summary)
    rows = [
        f"{label(row['method'])} {judged.change(row['difference']['last'])} last, "
        f"{judged.change(row['difference']['best'])} best"
        for row in summary["methods"][1:]
    ]
    unit = f"{judged.step} of " if judged.step else ""
    return f"Paired difference to {label(summary['baseline'])} in {unit}{judged.name}: {'; '.join(rows)}."


def describe_curves(curves: Curves, ylabel: str, digits: int = 1) -> str:
    """A figure of curves in words: where each method's mean starts, and where it ends."""
    parts = []
    for method, seeds in curves.items():
        if seeds:
            start, end = ([seed[place] for seed in seeds if seed[place] is not None] for place in (0, -1))
            parts.append(f"{label(method)} from {_mean(start, digits)} to {_mean(end, digits)}")
    return f"Curves over epochs of {ylabel}, mean over seeds: {'; '.join(parts)}."


def _finding(summary: Summary, judged: Judged, point: str) -> str:
    base = summary["methods"][0]
    better, unclear, worse = f"{judged.better} it", "not told apart from it", f"{judged.worse} it"
    bare = "differing from it, without an interval"
    groups: dict[str, list[str]] = {better: [], unclear: [], worse: [], bare: []}
    for row in sorted(summary["methods"][1:], key=lambda row: -judged.gain(row["difference"][point]["mean"] or 0.0)):
        difference = row["difference"][point]
        if difference["mean"] is not None:
            side = (unclear, better, worse)[judged.side(difference)] if difference["low"] is not None else bare
            groups[side].append(f"{label(row['method'])} {judged.change(difference)}")
    told = "; ".join(f"{side}: {', '.join(names)}" for side, names in groups.items() if names)
    reached = judged.in_unit(judged.level(base["score"][point]))
    start = f"{capital(judged.at[point])} {label(base['method'])} reaches {reached}"
    return f"{start}; {told}." if told else f"{start}."


def _remainder(judged: Judged, name: str, best: Estimate) -> str:
    at = judged.at["best"]
    if best["low"] is None:
        cause = "all seeds differ equally" if best["n"] >= LEAST else "there are fewer than three seeds"
        return f"{at} {name} has no interval, because {cause}"
    if judged.side(best) > 0:
        return f"{at} {judged.change(best)} remain"
    if judged.side(best) < 0:
        return f"{at} {name} is {judged.worse}, by {judged.change(best)}"
    return f"{at} {name} is not told apart from it, with {judged.change(best)}"


def _mean(values: Sequence[float | None], digits: int) -> str:
    present = [value for value in values if value is not None]
    return plain(sum(present) / len(present) if present else None, digits)
