"""Exploratory effects on the page: there with their intervals, and no verdict on them."""

from dataclasses import replace

import pytest

from samnesia.study import report
from samnesia.study.design import Design
from samnesia.study.engine.definition import Definition
from samnesia.study.hypotheses import Correlation, Difference, StrongerCorrelation
from samnesia.study.judging.verdicts import judge
from samnesia.study.report.figures.explored import effects_of, explored_plates
from tests.study import synthetic

LOOKED_AT = (
    Correlation(claim="norm with gap", x="norm", y="gap"),
    Correlation(claim="flatness with gap, within methods", x="flatness", y="gap", within=("method",)),
    StrongerCorrelation(claim="flatness less norm", x="flatness", rival="norm", y="gap", signs=(-1, 1)),
    Difference(claim="SAM less SGD", measure="gap", treatment={"method": "sam"}, control={"method": "sgd"}),
)


@pytest.fixture
def results(tmp_path):
    """A study of taus that also looks at others."""
    found = synthetic.correlations(tmp_path, cells=12, seeds=3)
    return replace(found, design=replace(found.design, exploratory=LOOKED_AT))


def test_effects_are_estimated_as_hypotheses_are_and_get_no_verdict(results):
    effects = effects_of(results)
    assert [one.estimate for one in effects] == [one.estimate(results.design, results.table) for one in LOOKED_AT]
    assert len(judge(results.design, results.table)) == 3
    without = replace(results, design=replace(results.design, exploratory=()))
    assert judge(results.design, results.table) == judge(without.design, without.table)  # nor do they cost power


def test_the_page_shows_them_by_kind_and_compare_json_has_their_numbers(results, monkeypatch):
    monkeypatch.setattr(report, "_write_files", lambda *files: None)
    summary = report.write_report_of(results, judge(results.design, results.table))
    page = (results.out / "report.html").read_text()
    for title in (
        "Exploratory: Kendall’s tau",
        "Exploratory: difference of two taus",
        "Exploratory: difference (points)",
    ):
        assert title in page
    told = {one["claim"]: one for one in summary["exploratory"]}
    assert list(told) == [one.claim for one in LOOKED_AT]
    assert told["norm with gap"]["n"] == 12 and told["norm with gap"]["low"] < told["norm with gap"]["effect"]
    assert "norm with gap: " in page  # for those who cannot see the figure
    assert "flatness" in page.partition("Reliability")[2][:600]


def test_what_has_no_interval_is_drawn_without_one_and_says_why(results):
    few = replace(results.design, exploratory=(replace(LOOKED_AT[0], where={"method": "sgd"}),))
    (effect,) = effects_of(replace(results, design=few))
    assert "no interval: 3 design cells are too few" in effect.told
    (plate,) = explored_plates([effect])
    assert plate.panels[0].description.startswith("norm with gap: ")


def test_they_go_through_json_may_change_under_results_and_have_names_of_their_own(results):
    design = results.design
    assert Design.from_json(design.to_json()) == design
    old = {name: value for name, value in design.to_json().items() if name != "exploratory"}
    assert Design.from_json(old) == replace(design, exploratory=())
    fewer = replace(design, exploratory=LOOKED_AT[:1])
    assert Definition(design).changed_to(fewer, results=5, out=results.out)[0] == fewer
    with pytest.raises(Exception, match="'norm with gap' twice"):
        replace(design, exploratory=(LOOKED_AT[0], LOOKED_AT[0]))
