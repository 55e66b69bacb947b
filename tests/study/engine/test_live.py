"""What a study shows while it runs, and how long it thinks it takes."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from samnesia.study.design import Factor
from samnesia.study.engine.live import Live, display
from samnesia.study.engine.plan import make_plan
from samnesia.study.engine.pool import Ended, Here
from samnesia.study.engine.remaining import Clock, spoken
from tests.study import tiny_study
from tests.study.tiny_study import study


def screen(**options):
    return Console(file=io.StringIO(), **({"width": 100, "height": 30} | options))


def text(live, console):
    """The table as it stands, a line per row."""
    with console.capture() as captured:
        console.print(live.table())
    return [re.sub(r" +", " ", line).strip() for line in captured.get().splitlines() if line.strip()]


def do(job):
    job.directory.mkdir(parents=True, exist_ok=True)
    return Ended(job, job.do())


def test_off_a_terminal_there_is_a_line_per_ended_cell(tmp_path, capsys):
    console, plan = screen(width=80), make_plan(study(before=tiny_study.too_hot), tmp_path)
    with display(tiny_study.design(), plan.jobs, len(plan.jobs), console, progress=True) as shown:
        for job in plan.jobs:
            shown.begun(job)
            shown.ended(replace(do(job), warnings=("mind the gap",) if job.seed else ()))
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 8
    assert lines[0] == "1/8 sgd, steps, seed 0: figure drawn 8.0 %, 2.0 s"
    assert lines[6] == "7/8 sam, steps, seed 1: failed: ValueError: too hot"
    assert capsys.readouterr().err.splitlines()[0] == "samnesia: warning: sgd, steps, seed 1: mind the gap"


def test_quiet_is_quiet_but_for_warnings(tmp_path, capsys):
    console, plan = screen(force_terminal=True), make_plan(study(), tmp_path)
    with display(tiny_study.design(), plan.jobs, 8, console, progress=False) as shown:
        shown.ended(replace(do(plan.jobs[0]), warnings=("mind the gap",)))
    assert console.file.getvalue() == ""
    assert "sgd, steps, seed 0: mind the gap" in capsys.readouterr().err


def test_the_table_has_a_row_per_design_cell_with_counts_the_mean_so_far_and_the_time_left(tmp_path):
    console, plan = screen(), make_plan(study(before=tiny_study.too_hot), tmp_path)
    do(plan.jobs[0])  # kept from an earlier call
    live = Live(console, tiny_study.design(), plan.jobs)
    assert text(live, console) == [
        "method budget done running failed figure drawn",
        "sgd steps 1/2 8.0 %",
        "sgd gradients 0/2",
        "sam steps 0/2",
        "sam gradients 0/2",
        "1 of 8 runs, 0 running, 14 s left",
    ]
    for job in plan.jobs[4:]:
        live.begun(job)
    live.ended(do(plan.jobs[4]))
    live.ended(do(plan.jobs[6]))
    assert text(live, console)[1:] == [
        "sgd steps 2/2 8.1 %",
        "sgd gradients 0/2 1",
        "sam steps 0/2 1",
        "sam gradients 0/2 1",
        # three cells of 2.5 s, and two that are half done, of 2.5 s each, two at a time
        "2 of 8 runs, 2 running, 1 failed, 5 s left",
    ]
    assert "sam, steps, seed 1: failed: ValueError: too hot" in console.file.getvalue()


@pytest.mark.parametrize(
    ("height", "names"),
    [(30, ["method", "budget", "problem"]), (12, ["method", "problem"]), (10, ["method", "budget"])],
)
def test_a_small_screen_gets_the_rows_that_it_has_room_for(tmp_path, height, names):
    factors = (Factor("method", ("sgd", "sam")), Factor("budget", ("a", "b")), Factor("problem", ("c", "d", "e")))
    plan = make_plan(study(factors=factors), tmp_path)
    console = screen(height=height)
    live = Live(console, tiny_study.design(factors=factors), plan.jobs)
    heading, *rows, _ = text(live, console)
    assert heading.split()[: len(names)] == names
    assert len(rows) <= height - 6
    assert sum(int(row.split()[len(names)].split("/")[1]) for row in rows) == 24


def test_on_a_terminal_the_table_is_drawn_and_taken_away(tmp_path):
    console, plan = screen(force_terminal=True), make_plan(study(), tmp_path)
    with display(tiny_study.design(), plan.jobs, 8, console, progress=True) as shown:
        for ended in Here().run(plan.jobs):
            shown.begun(ended.job)
            shown.ended(ended)
    output = console.file.getvalue()
    assert "figure drawn" in output
    assert output.endswith("\x1b[2K") or "\x1b[2K" in output[-200:]


def test_an_authors_mistake_about_progress_ends_nothing(tmp_path, monkeypatch):
    def broken(draw, directory):
        raise RuntimeError("not my day")

    monkeypatch.setattr(tiny_study.Draw, "done", broken)
    console, plan = screen(), make_plan(study(), tmp_path)
    do(plan.jobs[0])
    live = Live(console, tiny_study.design(), plan.jobs)
    live.begun(plan.jobs[1])
    assert "1 running, 14 s left" in text(live, console)[-1]


def test_a_job_is_expected_to_take_as_long_as_those_of_its_cell_or_its_method_or_all(tmp_path):
    jobs = make_plan(study(), tmp_path).jobs
    clock = Clock("method")
    assert clock.expects(jobs[0]) is None and clock.left([(jobs[0], 0.0)], 2) is None
    clock.note(jobs[0], 10.0)  # sgd, steps
    clock.note(jobs[2], 30.0)  # sam, steps
    assert [clock.expects(job) for job in jobs[:4]] == [10.0, 10.0, 30.0, 30.0]
    clock.note(jobs[4], 20.0)
    assert clock.expects(jobs[0]) == 15.0
    assert clock.left([(jobs[0], 0.0), (jobs[1], 0.0), (jobs[2], 0.5)], 2) == 22.5
    assert clock.left([(jobs[0], 0.0), (jobs[2], 0.0)], 8) == 30.0  # no job is shared
    assert clock.left([], 2) == 0.0


def test_times_as_a_person_says_them():
    assert [spoken(seconds) for seconds in (None, 0.2, 59, 60, 800, 3600, 12_000)] == [
        "", "1 s", "59 s", "1 min", "13 min", "1 h 0 min", "3 h 20 min",
    ]  # fmt: skip
