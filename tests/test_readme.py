"""README shows the numbers of the committed comparison, and nothing else."""

import json
import runpy
from pathlib import Path

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
