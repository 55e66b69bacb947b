"""README and the page of the study of cost show the front that its numbers have, and nothing else."""

import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "update_front.py"))


def row(evaluations, *accuracies):
    mean = sum(accuracies) / len(accuracies)
    value = [mean, mean - 1.0, mean + 1.0, len(accuracies), list(accuracies)]
    return {"last": value, "best": value, "gradient_evaluations": float(evaluations), "seconds": evaluations / 100}


@pytest.fixture
def stored():
    rows = {
        "sgd": row(800, 66.0, 67.0, 68.0),
        "sam": row(1600, 91.0, 90.0, 92.0),
        "sam-1.0x": row(800, 86.0, 86.0, 88.0),
        "cheap": row(880, 89.0, 88.5, 91.0),
        "good": row(1200, 91.0, 90.0, 91.0),
        "worse-and-dearer": row(1300, 80.0, 81.0, 82.0),
    }
    made_by = {"command": "samnesia study cost", "environments": [{"commit": "c0ffee", "hardware": "a machine"}]}
    return {"means": {"rows": {"": rows}}, "seeds": [0, 1, 2], **made_by}


def test_the_front_has_what_nothing_else_beats_for_as_little(stored):
    arms = SCRIPT["arms_of"](stored)
    assert [arm.name for arm in arms] == ["sam-1.0x", "sgd", "cheap", "good", "worse-and-dearer", "sam"]
    assert [arm.name for arm in arms if arm.front] == ["sam-1.0x", "cheap", "good", "sam"]
    assert {arm.name: arm.cost for arm in arms}["cheap"] == pytest.approx(1.1)
    assert arms[2].kept.mean == pytest.approx(100 * 22.5 / 24) and arms[2].kept.low < 93.75 < arms[2].kept.high


def test_the_answer_is_the_cheapest_that_keeps_enough_of_all_and_of_methods(stored):
    rows = stored["means"]["rows"][""]
    answer = SCRIPT["answer"](SCRIPT["arms_of"](stored))
    assert answer.startswith("For least, 95 % of what SAM gains over SGD (24.0 points) is kept by `good`, 99 % [")
    assert "it is kept by `good`, 99 % [" in answer and answer.endswith("hoped for, by none.")
    rows["sam-1.0x"], rows["frugal"] = row(800, 92.0, 90.0, 92.0), row(880, 92.0, 90.0, 91.5)
    answer = SCRIPT["answer"](SCRIPT["arms_of"](stored))
    assert "is kept by `sam-1.0x`, 101 % [" in answer and "it is kept by `frugal`, 101 % [" in answer
    assert "at 1.10 plain trainings and `good`, 99 % [" in answer and answer.count("frugal") == 2
    for name in ("good", "frugal", "sam-1.0x"):
        rows.pop(name)
    assert SCRIPT["answer"](SCRIPT["arms_of"](stored)).startswith("Nothing keeps 95 %")


def test_the_table_of_readme_is_the_front_with_sgd_and_that_of_the_page_all(stored):
    short, whole = (SCRIPT["section"](stored, whole=one) for one in (False, True))
    assert "`worse-and-dearer`" in whole and "`worse-and-dearer`" not in short
    assert "| `sgd` | 1.00 | 1.00 | 67.0 [66.0, 68.0] |" in short and "The front and SGD, of 6 methods" in short
    assert 'src="docs/findings/front/front.svg"' in short and 'src="front/front.svg"' in whole


def test_the_figure_is_drawn_for_light_and_dark(stored, tmp_path, monkeypatch):
    monkeypatch.setitem(SCRIPT["draw_all"].__globals__, "FIGURES", tmp_path)
    SCRIPT["draw_all"](SCRIPT["arms_of"](stored))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["front-dark.svg", "front.svg"]
    assert "worse-and-dearer" in (tmp_path / "front.svg").read_text()


def test_readme_and_page_are_made_of_the_kept_numbers():
    stored = json.loads((ROOT / "docs" / "findings" / "cost.json").read_text())
    for page, whole in (("README.md", False), ("docs/findings/cost.md", True)):
        assert SCRIPT["section"](stored, whole=whole) in (ROOT / page).read_text()
    for name in ("front.svg", "front-dark.svg"):
        assert (ROOT / "docs" / "findings" / "front" / name).stat().st_size > 10_000
