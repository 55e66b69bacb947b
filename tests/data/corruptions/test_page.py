"""docs/corruptions.md says what the code does."""

import runpy
from pathlib import Path

from samnesia.data.corruptions import FAMILIES

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "corruptions.md").read_text(encoding="utf-8")


def test_its_tables_are_those_of_the_code_and_of_the_kept_speeds():
    made = runpy.run_path(str(ROOT / "scripts" / "update_corruptions.py"))
    assert made["with_tables"](PAGE) == PAGE, "run scripts/update_corruptions.py"
    assert made["GALLERY"].stat().st_size < 500_000


def test_it_has_every_family_in_each_table():
    for name in FAMILIES:
        assert PAGE.count(f"\n| `{name}` |") == 3, name
