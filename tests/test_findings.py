"""The pages of findings show the numbers that are kept of finished studies, and nothing else."""

import re
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from samnesia.study.engine.run import run_study
from samnesia.study.hypotheses import Also, Difference
from samnesia.study.named import find_study
from samnesia.study.report import write_report
from tests.study import tiny_study

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "docs" / "findings"
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
SCRIPT, INDEX = (runpy.run_path(str(ROOT / "scripts" / f"update_{name}.py")) for name in ("findings", "index"))
STUDIES = SCRIPT["all_kept"]()


def test_the_lists_of_studies_are_made_of_their_pages():
    found = INDEX["studies"]()
    assert {*STUDIES} | {"problems", "widths"} == {*found}
    for page, part in ((ROOT / "docs" / "findings.md", INDEX["table"]), (ROOT / "README.md", INDEX["bullets"])):
        assert f"{INDEX['START']}\n\n{part(found)}\n\n{INDEX['END']}" in page.read_text()
    for name, (page, says, _) in found.items():
        assert (ROOT / "docs" / page).exists() and says, name


@pytest.mark.parametrize("name", STUDIES)
def test_a_page_shows_what_is_kept_and_says_it_in_short(name):
    page = (DATA / f"{name}.md").read_text()
    assert SCRIPT["section"](STUDIES[name]) in page
    assert SCRIPT["with_part"](page, SCRIPT["section"](STUDIES[name])) == page
    assert f"\n{INDEX['SHORT']} " in page.partition(SCRIPT["START"])[0]
    assert (DATA / f"{name}.json").stat().st_size < 200_000
    for target in LINK.findall(page):
        assert (DATA / target).exists(), target


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_the_named_one_and_whole(name):
    study = STUDIES[name]
    design = find_study(name, quick=study["form"].endswith(SCRIPT["QUICK"])).design
    assert (study["form"], study["question"]) == (design.name, design.question)
    assert set(study["seeds"]) >= set(design.seeds)
    assert [one["claim"] for one in study["verdicts"]] == [one.claim for one in design.primary]
    assert set(study["cells"]) == {"finished"} and not study["failures"]


@pytest.fixture
def documents(tmp_path, monkeypatch):
    """An empty docs/findings with a page that was begun by hand, and a finished study; the lists are left alone."""
    lower = Difference(claim="sam is lower", measure="figure", treatment={"method": "sam"}, control={"method": "sgd"},
                       where={"budget": "steps"}, direction="lower")  # fmt: skip
    both = replace(tiny_study.CLAIM, also=(Also(measure="figure", smallest=0.5),))
    study = tiny_study.study(name="tiny-quick", seeds=(0, 1, 2, 3), primary=(both,), exploratory=(lower,))
    run_study(study, tmp_path / "out", workers=1, progress=False, command=f"samnesia study tiny --out {tmp_path}/out")
    write_report(tmp_path / "out")
    (tmp_path / "out" / "figures" / "test_course.svg").write_text("<svg/>")
    data = tmp_path / "findings"
    data.mkdir()
    (data / "tiny.md").write_text("# Tiny\n\n**In short:** it runs,\nas | was claimed.\n\n![](tiny/test_course.svg)\n")
    monkeypatch.setitem(SCRIPT["main"].__globals__, "DATA", data)
    monkeypatch.setattr(runpy, "run_path", lambda path: {"main": lambda: None})
    return tmp_path


def test_a_finished_study_is_put_in_and_may_be_put_in_again(documents, monkeypatch):
    monkeypatch.setattr("sys.argv", ["update_findings.py", str(documents / "out")])
    SCRIPT["main"]()
    page = (documents / "findings" / "tiny.md").read_text()
    assert page.startswith("# Tiny\n\n**In short:** it runs,\nas | was claimed.")
    low = "\N{MINUS SIGN}0.1"
    assert f"| sam is higher | **undecided** | +0.2 [{low}, +0.4] and +0.2 [{low}, +0.4] | above zero and" in page
    assert "1 claim: 1 undecided." in page and "sam is lower" in page
    assert "- seeds 0 to 3; settings were chosen with seeds 1000" in page
    assert "- 16 runs; " in page
    assert {path.name for path in (documents / "findings" / "tiny").iterdir()} >= {"test_course.svg", "verdicts.svg"}
    monkeypatch.setattr("sys.argv", ["update_findings.py"])
    SCRIPT["main"]()
    assert (documents / "findings" / "tiny.md").read_text() == page


def test_a_study_is_listed_with_what_its_page_says_in_short(tmp_path):
    says = INDEX["in_short"]("# Tiny\n\n**In short:** it runs,\nas | was claimed.\n\nMore.\n")
    assert says == "it runs, as | was claimed." and not INDEX["in_short"]("# Tiny\n\nMore.\n")
    study = {"question": "Does it?", "verdicts": [{"verdict": "undecided"}, {"verdict": "supported"}]}
    found = {"tiny": ("findings/tiny.md", says, study)}
    row = "| [`tiny`](findings/tiny.md) | Does it? | it runs, as \\| was claimed. | 1 supported, 1 undecided |"
    assert row in INDEX["table"](found)
    line = "- [`tiny`](docs/findings/tiny.md): it runs, as | was claimed (1 supported, 1 undecided)."
    assert INDEX["bullets"](found) == line


def test_effects_are_written_as_what_they_are():
    number, effect, claimed = SCRIPT["number"], SCRIPT["effect"], SCRIPT["claimed"]
    minus = "\N{MINUS SIGN}"
    assert number(-0.04, "points") == f"{minus}0.0" and number(0.456, "tau") == "+0.46"
    found = {"effect": -12.345, "low": -20.0, "high": -1.0, "unit": "nats"}
    assert effect(found) == f"{minus}12.3 [{minus}20, {minus}1] nats"
    assert effect({"effect": None, "reason": "too few"}) == "none: too few"
    assert claimed({"sign": -1, "smallest": 1.0, "unit": "points"}) == f"{minus}1.0 points or less"
    assert claimed({"sign": 1, "smallest": 0.2, "unit": "tau"}) == "+0.20 or more"
    assert claimed({"sign": -1, "smallest": 0.0, "unit": "points"}) == "below zero"
