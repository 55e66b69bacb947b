"""The committed tables and figures show the numbers of the committed runs, and nothing else."""

import json

from benchmarks.stepcost.command import FIGURES, RESULTS
from benchmarks.stepcost.figure import label, named
from benchmarks.stepcost.rows import ROWS
from benchmarks.stepcost.summary import lines, report

RUNS = [(path, json.loads(path.read_text())) for path in sorted(RESULTS.glob("step_cost_*.json"))]


def test_the_runs_are_whole_ones():
    assert "step_cost_cpu.json" in {path.name for path, _ in RUNS}
    for _, run in RUNS:
        assert run["settings"]["rounds"] >= 15
        assert len(run["problems"]) == 3
        for problem in run["problems"]:
            assert [row["name"] for row in problem["rows"]] == [row.name for row in ROWS]


def test_the_tables_are_made_of_them():
    for path, run in RUNS:
        assert path.with_suffix(".md").read_text() == report(run)


def test_the_figures_are_made_of_them():
    for path, run in RUNS:
        for name in (f"{path.stem}.svg", f"{path.stem}-dark.svg"):
            drawn = (FIGURES / name).read_text()
            for problem in run["problems"]:
                assert f">{problem['title']}, batch {problem['batch']}<" in drawn
                for line in lines(problem)[2:]:
                    assert f">{named(line)}<" in drawn or problem is not run["problems"][0]
                    assert f">{label(line)}<" in drawn
