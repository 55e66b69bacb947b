"""Cells: what counts as finished, what is refused, and what is read back."""

import dataclasses
import json

import pytest

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.cells import (
    Cell,
    cell_directory,
    check_alike,
    check_unchanged,
    read_study,
    write_study,
    write_text,
)
from samnesia.train.log import locked
from samnesia.train.plain import differences, flatten
from tests.study.study_files import make_config, make_study, write_run


def test_a_cell_is_finished_when_its_result_is_there_and_only_then(tmp_path):
    cell = Cell("sam", 3, make_config("digits-noisy", "sam", 3), cell_directory(tmp_path, "sam", 3))
    assert cell.directory == tmp_path / "cells" / "sam-seed3"
    assert not cell.finished
    cell.directory.mkdir(parents=True)
    (cell.directory / "config.json").write_text("{}")
    (cell.directory / "metrics.jsonl").write_text("{}\n")
    assert not cell.finished
    write_run(cell.directory, cell.config, "sam")
    assert cell.finished


def test_cells_of_the_same_configuration_pass(study):
    check_unchanged([_cell(study, "sam", seed) for seed in range(7)])


def test_a_changed_configuration_is_refused_with_the_difference_shown(study):
    cell = _cell(study, "sam", 2)
    changed = dataclasses.replace(
        cell, config=dataclasses.replace(cell.config, epochs=7, method=dataclasses.replace(cell.config.method, rho=0.3))
    )
    with pytest.raises(ConfigurationError) as refusal:
        check_unchanged([_cell(study, "sam", 1), changed])
    assert "sam-seed2" in str(refusal.value)
    assert "epochs: 20 -> 7" in str(refusal.value)
    assert "method.rho: 0.05 -> 0.3" in str(refusal.value)


def test_an_unfinished_cell_may_change(tmp_path):
    cell = _cell(tmp_path, "sam", 0)
    cell.directory.mkdir(parents=True)
    (cell.directory / "config.json").write_text(json.dumps(make_config("digits", "sgd", 9).to_json()))
    check_unchanged([cell])


def test_differences_name_entries_that_only_one_side_has():
    sgd, sam = (make_config("digits", method, 0).to_json() for method in ("sgd", "sam"))
    found = differences(sgd, sam)
    assert 'method.kind: "Unperturbed" -> "SAM"' in found
    assert "method.rho: absent -> 0.05" in found
    assert differences(sgd, sgd) == []


def test_flatten_keeps_empty_mappings_and_lists_as_values():
    assert flatten({"a": {"b": 1, "c": {"d": [1, 2]}}, "e": {}}) == {"a.b": 1, "a.c.d": [1, 2], "e": {}}


def test_without_a_study_file_every_cell_counts_and_sgd_comes_first(study):
    found = read_study(study)
    assert found.problem == "digits-noisy"
    assert found.methods == ("sgd", "asam", "gsam", "obf", "sam")
    assert found.seeds == (0, 1, 2, 3, 4)
    assert found.command is None


def test_the_study_file_gives_order_and_selection(study):
    write_study(study, "digits-noisy", methods=("sam", "sgd"), seeds=(4, 0), command="the command")
    found = read_study(study)
    assert (found.methods, found.seeds, found.command) == (("sam", "sgd"), (4, 0), "the command")
    assert list(found.runs("sam")) == [4, 0]
    assert len(found.results) == 4


def test_failures_are_read_and_a_later_result_outweighs_them(study):
    (study / "cells" / "sam-seed1" / "result.json").unlink()
    for name in ("sam-seed1", "sgd-seed1"):
        (study / "cells" / name / "error.json").write_text(json.dumps({"reason": "ValueError: too hot"}))
    found = read_study(study)
    assert found.failures == {("sam", 1): "ValueError: too hot"}
    assert ("sam", 1) not in found.results


@pytest.mark.parametrize("content", ["", '{"schema": 1', '{"schema": 99}', "[]", "curves", "last", "accuracy"])
def test_a_damaged_result_is_named_with_the_remedy(study, content):
    write_study(study, "digits-noisy", methods=("sgd", "sam"), seeds=(0, 1), command="samnesia compare it")
    path = study / "cells" / "sam-seed1" / "result.json"
    whole = json.loads(path.read_text())
    replaced = {"curves": {"curves": None}, "last": {"last": {}}, "accuracy": {"curves": {"test_accuracy": None}}}
    path.write_text(json.dumps(whole | replaced[content]) if content in replaced else content)
    with pytest.raises(ConfigurationError, match="cannot read") as refusal:
        read_study(study)
    assert str(refusal.value).endswith(f"remove the directory {path.parent} and run samnesia compare it")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"recipe": "digits", "methods": [], "seeds": [0]}'])
def test_a_damaged_study_file_can_be_removed(study, content):
    (study / "study.json").write_text(content)
    with pytest.raises(ConfigurationError, match="remove this one file; samnesia compare writes it anew"):
        read_study(study)


def test_cells_of_another_setting_are_refused(study):
    other = make_config("digits-noisy", "obf", 9, epochs=7)
    write_run(study / "cells" / "obf-seed9", other, "obf")
    for check in (read_study, check_alike):
        with pytest.raises(ConfigurationError, match="obf-seed9 differ.*epochs: 20 -> 7"):
            check(study)


def test_cells_of_another_problem_are_refused(study):
    cell = Cell("obf", 9, make_config("digits", "obf", 9), cell_directory(study, "obf", 9))
    check_alike(study)
    with pytest.raises(ConfigurationError, match='recipe: "digits-noisy" -> "digits"'):
        check_alike(study, [cell])


def test_a_study_belongs_to_one_process_at_a_time(tmp_path):
    with locked(tmp_path, what="study"):
        with (
            pytest.raises(ConfigurationError, match="because another process is at work on it"),
            locked(tmp_path, what="study"),
        ):
            pass
    with locked(tmp_path, what="study"):
        pass


def test_a_directory_without_runs_is_refused_with_the_first_failure(tmp_path):
    with pytest.raises(ConfigurationError, match="there is none; run samnesia compare"):
        read_study(tmp_path)
    (tmp_path / "cells" / "sam-seed1").mkdir(parents=True)
    (tmp_path / "cells" / "sam-seed1" / "error.json").write_text(json.dumps({"reason": "ValueError: too hot"}))
    write_study(tmp_path, "digits-noisy", methods=("sam",), seeds=(1,), command="")
    with pytest.raises(ConfigurationError, match="sam with seed 1: ValueError: too hot"):
        read_study(tmp_path)


def test_foreign_directories_are_left_aside(study):
    for name in ("notes", "sam-seedX", "-seed1"):
        (study / "cells" / name).mkdir()
    assert len(read_study(study).results) == 25


def test_write_text_replaces_whole_files_and_leaves_nothing_beside(tmp_path):
    write_text(tmp_path / "new" / "page.html", "one")
    write_text(tmp_path / "new" / "page.html", "two")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["page.html"]
    assert (tmp_path / "new" / "page.html").read_text() == "two"


def test_cells_of_several_methods_with_hyphens_are_told_apart(tmp_path):
    make_study(tmp_path, methods=("sgd",), seeds=(10, 2))
    assert read_study(tmp_path).seeds == (2, 10)


def _cell(out, method, seed):
    return Cell(method, seed, make_config("digits-noisy", method, seed), cell_directory(out, method, seed))
