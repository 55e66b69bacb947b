"""README shows the numbers of committed runs, and nothing else."""

import json
import runpy
from pathlib import Path

from benchmarks.stepcost.summary import with_section

ROOT = Path(__file__).resolve().parent.parent


def test_the_table_is_the_one_that_the_script_makes_of_the_committed_comparison():
    script = runpy.run_path(str(ROOT / "scripts" / "update_readme.py"))
    readme = (ROOT / "README.md").read_text()
    summary = json.loads((ROOT / "docs" / "demo" / "compare.json").read_text())
    assert script["section"](summary) in readme
    assert script["with_section"](readme, summary) == readme


def test_the_figures_it_shows_are_committed():
    readme = (ROOT / "README.md").read_text()
    for name in ("overview.svg", "overview-dark.svg"):
        assert f"docs/demo/{name}" in readme
        assert (ROOT / "docs" / "demo" / name).stat().st_size > 10_000


def test_the_step_costs_are_those_of_the_committed_run():
    readme = (ROOT / "README.md").read_text()
    run = json.loads((ROOT / "benchmarks" / "results" / "step_cost_cpu.json").read_text())
    assert with_section(readme, run) == readme
    for name in ("step_cost_cpu.svg", "step_cost_cpu-dark.svg"):
        assert f"docs/step_cost/{name}" in readme
