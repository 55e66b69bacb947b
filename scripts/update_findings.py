"""Put finished studies into the documentation: `python scripts/update_findings.py runs/bias-quick runs/epochs-quick`.

Of each study's directory the numbers are kept in `docs/findings/NAME.json`, without what can be made again from them or
from the study's Python; figures go to `docs/findings/NAME/`; and `docs/findings/NAME.md` gets a generated part between
markers, below what was written by hand. A figure of the study that the hand-written part shows, `](NAME/relations.svg)`
say, is copied besides those that are drawn here. Without directories it makes all pages again from what is kept.

Then `scripts/update_index.py` makes the lists of all studies. `tests/test_findings.py` holds all of it against the kept
numbers.
"""

import json
import re
import runpy
import shutil
import sys
import textwrap
from collections import Counter
from operator import itemgetter
from pathlib import Path

from samnesia.measure import figures
from samnesia.study.engine.run import read_results
from samnesia.study.hypotheses import Difference
from samnesia.study.judging.numbers import counted, ranges

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "docs" / "findings"
START, END = "<!-- study: made by scripts/update_findings.py -->", "<!-- /study -->"
QUICK = "-quick"
DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
FIGURES = {
    "verdicts": "Effects with intervals: supported green, contradicted red, undecided grey; dotted what was claimed",
    "means": "Means with their intervals, by what is compared and where",
}
"""Those that are drawn of every study that has what they show."""
MOST = 60  # rows of a figure
KEPT = itemgetter("mean", "low", "high", "n")
ENVIRONMENT = ("commit", "python", "torch", "hardware", "device", "threads")
FEW = 12  # measures of a study without contexts that are shown
RULINGS = {"supported": 3, "contradicted": 2, "undecided": 0}
"""With the place of each among the colours of figures."""


# What is kept of a study.


def kept(out: Path) -> dict:
    """The numbers of a study's directory."""
    results, summary = read_results(out), json.loads((out / "compare.json").read_text())
    design = results.design
    status = Counter(results.table["status"])
    later = [change for change in results.history if change.results]
    return rounded(
        {
            "study": design.name.removesuffix(QUICK),
            "form": design.name,
            "question": design.question,
            "command": summary["command"],
            "environments": summary["environments"],
            "seeds": list(design.seeds),
            "tuning_seeds": list(design.tuning_seeds),
            "factors": {factor.name: list(factor.levels) for factor in design.factors},
            "compared": design.compared,
            "alpha": design.alpha,
            "notes": list(design.notes),
            "later": [f"{change.time[:10]}, after {change.results} results: {change.says}" for change in later],
            "cells": dict(status),
            "failures": summary["failures"],
            "seconds": float(sum(outcome.seconds for outcome in results.outcomes.values())),
            "verdicts": [judged(one, design) for one in summary["verdicts"]],
            "exploratory": [
                {"claim": hypothesis.claim, **effect_of(one, design, hypothesis)}
                for one, hypothesis in zip(summary.get("exploratory", []), design.exploratory, strict=True)
            ],
            "means": means(summary, design),
        }
    )


def judged(verdict: dict, design) -> dict:
    """A claim with its verdict, and what was found of each of its parts; most have one."""
    (hypothesis,) = (one for one in design.primary if one.claim == verdict["hypothesis"]["claim"])
    estimate = verdict["estimate"]
    return {
        "claim": hypothesis.claim,
        **{name: verdict[name] for name in ("verdict", "p_support", "p_contradict", "sentence")},
        "notes": estimate["notes"],
        "parts": [
            {**effect_of(found, design, part), "sign": part.sign, "smallest": part.smallest}
            for part, found in zip(
                getattr(hypothesis, "parts", (hypothesis,)), estimate.get("parts") or (estimate,), strict=True
            )
        ],
    }


def effect_of(estimate: dict, design, hypothesis) -> dict:
    """An effect with its interval and unit; a tau and a difference of taus have none."""
    names = ("effect", "low", "high", "n", "runs", "drawn", "reason")
    tau = not isinstance(hypothesis, Difference)
    return {
        "what": "Kendall's tau, or a difference of two" if tau else design.measure(hypothesis.measure).label,
        **{name: estimate[name] for name in names},
        "unit": "tau" if tau else hypothesis.unit(design),
    }


