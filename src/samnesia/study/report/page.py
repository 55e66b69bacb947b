"""The page: parts in their order, given to one template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from samnesia.study.judging import numbers
from samnesia.study.report import wording
from samnesia.study.report.claims import Claims
from samnesia.study.report.contexts import Grid
from samnesia.study.report.facts import Fact
from samnesia.study.report.figures import style
from samnesia.study.report.figures.plates import Plate
from samnesia.study.report.figures.style import label
from samnesia.study.report.judged import SHARE
from samnesia.study.report.settings import Settings
from samnesia.study.report.tables import Table
from samnesia.study.report.wording import Summary

FEW = 8
"""Methods that are named in the line above the question; more of them are counted."""


@dataclass(frozen=True)
class Page:
    """What stands on the page of a study.

    Attributes:
        summary: the numbers.
        grid: the table they were made of.
        claims: the hypotheses and their verdicts.
        plates: the figures in their order.
        standing: where methods stand over several contexts; None for one.
        table: all numbers.
        facts: how it was measured.
        settings: with what.
    """

    summary: Summary
    grid: Grid
    claims: Claims
    plates: Sequence[Plate]
    standing: Table | None
    table: Table
    facts: Sequence[Fact]
    settings: Settings

    def render(self) -> str:
        """The page as HTML, with its figures drawn."""
        text: str = (
            environment()
            .get_template("report.html")
            .render(
                summary=self.summary,
                subject=self.subject(),
                claims=self.claims,
                headline=wording.headline(self.summary),
                findings=wording.findings(self.summary),
                troubles=wording.troubles(self.summary),
                plates=[(plate, _marked(plate.inline())) for plate in self.plates],
                strips=_marked(self.claims.inline()),
                standing=self.standing,
                table=self.table,
                hues=len(style.LIGHT.methods) - 1,
                confidence=f"{100 * self.summary['confidence']:g} %",
                others=len(self.summary["methods"]) - 1,
                one_environment=len({(ran.get("commit"), ran.get("torch")) for ran in self.summary["environments"]})
                <= 1,
                facts=self.facts,
                settings=self.settings,
                light=style.LIGHT,
                dark=style.DARK,
            )
        )
        return text

    def subject(self) -> list[str]:
        """What the study is of, in a few words: its name, its factors, its seeds."""
        design = self.grid.design
        cells = list(design.cells())
        parts = [design.name]
        for name in self.grid.varied():
            levels = len({cell[name] for cell in cells})
            few = name == design.compared and levels <= FEW
            parts.append(", ".join(map(label, self.grid.arms)) if few else numbers.counted(levels, name))
        return [*parts, numbers.counted(len(design.seeds), "seed")]


def environment(*packages: str) -> Any:
    """The templates of pages, with their filters: those here, and those of other packages."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name) for name in ("samnesia.study.report", *packages)]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        label=label,
        capital=wording.capital,
        plural=numbers.plural,
        share_ends=partial(numbers.ends, bounds=SHARE),
        unbroken=wording.unbroken,
        entry=wording.entry,
    )
    return made


def _marked(svgs: Sequence[str]) -> list[Any]:
    """Figures as markup that is not escaped: they are ours."""
    import markupsafe

    return [markupsafe.Markup(svg) for svg in svgs]
