"""One self-contained HTML page about a study, rebuilt from what is on disk alone, and its figures as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samnesia.extras import require
from samnesia.study.engine.store import write_text
from samnesia.study.report import tables
from samnesia.study.report.claims import claims_of
from samnesia.study.report.contexts import Grid
from samnesia.study.report.facts import facts
from samnesia.study.report.figures import (
    compared,
    cost,
    curves,
    explored,
    factors,
    parallel,
    plates,
    relations,
    style,
    switching,
)
from samnesia.study.report.figures.explored import Effect
from samnesia.study.report.figures.plates import Plate
from samnesia.study.report.figures.style import Draw
from samnesia.study.report.judged import Judged
from samnesia.study.report.page import Page
from samnesia.study.report.settings import settings_of
from samnesia.study.report.summary import summarize
from samnesia.train.log import write_json

if TYPE_CHECKING:
    from samnesia.study.engine.run import Results
    from samnesia.study.judging.verdicts import Verdict

PACKAGES = ("jinja2", "matplotlib", "pandas", "scipy")
OVERVIEW_INCHES, OVERVIEW_ROW = 2.9, 0.22
"""Height at least, and of the row of a method."""


def write_report(out: Path | str) -> dict[str, Any]:
    """Write ``compare.json``, ``report.html`` and ``figures/`` of a study from what is on disk.

    Args:
        out: the directory of the study.

    Returns:
        The content of ``compare.json``; see :mod:`samnesia.study.report.summary`.

    Raises:
        ConfigurationError: when no cell is finished, or a file cannot be read.
        MissingExtraError: when matplotlib, Jinja2, pandas or SciPy is not installed.
    """
    _require_packages()
    from samnesia.study.engine.run import read_results
    from samnesia.study.judging.verdicts import judge

    results = read_results(out)
    return write_report_of(results, judge(results.design, results.table))


def write_report_of(results: Results, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The same of results that have been read, and of their verdicts."""
    _require_packages()
    summary = {**summarize(results), "verdicts": [verdict.to_json() for verdict in verdicts]}
    grid = Grid(results.design, results.table)
    effects = explored.effects_of(results)
    if effects:
        summary["exploratory"] = [effect.to_json() for effect in effects]
    page = make_page(results, grid, summary, verdicts, effects)
    with style.style_context():
        text = page.render()
        _write_files(results.out / "figures", page.plates, overview(results, grid, summary), overview_height(summary))
    write_json(results.out / "compare.json", summary)
    write_text(results.out / "report.html", text)
    return summary


def make_page(
    results: Results,
    grid: Grid,
    summary: dict[str, Any],
    verdicts: Sequence[Verdict],
    effects: Sequence[Effect] = (),
) -> Page:
    """What stands on the page of a study."""
    return Page(
        summary, grid, claims_of(results, verdicts), make_plates(results, grid, summary, verdicts, effects),
        tables.standing_table(summary), tables.numbers_table(summary, grid), facts(results, grid, summary),
        settings_of(grid),
    )  # fmt: skip


def make_plates(
    results: Results,
    grid: Grid,
    summary: dict[str, Any],
    verdicts: Sequence[Verdict],
    effects: Sequence[Effect] = (),
) -> list[Plate]:
    """The figures of a study in their order; each is there only where its data are."""
    judged = Judged.of(summary)
    found = [
        cost.cost_plate(summary),
        factors.factors_plate(grid, judged) or compared.scores_plate(summary),
        compared.differences_plate(summary),
        switching.switching_plate(summary),
        parallel.parallel_plate(grid, judged),
        *relations.relation_plates(results, grid, verdicts),
        *explored.explored_plates(effects),
        *curves.curve_plates(grid, results.outcomes, judged),
    ]
    return [plate for plate in found if plate is not None]


def overview(results: Results, grid: Grid, summary: dict[str, Any]) -> list[Draw]:
    """The panels of the picture for a README: the measure by method, and over training; of a study with one context."""
    if summary["contexts"]:
        return []
    course = curves.curve_draw(grid, results.outcomes, Judged.of(summary), overview_height(summary))
    return [compared.scores_draw(summary), *([course] if course else [])]


def overview_height(summary: dict[str, Any]) -> float:
    """Height of the overview in inches, with room for every method."""
    return max(OVERVIEW_INCHES, 0.7 + OVERVIEW_ROW * len(summary["methods"]))


def _require_packages() -> None:
    for module in PACKAGES:
        require(module, extra="train")


def _write_files(directory: Path, found: Sequence[Plate], panels: Sequence[Draw], height: float) -> None:
    """Each figure as SVG and PNG; and ``overview``, also for pages with a dark ground."""
    for plate in found:
        plate.write(directory)
    if panels:
        for name, palette in (("overview", style.LIGHT), ("overview-dark", style.DARK)):
            plates.write_files(directory, name, panels, palette, height)
