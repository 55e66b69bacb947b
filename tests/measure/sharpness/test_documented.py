"""The table of the docs is made of the committed run."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.sharpness_climbs import RESULTS, table

DOCUMENT = Path(__file__).parents[3] / "docs" / "sharpness.md"


def test_the_table_shows_the_committed_numbers():
    rows = json.loads(RESULTS.read_text())["rows"]
    assert len({row["seed"] for row in rows}) == 6
    assert table(rows) in DOCUMENT.read_text()
