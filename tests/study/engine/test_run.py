"""run_study: what runs, what is kept, what is refused, and what can be read back from disk alone."""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace

import pandas as pd
import pytest

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.design import Factor, Measure, Study
from samnesia.study.engine.run import read_results, run_study
from samnesia.study.judging.verdicts import judge
from samnesia.train.log import locked
from tests.study import tiny_study
from tests.study.tiny_study import CLAIM, Draw, study, without_time


@pytest.fixture
def done():
    """The cells that ran, in order, and what notes them down."""
    cells = []
    return cells, lambda draw, directory: cells.append(directory.name)


def run(some, out, **options):
    return run_study(some, out, **({"workers": 1, "progress": False} | options))


def test_every_cell_runs_seed_by_seed_and_the_table_is_tidy(tmp_path, done):
    cells, before = done
    results = run(study(before=before), tmp_path / "out", command="samnesia study tiny")
    assert cells == [
        f"{method},{budget}-seed{seed}"
        for seed in (0, 1)
        for method in ("sgd", "sam")
        for budget in ("steps", "gradients")
    ]
    table = results.table
    assert list(table.columns) == [
        "method", "budget", "seed", "status", "reason", "directory", "config",
        "value", "nothing", "seconds", "infinite", "steps",
    ]  # fmt: skip
    assert list(table["directory"]) == [f"cells/{name}" for name in cells]
    assert list(table["value"][:2]) == [8.0, 12.0]
    assert table["nothing"].isna().all() and table["infinite"].isna().all()
    assert set(map(str, table.dtypes[7:])) == {"float64"} and str(table.dtypes["seed"]) == "int64"
    assert (table["status"] == "finished").all() and list(table["reason"]) == [None] * 8
    assert json.loads(table["config"][1]) == {
        "levels": {"method": "sgd", "budget": "gradients"},
        "seed": 0,
        "scale": 1.0,
    }
    written = pd.read_parquet(tmp_path / "out" / "table.parquet")
    assert list(written.columns) == list(table.columns)
    assert written["value"].equals(table["value"])


def test_results_are_read_from_disk_alone(tmp_path):
    made = run(study(), tmp_path, command="samnesia study tiny")
    read = read_results(tmp_path)
    assert read.design == tiny_study.design()
    assert read.command == "samnesia study tiny"
    pd.testing.assert_frame_equal(read.table, made.table)
    outcome = read.outcome(1, method="sam", budget="steps")
    assert outcome == read.outcomes["cells/sam,steps-seed1"]
    assert outcome.values == {"value": 8.25, "nothing": None, "infinite": None, "steps": 3.0}
    assert (outcome.curves, outcome.notes, outcome.seconds) == ({"course": [0.5, 8.25]}, ("drawn",), 3.0)
    assert read.outcome(7, method="sam", budget="steps") is None
    (begun,) = read.history
    assert (begun.results, begun.says, begun.seeds) == (0, "defined", (0, 1))


def test_a_second_call_runs_nothing_and_one_with_more_seeds_only_those(tmp_path, done):
    cells, before = done
    run(study(before=before), tmp_path)
    cells.clear()
    run(study(before=before), tmp_path)
    assert cells == []
    results = run(study(before=before), tmp_path, seeds=(0, 1, 5))
    assert len(cells) == 4 and all(name.endswith("-seed5") for name in cells)
    assert results.design.seeds == (0, 1, 5)
    _, added = results.history
    assert (added.results, added.says, added.seeds) == (8, "seed 5 added", (5,))
    cells.clear()
    again = run(study(before=before), tmp_path)  # seeds that are there stay, and are no news
    assert cells == [] and again.design.seeds == (0, 1, 5) and again.history == results.history


def test_levels_may_be_added_at_the_end_of_a_factor(tmp_path, done):
    cells, before = done
    run(study(before=before), tmp_path)
    cells.clear()
    factors = (Factor("method", ("sgd", "sam", "asam")), Factor("budget", ("steps", "gradients")))
    results = run(study(before=before, factors=factors, notes=("mind the gap",)), tmp_path)
    assert cells == [f"asam,{budget}-seed{seed}" for seed in (0, 1) for budget in ("steps", "gradients")]
    assert [change.says for change in results.history[1:]] == [
        "level 'asam' added to the factor method", "notes changed",
    ]  # fmt: skip
    assert len(results.table) == 12


