"""The measurement behind docs/m_sharpness.md, and the page."""

import json
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_documentation_shows_what_was_measured():
    script = runpy.run_path(str(ROOT / "benchmarks" / "m_sharpness.py"))
    results = json.loads((ROOT / "benchmarks" / "results" / "m_sharpness.json").read_text())
    document = (ROOT / "docs" / "m_sharpness.md").read_text()
    assert script["with_table"](document, results) == document
    assert script["table"](results) in document
    assert [net["title"] for net in results["nets"]] == [title for title, _ in script["NETS"].values()]
    for net in results["nets"]:
        assert tuple(row["m"] for row in net["rows"]) == script["MICRO_BATCHES"]
        for row in net["rows"]:
            assert all(row[form]["relative_difference"] < 1e-5 for form in script["FORMS"][1:] if form in row)


def test_the_interval_of_the_benchmark_is_of_the_median():
    interval = runpy.run_path(str(ROOT / "benchmarks" / "m_sharpness.py"))["interval_of_the_median"]
    assert interval([float(value) for value in range(1, 16)]) == (4.0, 12.0)  # 96.5 %; the next pair has 88.2 %
    assert interval([3.0, 1.0, 2.0]) == (1.0, 3.0)