def means(summary: dict, design) -> dict:
    """Means and intervals of what is judged, by context; of a study with one context, of all measures; and by seed."""
    judged_by, several = summary["judged_by"], bool(summary["contexts"])
    labels = {one.name: {"label": one.label, "unit": one.unit} for one in design.measures}
    blocks = summary["contexts"] or [{"name": "", "methods": summary["methods"]}]
    rows = {}
    for block in blocks:
        for method in block["methods"]:
            cell = {point: (*KEPT(value), value["per_seed"]) for point, value in method["score"].items()}
            if not several:
                cell |= {name: KEPT(value) for name, value in method["measures"].items()}
            cell |= {name: method[name] for name in ("gradient_evaluations", "seconds")}
            rows.setdefault(block["name"], {})[method["method"]] = cell
    points = judged_by["points"]
    return {"judged": {"name": judged_by["name"], "unit": judged_by["unit"], "points": points}, "labels": labels,
            "rows": rows}  # fmt: skip


def rounded(value):
    """Five digits of every number with more."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(one) for one in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


# The generated part of a page.


def section(study: dict) -> str:
    """Verdicts, figures, what was looked at besides, means, and how all of it was made."""
    parts = [START, "", f"## The numbers of `{study['form']}`", "", study["question"], ""]
    if study["verdicts"]:
        parts += [tally(study), "", verdicts(study), "", rule(study), ""]
        parts += folded("The verdicts in sentences", "\n".join(f"- {told(one)}" for one in study["verdicts"]))
    parts += [f"![{says}]({study['study']}/{name}.svg)\n" for name, says in FIGURES.items() if name in study["figures"]]
    if study["exploratory"]:
        count = counted(len(study["exploratory"]), "effect")
        parts += folded(f"Exploratory: {count}, no verdict, intervals not widened for their number", explored(study))
    parts += folded("Means", table(study))
    parts += ["### How it was made", "", *made(study), "", END]
    return "\n".join(parts)


def folded(title: str, content: str) -> list[str]:
    return ["<details>", f"<summary>{title}</summary>", "", content, "", "</details>", ""]


def tally(study: dict) -> str:
    """How many claims have which verdict."""
    counts = Counter(one["verdict"] for one in study["verdicts"])
    said = ", ".join(f"{counts[ruling]} {ruling}" for ruling in RULINGS if counts[ruling])
    return f"{counted(len(study['verdicts']), 'claim')}: {said}."


def verdicts(study: dict) -> str:
    """A row per claim."""
    lines = ["| claim | verdict | effect [95 % interval] | claimed | n |", "|---|---|---|---|---|"]
    for one in study["verdicts"]:
        parts = one["parts"]
        found, limit = (" and ".join(map(say, parts)) for say in (effect, claimed))
        lines.append(f"| {cell(one['claim'])} | **{one['verdict']}** | {found} | {limit} | {cell(parts[0]['drawn'])} |")
    return "\n".join(lines)


def claimed(one: dict) -> str:
    """The smallest effect of interest, in the direction of the claim."""
    if not one["smallest"]:
        return "above zero" if one["sign"] > 0 else "below zero"
    unit = "" if one["unit"] == "tau" else one["unit"]
    least = " ".join(filter(None, [number(one["sign"] * one["smallest"], one["unit"]), unit]))
    return f"{least} or {'more' if one['sign'] > 0 else 'less'}"


def rule(study: dict) -> str:
    """How verdicts are found, in a line."""
    count = len(study["verdicts"])
    among = f" by Holm over all {count} claims" if count > 1 else ""
    return (
        f"Verdicts are made{among} at an error of {100 * study['alpha']:g} %, by a rule that stood before the results "
        "([verdicts](../verdicts.md)); each interval is for its claim alone. Undecided is not the same as no effect."
    )


def told(one: dict) -> str:
    notes = "".join(f" {note[:1].upper()}{note[1:].rstrip('.')}." for note in one["notes"])
    return f"{one['claim']}. {one['sentence']}{notes}"


def explored(study: dict) -> str:
    """A row per effect."""
    lines = ["| what | effect [95 % interval] | n, runs |", "|---|---|---|"]
    lines += [f"| {cell(one['claim'])} | {effect(one)} | {one['n']}, {one['runs']} |" for one in study["exploratory"]]
    return "\n".join(lines)


def table(study: dict) -> str:
    """A row per context and a column per level of what is compared; or, of one context, a column per measure."""
    of = study["means"]
    levels, (point, when) = study["factors"][study["compared"]], next(iter(of["judged"]["points"].items()))
    said = f"{of['judged']['name']}{f', {when}' if when else ''}{f', {unit}' if (unit := of['judged']['unit']) else ''}"
    if list(of["rows"]) != [""]:
        lines = [f"{said}: mean [95 % interval].", "", f"| | {' | '.join(levels)} |", "|---" * (len(levels) + 1) + "|"]
        for context, row in of["rows"].items():
            cells = [level(row[name][point], unit) if name in row else "" for name in levels]
            lines.append(f"| {cell(context)} | {' | '.join(cells)} |")
        return "\n".join(lines)
    (rows,) = of["rows"].values()
    columns = {one: f"{of['judged']['name']}, {words}" for one, words in of["judged"]["points"].items()}
    units = dict.fromkeys(columns, unit)
    for name, label in list(of["labels"].items())[:FEW]:
        if name not in columns and all(isinstance(row.get(name), list) for row in rows.values()):
            columns[name], units[name] = label["label"], label["unit"]
    lines = [f"| {study['compared']} | {' | '.join(map(cell, columns.values()))} |", "|---" * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        cells = [level(row[column], units[column]) for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def made(study: dict) -> list[str]:
    """Command, commit, machine, versions, seeds, runs, and what the study says of itself."""
    finished, every = study["cells"].get("finished", 0), sum(study["cells"].values())
    lost = "" if finished == every else f"; {every - finished} did not finish"
    tuned = f"; settings were chosen with seeds {ranges(study['tuning_seeds'])}" if study["tuning_seeds"] else ""
    where = [
        ", ".join(f"{name} {one[name]}".removeprefix("hardware ") for name in ENVIRONMENT if name in one)
        for one in study["environments"]
    ]
    lines = [
        f"- `{study['command']}`, then `python scripts/update_findings.py {out_of(study)}`",
        *(f"- {one}" for one in where),
        f"- seeds {ranges(study['seeds'])}{tuned}",
        f"- {finished} runs{lost}; {study['seconds'] / 60:.0f} minutes of wall time, run by run, beside other work",
    ]
    lines += [f"- added later: {one}" for one in study["later"]]
    return [*lines, *(f"- {note}" for note in study["notes"])]


def out_of(study: dict) -> str:
    found = re.search(r"--out (\S+)", study["command"] or "")
    return found[1] if found else f"runs/{study['form']}"


def effect(one: dict) -> str:
    """An effect with its interval and unit, points and taus without; where there is none, why."""
    if one["effect"] is None:
        return f"none: {one['reason']}"
    ends = [number(one[end], one["unit"]) for end in ("low", "high") if one[end] is not None]
    unit = "" if one["unit"] in ("points", "tau") else one["unit"]
    return f"{number(one['effect'], one['unit'])}{f' [{ends[0]}, {ends[1]}]' if ends else ''} {unit}".rstrip()


def number(value: float, unit: str) -> str:
    """A difference with its sign: points to one decimal, taus to two, anything else to three digits."""
    digits = {"points": "+.1f", "tau": "+.2f"}.get(unit, "+.3g")
    return f"{value:{digits}}".replace("-", MINUS)


def level(value: list, unit: str) -> str:
    """A mean with its interval."""
    mean, low, high = value[:3]
    if mean is None:
        return DASH
    digits = ".1f" if unit == "%" else ".3g"
    ends = f" [{low:{digits}}, {high:{digits}}]" if low is not None else ""
    return f"{mean:{digits}}{ends}".replace("-", MINUS)


def cell(text: str) -> str:
    return text.replace("|", "\\|")


# Figures.


def draw_verdicts(study: dict, directory: Path) -> None:
    """`verdicts.svg`: a row per claim, a panel per unit; parts of a claim stand in the panels of their units."""
    groups: dict[str, list[tuple[dict, dict]]] = {}
    for one in study["verdicts"]:
        for part in one["parts"]:
            if part["effect"] is not None:
                groups.setdefault(part["unit"] or part["what"], []).append((one, part))
    if groups:
        with figures.style():
            rows = max(map(len, groups.values()))
            figure, axes = figures.panels(len(groups), columns=1, width=7.6, height=0.75 + 0.3 * rows)
            for one, (unit, group) in zip(axes, groups.items(), strict=True):
                forest(one, group)
                one.set_xlabel(group[0][1]["what"] if unit == "tau" else unit)
            figures.save(figure, directory, "verdicts")


def forest(axes, group: list[tuple[dict, dict]]) -> None:
    """Effects of one unit, each with its interval and the smallest effect that was claimed."""
    for place, (claim, one) in enumerate(group):
        look = {"color": figures.colour(RULINGS[claim["verdict"]])}
        if one["low"] is not None:
            axes.plot([one["low"], one["high"]], [place, place], linewidth=1.6, solid_capstyle="butt", **look)
        axes.plot(one["effect"], place, "o", markersize=5, **look)
        limit = one["sign"] * one["smallest"]
        axes.plot([limit, limit], [place - 0.35, place + 0.35], color=figures.MUTED, linewidth=1.0, linestyle=":")
    axes.axvline(0.0, color=figures.INK, linewidth=0.7, zorder=1)
    axes.set_yticks(range(len(group)), ["\n".join(textwrap.wrap(claim["claim"], 62)[:2]) for claim, _ in group])
    axes.set_ylim(len(group) - 0.4, -0.6)
    figures.tidy(axes)
    axes.grid(visible=False, axis="y")


def draw_means(study: dict, directory: Path) -> None:
    """`means.svg`: a row per context and level of what is compared; not of so many that nobody could read it."""
    of = study["means"]["judged"]
    point, when = next(iter(of["points"].items()))
    levels = study["factors"][study["compared"]]
    rows = [(context, name, row[name][point]) for context, row in study["means"]["rows"].items() for name in levels
            if name in row and row[name][point][0] is not None]  # fmt: skip
    if len(rows) > MOST:
        return
    with figures.style():
        figure, (axes,) = figures.panels(1, width=7.6, height=0.75 + 0.17 * len(rows))
        for place, (_, name, value) in enumerate(rows):
            look = {"color": figures.colour(levels.index(name) if len(study["means"]["rows"]) > 1 else 1)}
            if value[1] is not None:
                axes.plot(value[1:3], [place, place], linewidth=1.3, **look)
            axes.plot(value[0], place, "o", markersize=4, **look)
            if place and rows[place - 1][0] != rows[place][0]:
                axes.axhline(place - 0.5, color=figures.RULE, linewidth=0.7)
        axes.set_yticks(range(len(rows)), [": ".join(filter(None, (context, name))) for context, name, _ in rows])
        axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel=f"{of['name']}, {when}, {of['unit']}".rstrip(", "))
        figures.tidy(axes)
        axes.grid(visible=False, axis="y")
        figures.save(figure, directory, "means")


def make_figures(study: dict, out: Path) -> list[str]:
    """Draw, and copy those of the study that the page shows; returns the names of all."""
    name = study["study"]
    target = DATA / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    draw_verdicts(study, target)
    draw_means(study, target)
    for path in target.glob("*.png"):
        path.unlink()  # the page shows the SVG
    page = DATA / f"{name}.md"
    by_hand = page.read_text().partition(START)[0] if page.exists() else ""
    for wanted in re.findall(rf"\]\({re.escape(name)}/([\w-]+)\.svg\)", by_hand):
        shutil.copy(out / "figures" / f"{wanted}.svg", target)
    return sorted(path.stem for path in target.glob("*.svg"))


# Pages.


def with_part(page: str, part: str) -> str:
    """The page with the part in place of the one it has, or at its end."""
    before, found, rest = page.partition(START)
    if not found:
        return f"{page.rstrip()}\n\n{part}\n"
    return before + part + rest.partition(END)[2]


def all_kept() -> dict[str, dict]:
    """Every study whose numbers are kept in the form that this script writes."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(DATA.glob("*.json"))}
    return {name: study for name, study in found.items() if "form" in study}


def main() -> None:
    """Keep the numbers and figures of the studies that were named, and make the pages of all."""
    for out in map(Path, sys.argv[1:]):
        study = kept(out)
        study["figures"] = make_figures(study, out)
        (DATA / f"{study['study']}.json").write_text(json.dumps(study, ensure_ascii=False) + "\n")
    for name, study in all_kept().items():
        page = DATA / f"{name}.md"
        text = page.read_text() if page.exists() else f"# {name}\n"
        page.write_text(with_part(text, section(study)))
    runpy.run_path(str(ROOT / "scripts" / "update_index.py"))["main"]()


if __name__ == "__main__":
    main()