def test_with_levels_come_hypotheses_about_them_and_no_others(tmp_path):
    run(study(), tmp_path)
    factors = (Factor("method", ("sgd", "sam", "asam")), Factor("budget", ("steps", "gradients")))
    more = replace(CLAIM, claim="asam is higher", treatment={"method": "asam"})
    slipped_in = replace(CLAIM, claim="sam is higher at equal steps", where={"budget": "steps"})
    with pytest.raises(ConfigurationError, match="hypothesis 'sam is higher at equal steps'"):
        run(study(factors=factors, primary=(CLAIM, more, slipped_in)), tmp_path)
    results = run(study(factors=factors, primary=(CLAIM, more)), tmp_path)
    assert [(change.says, change.results) for change in results.history[1:]] == [
        ("level 'asam' added to the factor method", 8), ("hypotheses added: asam is higher", 8),
    ]  # fmt: skip


def test_a_new_level_does_not_change_what_a_hypothesis_is_about(tmp_path):
    three = (Factor("method", ("sgd", "sam")), Factor("budget", ("steps", "gradients", "late")))
    run(study(seeds=(0, 1, 2)), tmp_path)
    before = read_results(tmp_path)
    (asked,) = before.design.primary
    results = run(study(factors=three), tmp_path)
    assert results.design.primary == (replace(asked, over={"budget": ("steps", "gradients")}),)
    assert CLAIM.estimate(results.design, results.table) != CLAIM.estimate(before.design, before.table)
    (verdict,) = judge(results.design, results.table)
    assert verdict.estimate == judge(before.design, before.table)[0].estimate
    assert " in figure drawn over budget steps, gradients is +" in verdict.sentence
    assert results.history[-1].says == (
        "level 'late' added to the factor budget; what was claimed over all levels of budget stays about steps, "
        "gradients"
    )
    again = run(study(factors=three), tmp_path)  # the study's Python still says nothing of it
    assert (again.design, again.history) == (results.design, results.history)
    four = (three[0], Factor("budget", (*three[1].levels, "later")))
    assert run(study(factors=four), tmp_path).design.primary == results.design.primary
    with pytest.raises(ConfigurationError, match=re.escape('over.budget: ["steps", "gradients"] -> ["late"]')):
        run(study(factors=four, primary=(replace(CLAIM, over={"budget": ("late",)}),)), tmp_path)


def test_a_hypothesis_may_come_with_a_level_that_it_ranges_over(tmp_path):
    run(study(), tmp_path)
    three = (Factor("method", ("sgd", "sam")), Factor("budget", ("steps", "gradients", "late")))
    more = replace(CLAIM, claim="sam is higher at what is not equal", over={"budget": ("gradients", "late")})
    results = run(study(factors=three, primary=(CLAIM, more)), tmp_path)
    assert [one.over["budget"] for one in results.design.primary] == [("steps", "gradients"), ("gradients", "late")]


def test_a_definition_of_before_hypotheses_could_name_levels_to_range_over_is_read(tmp_path):
    run(study(), tmp_path)
    plain = json.loads((tmp_path / "study.json").read_text())
    for one in plain["design"]["primary"]:
        assert one.pop("over") == {}
    (tmp_path / "study.json").write_text(json.dumps(plain))
    assert read_results(tmp_path).design == tiny_study.design()
    assert len(run(study(), tmp_path).history) == 1


def test_results_of_another_study_are_told_in_one_sentence(tmp_path):
    run(study(), tmp_path)
    with pytest.raises(ConfigurationError) as refusal:
        run(study(name="other", alpha=0.1), tmp_path)
    assert str(refusal.value) == (
        f"cannot run the study 'other' in {tmp_path}, because it holds results of another one, 'tiny'; use another "
        "--out"
    )


