"""What the engine writes down of a cell, and that a reader sees all of it or nothing."""

import json

import pytest

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.engine import store
from samnesia.study.engine.store import Failed, Finished, cell_name, clear, find_cell, write_outcome, write_text
from samnesia.study.work import Outcome


@pytest.fixture
def cell(tmp_path):
    """A cell whose work has ended, and nobody has looked."""
    path = tmp_path / "cells" / "sam,steps-seed3"
    path.mkdir(parents=True)
    (path / "result.json").write_text('{"value": 1}')
    return path


def test_cells_are_named_by_levels_and_seed():
    assert cell_name({"method": "sam"}, 3) == "sam-seed3"
    assert cell_name({"method": "sam", "budget": "equal steps"}, 0) == "sam,equal steps-seed0"


def test_a_cell_is_finished_when_its_result_and_its_outcome_are_there_and_only_then(cell):
    out = cell.parent.parent
    assert find_cell(cell) is None
    outcome = Outcome({"value": 1.5, "none": None}, {"course": [1.0, None]}, 2.0, {"python": "3"}, ("so so",))
    write_outcome(cell, {"a": 1}, outcome)
    assert find_cell(cell) == Finished({"a": 1}, outcome)
    assert store.count_results(out) == 1
    (cell / "result.json").unlink()
    assert find_cell(cell) is None and store.count_results(out) == 0


def test_a_result_counts_as_seen_before_the_engine_has_read_it_unless_its_cell_has_failed(cell):
    out = cell.parent.parent
    assert (cell / "result.json").exists() and store.count_results(out) == 1
    store.write_failure(cell, {}, "ConfigurationError: a hypothesis needs another value", "Traceback ...")
    assert store.count_results(out) == 0


def test_numbers_that_are_not_finite_are_left_out(cell):
    write_outcome(cell, {}, Outcome({"value": float("nan")}, {"course": [float("inf"), 1]}))
    found = find_cell(cell)
    assert (found.outcome.values, found.outcome.curves) == ({"value": None}, {"course": [None, 1.0]})


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        (Outcome({"value": "much"}), "cannot use 'much' as the value value, because values are numbers"),
        (Outcome({}, {"course": ["steep"]}), "cannot use 'steep' as the value course"),
        (Outcome({}, environment={"of": {1}}), "cannot write the outcome of sam,steps-seed3 down"),
    ],
)
def test_what_json_lacks_is_refused(cell, outcome, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        write_outcome(cell, {}, outcome)
    assert find_cell(cell) is None


def test_a_failure_is_kept_until_the_cell_is_cleared(tmp_path):
    store.write_failure(tmp_path / "cell", {"a": 1}, "ValueError: too hot", "Traceback ...")
    assert find_cell(tmp_path / "cell") == Failed({"a": 1}, "ValueError: too hot")
    (tmp_path / "cell" / ".outcome.json.123").write_text("half")
    (tmp_path / "cell" / "metrics.jsonl").write_text("{}")
    clear(tmp_path / "cell")
    assert [path.name for path in (tmp_path / "cell").iterdir()] == ["metrics.jsonl"]


def test_a_result_that_has_changed_since_is_refused(cell):
    write_outcome(cell, {}, Outcome({}))
    (cell / "result.json").write_text(json.dumps({"value": 2}))
    with pytest.raises(ConfigurationError, match="has changed since; remove the directory .* and run the same command"):
        find_cell(cell)


def test_write_text_replaces_whole_files_and_leaves_nothing_beside(tmp_path):
    write_text(tmp_path / "new" / "page.html", "one")
    write_text(tmp_path / "new" / "page.html", "two")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["page.html"]
    assert (tmp_path / "new" / "page.html").read_text() == "two"


@pytest.mark.parametrize(
    "change", [{"values": {"value": "abc"}}, {"values": {"value": [1]}}, {"curves": {"course": 3}}]
)
def test_an_outcome_whose_numbers_are_none_is_refused(cell, change):
    write_outcome(cell, {}, Outcome({"value": 1.0}, {"course": [1.0]}))
    plain = json.loads((cell / "outcome.json").read_text())
    (cell / "outcome.json").write_text(json.dumps(plain | change))
    with pytest.raises(ConfigurationError, match="does not hold an outcome of schema 1; remove it"):
        find_cell(cell)
