"""docs/conformance.md shows the committed cards, and nothing else."""

import runpy
from pathlib import Path

import pytest

from samnesia.conformance import ROWS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "conformance.md").read_text()


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(ROOT / "benchmarks" / "conformance_cards.py"))


def test_the_page_is_the_one_that_the_script_makes_of_the_committed_cards(script):
    assert script["with_section"](PAGE) == PAGE


def test_every_row_says_what_breaks_in_practice():
    assert all(row.breaks in PAGE for row in ROWS)


def test_every_card_is_there_with_versions_command_and_reasons(script):
    for column in script["COLUMNS"]:
        card = column.card()
        assert {result.row for result in card.results} == {row.id for row in ROWS}
        assert all(result.evidence for result in card.results if result.status != "pass")
        assert {"Python"} < card.versions.keys()
        assert card.command


def test_our_own_cards_fail_nothing_but_what_the_page_explains(script):
    ours = [column for column in script["COLUMNS"] if column.group == "samnesia"]
    assert len(ours) == 6
    for column in ours:
        failed = {result.row for result in column.card().results if result.status == "fail"}
        assert failed == ({"72"} if column.heading == "as_optimizer" else set())