def test_what_a_killed_study_has_left_half_written_is_removed(tmp_path):
    run(study(), tmp_path)
    (tmp_path / "figures").mkdir()
    for name in (".study.json.123", ".table.parquet.123", ".seen-123", ".compare.json.1", ".report.html.1",
                 ".calibration.json.12", "figures/.cost.svg.1", ".mine.1"):  # fmt: skip
        (tmp_path / name).touch()
    run(study(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".lock", ".mine.1", "cells", "figures", "study.json", "table.parquet",
    ]  # fmt: skip
    assert list((tmp_path / "figures").iterdir()) == []


def test_an_interrupted_study_has_a_table_of_what_is_finished(tmp_path):
    def interrupted(draw, directory):
        if (draw.seed, draw.levels["method"]) == (1, "sam"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="interrupted: 6 of 8 runs are finished and kept"):
        run(study(before=interrupted), tmp_path)
    written = pd.read_parquet(tmp_path / "table.parquet")
    assert list(written["status"]) == ["finished"] * 6 + ["missing"] * 2


def test_levels_whose_names_make_no_directory_are_refused(tmp_path):
    factors = (Factor("method", ("sgd", "s" * 240)), Factor("budget", ("steps", "gradients")))
    with pytest.raises(ConfigurationError, match=r"named after the levels of a cell, and s+\.\.\. has 256 bytes"):
        run(study(factors=factors, primary=()), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"primary": ()}, "hypothesis 'sam is higher'"),
        ({"primary": (replace(CLAIM, smallest=0.5),)}, "primary.hypothesis 'sam is higher'.smallest: 0.0 -> 0.5"),
        ({"primary": (replace(CLAIM, direction="lower"),)}, 'direction: "higher" -> "lower"'),
        ({"primary": (CLAIM, replace(CLAIM, claim="again"))}, "primary.hypothesis 'again'.measure: absent"),
        ({"alpha": 0.1}, "alpha: 0.05 -> 0.1"),
        ({"measures": (*tiny_study.MEASURES[:1], Measure("other", "steps", "steps"))}, '"nothing" -> "steps"'),
        ({"factors": (Factor("method", ("sgd", "sam")),)}, 'factors.budget: ["steps", "gradients"] -> absent'),
        (
            {"factors": (Factor("method", ("sam", "sgd")), Factor("budget", ("steps", "gradients")))},
            'factors.method: ["sgd", "sam"] -> ["sam", "sgd"]',
        ),
        ({"left_out": ({"method": "sam", "budget": "gradients"},)}, "cell sam, gradients: there -> left out"),
        ({"tuning_seeds": ()}, "tuning_seeds: [1000] -> []"),
    ],
)
def test_a_definition_changed_under_results_is_refused_with_the_difference(tmp_path, changes, difference):
    run(study(), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigurationError, match="its definition has changed since its first result") as refusal:
        run(study(**changes), tmp_path)
    assert difference in str(refusal.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_cell_that_was_left_out_does_not_come_back_under_results(tmp_path):
    left_out = ({"method": "sam", "budget": "gradients"},)
    run(study(left_out=left_out), tmp_path)
    with pytest.raises(ConfigurationError, match="cell sam, gradients: left out -> there"):
        run(study(), tmp_path)
    methods = ("sgd", "sam", "asam")  # what is left out of new levels is no change
    factors = (Factor("method", methods), Factor("budget", ("steps", "gradients")))
    more = (*left_out, {"method": "asam", "budget": "gradients"})
    assert len(run(study(factors=factors, left_out=more), tmp_path).table) == 8


def test_a_value_named_like_a_factor_fails_the_cell_and_a_factor_named_like_a_column_is_refused(tmp_path):
    factors = (Factor("method", ("sgd", "sam")), Factor("steps", ("few", "many")))
    results = run(study(factors=factors), tmp_path)
    assert (results.table["status"] == "failed").all() and set(results.table["steps"]) == {"few", "many"}
    assert "cannot use 'steps' as a value of sgd, few, seed 0" in results.failures()[0]
    for name in ("seed", "status", "reason", "directory", "config", "seconds"):
        with pytest.raises(ConfigurationError, match=f"cannot use '{name}' as a factor"):
            Factor(name, ("a",))


def test_before_the_first_result_a_definition_may_change(tmp_path):
    def fails(draw, directory):
        raise ValueError("too hot")

    run(study(before=fails), tmp_path)
    results = run(study(primary=(replace(CLAIM, smallest=0.5),), alpha=0.1), tmp_path)
    assert results.design.primary[0].smallest == 0.5
    (begun,) = results.history
    assert begun.results == 0


def test_a_choice_of_cells_without_hypotheses_may_be_another_one_every_time(tmp_path):
    run(study(primary=()), tmp_path)
    factors = (Factor("method", ("asam", "sgd")), Factor("budget", ("steps",)))
    results = run(study(primary=(), factors=factors), tmp_path, seeds=(1,))
    assert list(results.table["directory"]) == ["cells/asam,steps-seed1", "cells/sgd,steps-seed1"]
    with pytest.raises(ConfigurationError, match=re.escape('factors: ["method", "budget"] -> ["method"]')):
        run(study(primary=(), factors=factors[:1]), tmp_path)


def test_hypotheses_that_come_after_results_are_refused(tmp_path):
    run(study(primary=()), tmp_path)
    with pytest.raises(ConfigurationError, match="hypothesis 'sam is higher'"):
        run(study(), tmp_path)


def test_a_definition_that_was_lost_is_written_anew_with_the_number_of_results_there(tmp_path):
    run(study(), tmp_path)
    (tmp_path / "study.json").unlink()
    results = run(study(), tmp_path)
    assert [(change.says, change.results) for change in results.history] == [("defined", 8)]


def test_other_settings_of_finished_cells_are_refused_with_the_difference(tmp_path):
    run(study(), tmp_path)
    with pytest.raises(ConfigurationError, match=r"its cell sgd,steps-seed0 have changed.*\(scale: 1.0 -> 2.0\)"):
        run(study(scale=2.0), tmp_path)


def test_a_failed_cell_keeps_its_reason_the_others_go_on_and_the_next_call_tries_again(tmp_path, done):
    results = run(study(before=tiny_study.too_hot), tmp_path)
    (failed,) = results.table[results.table["status"] == "failed"].itertuples()
    assert (failed.directory, failed.reason) == ("cells/sam,steps-seed1", "ValueError: too hot")
    assert json.loads(failed.config)["seed"] == 1
    assert "Traceback" in json.loads((tmp_path / failed.directory / "error.json").read_text())["traceback"]
    cells, before = done
    results = run(study(before=before), tmp_path)
    assert cells == ["sam,steps-seed1"]
    assert (results.table["status"] == "finished").all()
    assert not (tmp_path / failed.directory / "error.json").exists()


def test_cells_of_equal_settings_are_run_once(tmp_path, done):
    cells, before = done

    def work(levels, seed):
        shared = levels if levels["method"] == "sgd" else {"method": "sam"}
        return Draw(shared, seed, before=before)

    results = run(Study(tiny_study.design(), work), tmp_path)
    assert cells == [
        f"{name}-seed{seed}" for seed in (0, 1) for name in ("sgd,steps", "sgd,gradients", "sam,steps")
    ]  # fmt: skip
    rows = results.table[results.table["method"] == "sam"]
    assert list(rows["directory"]) == ["cells/sam,steps-seed0"] * 2 + ["cells/sam,steps-seed1"] * 2
    assert list(rows["value"]) == [3.0, 3.0, 3.25, 3.25]
    pd.testing.assert_frame_equal(read_results(tmp_path).table, results.table)


def test_other_settings_of_a_cell_that_shares_its_run_are_refused(tmp_path, done):
    cells, before = done

    def with_gradients(name):
        def work(levels, seed):
            budget = name if levels["budget"] == "gradients" else "steps"
            return Draw(levels | {"budget": budget}, seed, 1.0, before)

        return Study(tiny_study.design(), work)

    run(with_gradients("steps"), tmp_path)
    cells.clear()
    with pytest.raises(ConfigurationError, match="cell sgd,gradients-seed0 have changed since it was run .*budget"):
        run(with_gradients("gradients"), tmp_path)
    assert cells == []


def test_a_shared_run_stays_where_it_was_made(tmp_path, done):
    """A level that is added later, and comes earlier in the order of cells, takes up the run that is there."""
    cells, before = done
    factors = (Factor("budget", ("steps", "gradients")), Factor("method", ("sgd", "sam")))
    first = Study(
        tiny_study.design(factors=factors),
        lambda levels, seed: Draw({"all": "".join(levels.values())}, seed, before=before),
    )
    run(first, tmp_path)
    cells.clear()
    more = (factors[0], Factor("method", ("sgd", "sam", "asam")))

    def work(levels, seed):
        name = "gradientssam" if levels["method"] == "asam" else "".join(levels.values())
        return Draw({"all": name}, seed, before=before)

    results = run(Study(tiny_study.design(factors=more), work), tmp_path)
    assert cells == []
    assert set(results.table[results.table["method"] == "asam"]["directory"]) == {
        "cells/gradients,sam-seed0", "cells/gradients,sam-seed1",
    }  # fmt: skip


def test_seeds_of_equal_settings_are_refused(tmp_path):
    some = Study(tiny_study.design(), lambda levels, seed: Draw(levels, 0))
    with pytest.raises(ConfigurationError, match="put the seed into the settings"):
        run(some, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_settings_that_json_lacks_are_refused(tmp_path):
    some = Study(tiny_study.design(), lambda levels, seed: Draw(levels, seed, scale={1}))
    with pytest.raises(ConfigurationError, match="cannot write the settings of sgd, steps, seed 0 down"):
        run(some, tmp_path / "out")


def test_a_value_that_a_hypothesis_needs_fails_the_cell_and_costs_no_run(tmp_path, done):
    cells, before = done
    measures = (Measure("figure", "valve", "figure"),)
    results = run(study(before=before, measures=measures), tmp_path)
    assert set(results.table["status"]) == {"failed"}
    assert "there is no such value, and a hypothesis is about it; did you mean 'value'?" in results.table["reason"][0]
    cells.clear()
    results = run(study(before=before), tmp_path)  # corrected: the results are there, and are only read
    assert cells == [] and set(results.table["status"]) == {"finished"}


def test_values_that_are_no_numbers_fail_the_cell(tmp_path, monkeypatch):
    read = Draw.read
    monkeypatch.setattr(Draw, "read", lambda draw, at: replace(read(draw, at), values={"value": "much"}))
    results = run(study(), tmp_path)
    assert "cannot use 'much' as the value value, because values are numbers" in results.table["reason"][0]


def test_results_that_nobody_has_looked_at_are_read_and_not_run(tmp_path, done):
    cells, before = done
    run(study(before=before), tmp_path)
    for path in (tmp_path / "cells").glob("*/outcome.json"):
        path.unlink()
    cells.clear()
    assert set(run(study(before=before), tmp_path).table["status"]) == {"finished"}
    assert cells == []


def test_a_result_that_was_removed_is_made_anew(tmp_path, done):
    cells, before = done
    run(study(before=before), tmp_path)
    cells.clear()
    (tmp_path / "cells" / "sam,steps-seed1" / "result.json").unlink()
    assert set(read_results(tmp_path).table["status"]) == {"finished", "missing"}
    run(study(before=before), tmp_path)
    assert cells == ["sam,steps-seed1"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("result.json", "{", "because result.json beside it has changed since; remove the directory"),
        ("outcome.json", "{", "no valid JSON .*; remove it; the same command makes it anew"),
        ("outcome.json", "[]", "must hold one JSON object; remove it"),
        ("outcome.json", '{"schema": 1}', "does not hold an outcome of schema 1; remove it"),
    ],
)
def test_damaged_files_of_cells_are_named_with_the_remedy(tmp_path, name, content, sentence):
    run(study(), tmp_path)
    (tmp_path / "cells" / "sam,steps-seed1" / name).write_text(content)
    for again in (lambda: read_results(tmp_path), lambda: run(study(), tmp_path)):
        with pytest.raises(ConfigurationError, match=sentence) as refusal:
            again()
        assert "sam,steps-seed1" in str(refusal.value)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"schema": 9}', '{"schema": 1, "design": {"name": 3}}'])
