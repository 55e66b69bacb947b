"""The page of an evaluation: one self-contained file with every table and figure, in light and dark."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samnesia.evaluate.summary import Group, Mean, groups, means, missing, notes
from samnesia.examine.store import FIGURES
from samnesia.extras import require
from samnesia.measure.figures import COLOURS, INK, MUTED, RULE
from samnesia.study.engine.store import write_text
from samnesia.study.judging.numbers import counted, plain
from samnesia.study.report.tables import Column, Entry, Line, Table
from samnesia.study.report.wording import capital, entry, listed

if TYPE_CHECKING:
    from samnesia.evaluate.suites import Suite
    from samnesia.examine.run import Examined

REPORT = "report.html"
WIDE = 400.0
"""Points of width from which on a figure takes the whole width of the page."""
FEW = 6
"""Runs that are named in the headline; more of them are counted."""
_VARIABLES = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    "#ffffff": "var(--surface)",
    "#000000": "currentColor",
    **{colour: f"var(--method-{place})" for place, colour in enumerate(COLOURS)},
}
"""The page's colours, which follow light and dark, by those of figures for print."""


@dataclass(frozen=True)
class Figure:
    """A figure of the page, and how to read it."""

    name: str
    svg: Any
    caption: str
    wide: bool


@dataclass(frozen=True)
class Section:
    """What a suite has found."""

    name: str
    says: str
    figures: tuple[Figure, ...]
    heads: tuple[str, ...]
    """The groups, a column each."""
    rows: tuple[tuple[str, tuple[Entry, ...]], ...]
    """The scores by name."""
    notes: tuple[str, ...]


def write_report(examined: Examined, suites: Sequence[Suite]) -> Path:
    """Write ``report.html`` beside what was evaluated.

    Raises:
        MissingExtraError: when Jinja2 is not installed.
    """
    for module in ("jinja2", "markupsafe"):
        require(module, extra="train")
    path = examined.out / REPORT
    write_text(path, render(examined.content, suites, examined.out))
    return path


def render(content: Mapping[str, Any], suites: Sequence[Suite], out: Path) -> str:
    """The page of what ``evaluate.json`` says; figures are those in its directory."""
    from samnesia.study.report.figures import style
    from samnesia.study.report.page import environment

    found = groups(content)
    there = {one["what"] for one in content["measures"]}
    names = [group.name for group in found]
    who = listed(names) if len(names) <= FEW else counted(len(names), "model")
    look = content["look"]
    text: str = (
        environment("samnesia.evaluate")
        .get_template("evaluation.html")
        .render(
            title=f"Evaluation: {who}",
            subject=[who, f"{look['split']} split", _runs(content)],
            headline=_headline(content, suites, found),
            overview=_overview(content, suites, found),
            intervals=_intervals(content, found),
            missing=missing(content),
            sections=[_section(content, suite, found, out) for suite in suites if suite.name in there],
            facts=list(_facts(content)),
            runs=content["runs"],
            hues=len(style.LIGHT.methods) - 1,
            light=style.LIGHT,
            dark=style.DARK,
        )
    )
    return text


def _runs(content: Mapping[str, Any]) -> str:
    return counted(len(content["runs"]), "run")


def _headline(content: Mapping[str, Any], suites: Sequence[Suite], found: Sequence[Group]) -> str:
    """The first score of the first suite that has one, of every group."""
    for suite in suites:
        of_group = means(content, suite)
        firsts = [(group.name, *next(iter(of_group[group.name].items()))) for group in found if of_group[group.name]]
        if firsts and len(found) <= FEW:
            told = listed([f"{_label(name)} {mean.text}{_unit(mean)}" for name, _, mean in firsts])
            return f"{capital(firsts[0][1])} ({suite.name}): {told}"
    return f"{counted(len(found), 'model')} evaluated"


def _unit(mean: Mean) -> str:
    return f" {mean.score.unit}" if mean.score.unit else ""


def _label(name: str) -> str:
    from samnesia.study.report.figures.style import label

    return label(name)


def _overview(content: Mapping[str, Any], suites: Sequence[Suite], found: Sequence[Group]) -> Table:
    """A row for each group; the scores that stand for their suites."""
    columns, cells = [Column("Run", numeric=False)], [[] for _ in found]  # type: list[Column], list[list[Entry]]
    for suite in suites:
        of_group = means(content, suite)
        for name in _main(of_group):
            columns.append(Column(capital(name), suite.name))
            for row, group in zip(cells, found, strict=True):
                row.append(_cell(of_group[group.name].get(name)))
    return Table(tuple(columns), _lines(found, cells))


