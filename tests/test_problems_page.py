"""The findings page shows the numbers of a committed study, and nothing else."""

import json
import runpy
from pathlib import Path

import pytest

from samnesia.study.named.problems import problems

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(ROOT / "scripts" / "update_problems.py"))


@pytest.fixture(scope="module")
def summary():
    return json.loads((ROOT / "docs" / "findings" / "problems.json").read_text())


def test_the_tables_are_those_that_the_script_makes_of_the_committed_study(script, summary):
    page = (ROOT / "docs" / "findings.md").read_text()
    assert script["section"](summary) in page
    assert script["with_section"](page, summary) == page


def test_the_study_is_the_named_one_and_whole(summary):
    design = problems().design
    assert summary["seeds"] == list(design.seeds)
    assert not summary["failures"] and not summary["missing"]
    assert [verdict["hypothesis"]["claim"] for verdict in summary["verdicts"]] == [one.claim for one in design.primary]
    problems_shown = {context["levels"]["problem"] for context in summary["contexts"]}
    assert problems_shown == set(design.factor("problem").levels)


def test_a_verdict_stands_with_its_effect_and_interval(script, summary):
    one = summary["verdicts"][0]
    row = next(line for line in script["section"](summary).splitlines() if line.startswith("| digits-noisy | **"))
    assert f"**{one['verdict']}** {one['estimate']['effect']:+.1f} [{one['estimate']['low']:+.1f}" in row