def test_a_damaged_definition_is_named_with_the_remedy(tmp_path, content):
    run(study(), tmp_path)
    (tmp_path / "study.json").write_text(content)
    for again in (lambda: read_results(tmp_path), lambda: run(study(), tmp_path)):
        with pytest.raises(ConfigurationError, match="remove this one file; the command of the study writes it anew"):
            again()


def test_the_definition_of_an_earlier_version_is_named_with_the_command(tmp_path):
    (tmp_path / "cells").mkdir()
    content = {"recipe": "digits", "methods": ["sgd"], "seeds": [0], "command": "samnesia compare digits --out x"}
    (tmp_path / "study.json").write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match="earlier version.*keeps the finished runs: samnesia compare digits"):
        read_results(tmp_path)


def test_directories_that_hold_something_else_are_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ConfigurationError, match="not empty and holds no study"):
        run(study(), tmp_path)
    with pytest.raises(ConfigurationError, match="is a file"):
        run(study(), tmp_path / "thesis.tex")
    with pytest.raises(ConfigurationError, match="there is no study.json in it; name the directory"):
        read_results(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_seeds_that_were_tuned_on_and_workers_that_are_none_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=re.escape("cannot report seeds [1000]")):
        run(study(), tmp_path / "out", seeds=(0, 1000))
    with pytest.raises(ConfigurationError, match="cannot run with 0 workers"):
        run(study(), tmp_path / "out", workers=0)
    assert not (tmp_path / "out").exists()


