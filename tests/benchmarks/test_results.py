"""The committed tables and figures show the numbers of the committed runs, and nothing else."""

import json

from benchmarks.stepcost.command import FIGURES, RESULTS, SUITES
from benchmarks.stepcost.figure import label, named
from benchmarks.stepcost.summary import is_floor, lines, report

COMMITTED = {"step_cost_cpu.json": SUITES["cpu"], "step_cost_family_cpu.json": SUITES["family"]}
RUNS = [(path, json.loads(path.read_text())) for path in sorted(RESULTS.glob("step_cost_*.json"))]


def test_the_runs_are_whole_ones():
    assert {path.name for path, _ in RUNS} == COMMITTED.keys()
    for path, run in RUNS:
        suite = COMMITTED[path.name]
        assert run.get("suite", "step_cost") == suite.name  # older runs do not say
        assert run["settings"]["rounds"] >= suite.rounds
        assert [problem["name"] for problem in run["problems"]] == [problem.name for problem in suite.problems()]
        for problem in run["problems"]:
            assert [row["name"] for row in problem["rows"]] == [row.name for row in suite.rows]


def test_the_tables_are_made_of_them():
    for path, run in RUNS:
        assert path.with_suffix(".md").read_text() == report(run)


def test_the_figures_are_made_of_them():
    for path, run in RUNS:
        for name in (f"{path.stem}.svg", f"{path.stem}-dark.svg"):
            drawn = (FIGURES / name).read_text()
            for problem in run["problems"]:
                assert f">{problem['title']}, batch {problem['batch']}<" in drawn
                for line in (line for line in lines(problem) if not is_floor(line)):
                    assert f">{named(line)}<" in drawn or problem is not run["problems"][0]
                    assert f">{label(line)}<" in drawn
