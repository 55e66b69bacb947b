"""The sentences of a report: what the numbers say, with their intervals, and nothing beyond."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from samnesia.study.judging.numbers import Estimate, counted
from samnesia.study.judging.statistics import LEAST
from samnesia.study.report.figures.style import label
from samnesia.study.report.judged import Judged

QUOTE = "\N{RIGHT SINGLE QUOTATION MARK}"
Summary = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]
"""The methods of a summary, or of one of its contexts."""


def order_of(summary: Summary) -> dict[str, int]:
    """The place of each method, by which it has its colour."""
    return {row["method"]: place for place, row in enumerate(summary["methods"])}


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
    return capital(_over_contexts(summary) if summary["contexts"] else _in_one_context(summary))


def findings(summary: Summary) -> list[str]:
    """One sentence for each point of a run: the baseline, and every method beside it by its side.

    There are none over several contexts, where a table tells more.
    """
    judged = Judged.of(summary)
    if summary["contexts"]:
        return []
    return [
        _finding(summary, judged, point)
        for point in judged.points
        if summary["methods"][0]["score"][point]["mean"] is not None
    ]


def troubles(summary: Summary) -> list[str]:
    """One sentence for each run that failed, is missing, collapsed or skipped steps."""
    failed = [f"{_cell(summary, failure)} failed: {failure['reason']}" for failure in summary["failures"]]
    failed += [f"{_cell(summary, run)} has not run yet." for run in summary["missing"]]
    for context in summary["contexts"] or [{"name": "", "methods": summary["methods"]}]:
        start = f"{context['name']}, " if context["name"] else ""
        failed += [f"{start}{label(row['method'])}, {note}" for row in context["methods"] for note in row["notes"]]
    return failed


def unbroken(sentence: str) -> str:
    """The sentence with short intervals in parentheses, and numbers with their percent sign, kept on one line."""
    whole = re.sub(r"\([^)]{,30}\)", lambda interval: interval[0].replace(" ", "\N{NO-BREAK SPACE}"), sentence)
    return re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", whole)


def sides(summary: Summary, judged: Judged, method: str, point: str) -> tuple[int, int, int]:
    """In how many contexts a method is told apart from the baseline for the better, not at all, and for the worse."""
    rows = [row for context in summary["contexts"] for row in context["methods"] if row["method"] == method]
    found = [judged.side(row["difference"][point]) for row in rows if row["difference"][point]["mean"] is not None]
    return found.count(1), found.count(0), found.count(-1)


def describe_scores(summary: Summary, rows: Rows) -> str:
    """The figure of the scores in words, for those who cannot see it."""
    judged = Judged.of(summary)
    told = [
        f"{label(row['method'])} " + _by_point(judged, {at: judged.level(row["score"][at]) for at in judged.points})
        for row in rows
    ]
    unit = " in percent" if judged.unit == "%" else f" in {judged.unit}" if judged.unit else ""
    return f"{capital(judged.name)}{unit} by {summary['compared']}, mean and interval: {'; '.join(told)}."


def describe_differences(summary: Summary, rows: Rows, name: str = "") -> str:
    """The figure of paired differences in words."""
    judged = Judged.of(summary)
    told = [
        f"{label(row['method'])} "
        + _by_point(judged, {at: judged.change(row["difference"][at]) for at in judged.points})
        for row in rows
        if row["method"] != summary["baseline"]
    ]
    unit = f"{judged.step} of " if judged.step else ""
    where = f", {name}" if name else ""
    return f"Paired difference to {label(summary['baseline'])} in {unit}{judged.name}{where}: {'; '.join(told)}."


def _cell(summary: Summary, run: Mapping[str, Any]) -> str:
    """Method, what else tells its cell, and seed: ``SAM, digits, seed 3,``."""
    known = ("seed", "reason", summary["compared"])
    levels = [context["levels"] for context in summary["contexts"]]
    others = [level for name, level in run.items() if name not in known and any(one[name] != level for one in levels)]
    return ", ".join([label(run[summary["compared"]]), *others, f"seed {run['seed']},"])


def _by_point(judged: Judged, told: Mapping[str, str]) -> str:
    if len(told) < 2:
        return next(iter(told.values()))
    return ", ".join(f"{text} {point}" for point, text in told.items())


def _sentence(*parts: str) -> str:
    """Parts with one space between those that say something."""
    return " ".join(part for part in parts if part)


def _in_one_context(summary: Summary) -> str:
    judged, base = Judged.of(summary), label(summary["baseline"])
    main, *rest = judged.points
    at = judged.at(main)
    rows = [row for row in summary["methods"][1:] if row["difference"][main]["mean"] is not None]
    # What has an interval comes first: a method with two runs heads nothing.
    rows.sort(key=lambda row: (row["difference"][main]["low"] is None, -judged.gain(row["difference"][main]["mean"])))
    if not rows:
        return _alone(summary, judged)
    top = rows[0]
    name, last = label(top["method"]), top["difference"][main]
    if last["low"] is None:
        cause = "All seeds differ equally, which gives" if last["n"] >= LEAST else "Fewer than three seeds give"
        then = [f"{judged.at(point)} by {judged.difference(top['difference'][point]['mean'])}" for point in rest]
        first = f"{name} differs from {base} by {judged.in_steps(judged.difference(last['mean']))}"
        return f"{cause} no interval: {', '.join([_sentence(at, first), *then])}."
    ahead = [label(row["method"]) for row in rows if judged.side(row["difference"][main]) > 0]
    if not ahead:
        then = [f", and by {judged.change(top['difference'][point])} {judged.at(point)}" for point in rest]
        several = len(rows) > 1
        none, which = (
            (f"no {summary['compared']} is", f"{name}, the {judged.top},") if several else (f"{name} is not", "it")
        )
        start = _sentence(at + "," if at else "", none, judged.better, base)
        return f"{start} beyond chance: {which} differs by {judged.in_steps(judged.change(last))}{''.join(then)}."
    most = f", {name} by most:" if len(ahead) > 1 else " by"
    then = [f"; {_remainder(judged, name, point, top['difference'][point])}" for point in rest]
    verb = ("ends" if at else "is") if len(ahead) == 1 else ("end" if at else "are")
    start = _sentence(listed(ahead), verb, judged.better, base, at)
    return f"{start}{most} {judged.in_steps(judged.change(last))}{''.join(then)}."


def _alone(summary: Summary, judged: Judged) -> str:
    row, base = summary["methods"][0], label(summary["baseline"])
    main, *rest = judged.points
    if row["score"][main]["mean"] is None:
        return f"No run of {base}, the baseline, has finished, so that nothing can be compared with it yet."
    reached = {point: judged.in_unit(judged.level(row["score"][point])) for point in judged.points}
    first = _sentence(base, "reaches", reached[main], judged.name, judged.at(main))
    return " and ".join([first, *(_sentence(reached[point], judged.at(point)) for point in rest)]) + "."


def _over_contexts(summary: Summary) -> str:
    judged, base = Judged.of(summary), label(summary["baseline"])
    main = judged.main
    if len(summary["methods"]) == 1:
        return f"On average over {counted(len(summary['contexts']), 'context')} {_alone(summary, judged)}"
    standing = {row["method"]: sides(summary, judged, row["method"], main) for row in summary["methods"][1:]}
    standing = {method: counts for method, counts in standing.items() if sum(counts)}
    if not standing:
        return f"No run has a partner of {base}, the baseline, yet, so that nothing can be compared with it."
    top = max((better - worse, better) for better, _, worse in standing.values())
    leading = [method for method, (better, _, worse) in standing.items() if (better - worse, better) == top]
    if not top[1]:
        none = f"no {summary['compared']} is {judged.better} {base} beyond chance"
        return f"{_sentence(none, judged.at(main))} in any of {counted(len(summary['contexts']), 'context')}."
    rows = {row["method"]: row for row in summary["methods"]}
    best = max(leading, key=lambda method: judged.gain(rows[method]["difference"][main]["mean"] or 0.0))
    others = [label(method) for method in leading if method != best]
    also = "" if not others else f", as {'are' if len(others) > 1 else 'is'} {_few(others)}"
    parts = [_in_contexts(summary, judged, rows[best], point, also if point == main else "") for point in judged.points]
    return f"{label(best)} is {judged.better} {base} {'; '.join(parts)}."


def _in_contexts(summary: Summary, judged: Judged, row: Mapping[str, Any], point: str, also: str) -> str:
    """``at the last epoch in 4 of 5 contexts, as is ASAM, by +2.1 (1.5 to 2.6) points on average``.

    The average is over the contexts that have all methods, which is said where these are not all that it is in.
    """
    better, unclear, worse = sides(summary, judged, row["method"], point)
    there, arms = better + unclear + worse, [one["method"] for one in summary["methods"]]
    whole = sum([one["method"] for one in context["methods"]] == arms for context in summary["contexts"])
    over = "on average" if whole == there else f"on average over the {whole} where all were run"
    mean, under = row["difference"][point], f" and {judged.worse} it in {worse}" if worse else ""
    average = f", by {judged.in_steps(judged.change(mean))} {over}" if mean["mean"] is not None else ""
    return _sentence(judged.at(point), f"in {better} of {there} contexts{under}{also}{average}")


def _few(names: Sequence[str]) -> str:
    return listed(names) if len(names) < 4 else f"{len(names)} others"


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
    start = capital(_sentence(judged.at(point), label(base["method"]), "reaches", reached))
    return f"{start}; {told}." if told else f"{start}."


def _remainder(judged: Judged, name: str, point: str, best: Estimate) -> str:
    at = judged.at(point)
    if best["low"] is None:
        cause = "all seeds differ equally" if best["n"] >= LEAST else "there are fewer than three seeds"
        return f"{at} {name} has no interval, because {cause}"
    if judged.side(best) > 0:
        return f"{at} {judged.change(best)} remain"
    if judged.side(best) < 0:
        return f"{at} {name} is {judged.worse}, by {judged.change(best)}"
    return f"{at} {name} is not told apart from it, with {judged.change(best)}"