def test_a_second_process_is_refused(tmp_path):
    run(study(), tmp_path)
    with locked(tmp_path, what="study"), pytest.raises(ConfigurationError, match="another process is at work on it"):
        run(study(), tmp_path)


def test_an_interruption_says_what_is_kept(tmp_path, capsys):
    def interrupted(draw, directory):
        if draw.seed == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="interrupted: 4 of 8 runs are finished and kept; the same command"):
        run(study(before=interrupted), tmp_path)
    results = run(study(), tmp_path, progress=True)
    assert "4 of 8 runs are finished already and kept." in capsys.readouterr().out
    assert set(results.table["status"]) == {"finished"}


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_no_result(tmp_path, workers):
    results = run(study(before=tiny_study.too_hot), tmp_path, workers=workers)
    assert list(results.table["value"].round(3).fillna(-1)) == [8.0, 12.0, 8.0, 12.0, 8.125, 12.125, -1, 12.25]


def test_a_worker_that_is_killed_costs_nothing_and_the_table_is_that_of_an_undisturbed_study(tmp_path):
    undisturbed = run(study(), tmp_path / "one")
    disturbed = run(study(before=tiny_study.killed_once), tmp_path / "two", workers=2)
    assert (tmp_path / "two" / "cells" / "accident").exists()
    pd.testing.assert_frame_equal(without_time(disturbed.table), without_time(undisturbed.table))