def _main(of_group: Mapping[str, Mapping[str, Mean]]) -> list[str]:
    every = [(name, mean.score.main) for one in of_group.values() for name, mean in one.items()]
    return list(dict.fromkeys(name for name, main in every if main)) or [name for name, _ in every[:1]]


def _lines(found: Sequence[Group], cells: Sequence[Sequence[Entry]]) -> tuple[Line, ...]:
    return tuple(
        Line(group.name, place, tuple(row)) for place, (group, row) in enumerate(zip(found, cells, strict=True))
    )


def _cell(mean: Mean | None) -> Entry:
    if mean is None:
        return Entry(None, plain(None))
    digits = mean.score.digits
    ends = ""
    if mean.low is not None and mean.high is not None:
        low, high = (max(0.0, mean.low), min(100.0, mean.high)) if mean.score.unit == "%" else (mean.low, mean.high)
        ends = f"{plain(low, digits)} to {plain(high, digits)}"
    unit = f"\N{NO-BREAK SPACE}{mean.score.unit}" if mean.score.unit and mean.score.value is not None else ""
    return Entry(mean.score.value, plain(mean.score.value, digits) + unit, ends)


def _section(content: Mapping[str, Any], suite: Suite, found: Sequence[Group], out: Path) -> Section:
    of_group = means(content, suite)
    names = list(dict.fromkeys(name for one in of_group.values() for name in one))
    rows = tuple((name, tuple(_cell(of_group[group.name].get(name)) for group in found)) for name in names)
    says = (type(suite).__doc__ or "").splitlines()[0]
    drawn = content["drawn"].get(suite.name, [])
    figures = tuple(_figure(name, suite, out) for name in drawn if (out / FIGURES / f"{name}.svg").exists())
    heads = tuple(group.name for group in found)
    return Section(suite.name, says, figures, heads, rows, tuple(notes(content, [suite])))


def _figure(name: str, suite: Suite, out: Path) -> Figure:
    import markupsafe

    from samnesia.study.report.figures.style import inline

    text = (out / FIGURES / f"{name}.svg").read_text(encoding="utf-8")
    title = capital(name.replace("-", " "))
    caption = suite.captions().get(name, "")
    box = re.search(r'viewBox="\S+ \S+ (\S+) \S+"', text)
    wide = box is not None and float(box[1]) > WIDE
    svg = inline(text, f"figure-{name}-svg", f"{title}. {caption}", _VARIABLES)
    return Figure(name, markupsafe.Markup(svg), caption, wide)


def _intervals(content: Mapping[str, Any], found: Sequence[Group]) -> str:
    counts = sorted({len(group.runs) for group in found})
    if counts == [1]:
        return "One run each: without other seeds there is no interval."
    told = f"n = {counts[0]} seeds" if len(counts) == 1 else "n: " + ", ".join(
        f"{group.name} {len(group.runs)}" for group in found
    )  # fmt: skip
    return (
        f"Mean over runs that differ by their seed alone, below it the {100 * content['confidence']:g} % t-interval, "
        f"from three seeds on, of shares cut at 0 and 100 %; {told}."
    )


def _facts(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    look, where = content["look"], content["environment"]
    yield "Command", content["command"]
    yield "Seed", f"{look['seed']}: of all that is drawn; {look['batch_size']} samples at a time"
    seen: dict[str, list[str]] = {}
    for one in content["measures"]:
        at = one["looked_at"]
        words = f"{at['drawn']} of the {at['split']} split, in {at['dtype']} on the {at['device']}"
        seen.setdefault(words, []).append(one["run"])
    for words, runs in seen.items():
        who = sorted(set(runs), key=runs.index)
        yield "Samples", words if len(seen) == 1 else f"{', '.join(who)}: {words}"
    options = {one["what"]: one["options"] for one in content["measures"]}
    for what, given in options.items():
        if given:
            yield f"Options of {what}", ", ".join(f"{name} {entry(value)}" for name, value in given.items())
    for label, run in content["runs"].items():
        yield "Run", f"{label}: {run['directory']}, recipe {run['recipe']}, seed {run['seed']}"
    seconds = sum(one["seconds"] for one in content["measures"])
    yield "Computing time", f"{seconds:.1f} s"
    yield "Made with", ", ".join(f"{name} {value}" for name, value in where.items() if value is not None)
