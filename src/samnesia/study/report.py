"""One self-contained HTML page about a comparison, rebuilt from its cells alone, and its figures as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from samnesia.extras import require
from samnesia.study import figures, numbers, wording
from samnesia.study.cells import Study, read_study, write_text
from samnesia.study.facts import facts, words_of
from samnesia.study.judged import SHARE, Judged
from samnesia.study.summary import summarize
from samnesia.train.log import write_json
from samnesia.train.plain import flatten

PACKAGES = ("jinja2", "matplotlib", "scipy")
CURVES_INCHES, OVERVIEW_INCHES = 2.9, 2.9  # heights
FLIPPED = "flipped_fitted"


def write_report(out: Path) -> dict[str, Any]:
    """Write ``compare.json``, ``report.html`` and ``figures/`` of a study from the cells that are on disk.

    Args:
        out: the directory that ``samnesia compare`` was given, with ``cells/METHOD-seedN/result.json``.

    Returns:
        The content of ``compare.json``; see :mod:`samnesia.study.summary`.

    Raises:
        ConfigurationError: when no cell is finished, or a file cannot be read.
        MissingExtraError: when matplotlib, Jinja2 or SciPy is not installed.
    """
    for module in PACKAGES:
        require(module, extra="train")
    study = read_study(out)
    summary = summarize(study)
    panels = _panels(study, summary)
    with figures.style_context():
        page = render(study, summary, {name: _inline(name, panel) for name, panel in panels.items()})
        _write_files(out / "figures", panels, Judged.of(summary))
    write_json(out / "compare.json", summary)
    write_text(out / "report.html", page)
    return summary


def render(study: Study, summary: Mapping[str, Any], svgs: Mapping[str, str]) -> str:
    """The page as text, given its figures as ``<svg>`` elements by name."""
    import jinja2
    import markupsafe

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("samnesia.study"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        label=figures.label,
        capital=wording.capital,
        share_ends=partial(numbers.ends, bounds=SHARE),
        unbroken=wording.unbroken,
        plain=numbers.plain,
        entry=wording.entry,
    )
    shared, own = split_settings(summary["methods"])
    judged = Judged.of(summary)
    return environment.get_template("report.html").render(
        summary=summary,
        judged=judged,
        flipped=FLIPPED in svgs,
        samples=words_of(next(iter(study.results.values())).config).samples,
        svgs={name: markupsafe.Markup(svg) for name, svg in svgs.items()},
        headline=wording.headline(summary),
        findings=wording.findings(summary),
        troubles=wording.troubles(summary),
        cut_intervals=_cut_intervals(summary, judged),
        cut_start=_cut_start(study, judged),
        one_environment=len({(ran.get("commit"), ran.get("torch")) for ran in summary["environments"]}) <= 1,
        facts=facts(study, summary),
        shared=shared,
        own=own,
        light=figures.LIGHT,
        dark=figures.DARK,
    )


def split_settings(methods: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The settings that all methods share, and by method those in which they differ, with dotted names."""
    flat = {
        row["method"]: {key: value for key, value in flatten(row["config"]).items() if key not in ("kind", "recipe")}
        for row in methods
        if row["config"]
    }
    first = next(iter(flat.values()), {})
    absent = object()
    shared = {
        key: value for key, value in first.items() if all(config.get(key, absent) == value for config in flat.values())
    }
    own = {
        method: {key: value for key, value in config.items() if key not in shared} for method, config in flat.items()
    }
    return shared, own


def curves_by_method(study: Study, name: str) -> dict[str, list[list[float | None]]]:
    """One curve of every finished run, by method; runs that do not have it are left out."""
    every = {method: [run.curves.get(name) for run in study.runs(method).values()] for method in study.methods}
    return {
        method: [curve for curve in curves if curve and any(value is not None for value in curve)]
        for method, curves in every.items()
    }


@dataclass(frozen=True)
class _Panel:
    """A figure of the page: how it is drawn, how high it is in inches, and what it shows in words."""

    draw: figures.Draw
    height: float
    description: str


def _panels(study: Study, summary: Mapping[str, Any]) -> dict[str, _Panel]:
    height, judged = 0.75 + 0.46 * len(summary["methods"]), Judged.of(summary)
    scores = partial(figures.draw_scores, summary=summary)
    panels = {judged.measure: _Panel(scores, height, wording.describe_scores(summary))}
    if len(summary["methods"]) > 1:
        differences = partial(figures.draw_differences, summary=summary)
        panels["differences"] = _Panel(differences, height, wording.describe_differences(summary))
    for name, course in _courses(study, judged).items():
        if any(course.curves.values()):
            draw = partial(figures.draw_curves, course=course, methods=study.methods)
            words = wording.describe_curves(course.curves, course.ylabel, 1 if name == FLIPPED else judged.decimals)
            panels[name] = _Panel(draw, CURVES_INCHES, words)
    return panels


def _courses(study: Study, judged: Judged) -> dict[str, figures.Course]:
    first = next(iter(study.results.values()))
    epochs = [int(epoch) + 1 for epoch in first.curves["epoch"] if epoch is not None]
    scores, fitted = (curves_by_method(study, name) for name in (judged.key, FLIPPED))
    return {
        judged.key: figures.Course(scores, epochs, judged.axis, falls=not judged.higher_is_better),
        FLIPPED: figures.Course(fitted, epochs, "flipped labels fitted (%)"),
    }


def _cut_intervals(summary: Mapping[str, Any], judged: Judged) -> bool:
    estimates = [row["flipped_fitted"]["last"] for row in summary["methods"]]
    if judged.bounds is not None:
        estimates += [estimate for row in summary["methods"] for estimate in row["score"].values()]
    low, high = SHARE
    return any(
        estimate["low"] is not None and (estimate["low"] < low or estimate["high"] > high) for estimate in estimates
    )


def _cut_start(study: Study, judged: Judged) -> bool:
    course = _courses(study, judged)[judged.key]
    return any(course.curves.values()) and course.extreme(skip_start=False) != course.extreme(skip_start=True)


def _inline(name: str, panel: _Panel) -> str:
    figure = figures.make_panels([panel.draw], figures.TOKENS, panel.height)
    return figures.inline_svg(figure, f"figure-{name}", panel.description)


def _write_files(directory: Path, panels: Mapping[str, _Panel], judged: Judged) -> None:
    """Each panel as SVG and PNG, and ``overview``: scores beside their curves, also for pages with a dark ground."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, panel in panels.items():
        _write_file(directory, name, [panel.draw], figures.LIGHT, panel.height)
    overview = [panels[name].draw for name in (judged.measure, judged.key) if name in panels]
    for name, palette in (("overview", figures.LIGHT), ("overview-dark", figures.DARK)):
        _write_file(directory, name, overview, palette, OVERVIEW_INCHES)


def _write_file(
    directory: Path, name: str, draws: Sequence[figures.Draw], palette: figures.Palette, height: float
) -> None:
    figure = figures.make_panels(draws, palette, height)
    figure.patch.set(alpha=1.0, facecolor=palette.surface)
    write_text(directory / f"{name}.svg", figures.svg(figure))
    figure.savefig(directory / f"{name}.png", dpi=200)