def test_a_study_that_is_killed_goes_on_and_ends_with_the_table_of_an_undisturbed_one(tmp_path):
    """SIGKILL of the study itself, with a cell finished and two begun; then the same command again."""
    script = tmp_path / "study_of_draws.py"
    script.write_text(
        "import sys\n"
        "from samnesia.study.engine.run import run_study\n"
        "from tests.study.tiny_study import held_until_killed, study\n"
        "if __name__ == '__main__':\n"
        "    run_study(study(before=held_until_killed), sys.argv[1], workers=2)\n"
    )
    call, cells = [sys.executable, script, tmp_path / "cut"], tmp_path / "cut" / "cells"
    options = {"env": os.environ | {"PYTHONPATH": os.getcwd()}, "stdout": subprocess.DEVNULL}
    with subprocess.Popen(call, **options) as process:
        while not (cells / "held").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
    assert 0 < len(list(cells.glob("*/result.json"))) < 8
    assert subprocess.run(call, **options, timeout=120).returncode == 0
    whole = run(study(), tmp_path / "whole").table
    pd.testing.assert_frame_equal(without_time(read_results(tmp_path / "cut").table), without_time(whole))


def test_a_cell_that_always_ends_its_worker_is_reported_and_the_others_end(tmp_path):
    results = run(study(before=tiny_study.always_killed), tmp_path, workers=2)
    (failed,) = results.table[results.table["status"] != "finished"].itertuples()
    assert failed.directory == "cells/sam,steps-seed0"
    assert "ended from outside, twice" in failed.reason
