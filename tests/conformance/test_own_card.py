"""Our own methods hold every row, or say why a row is not about them."""

from pathlib import Path

import pytest

from samnesia.conformance import ROWS, load, run_row
from samnesia.conformance.rows import distributed

OURS = Path(__file__).resolve().parents[2] / "benchmarks" / "conformance_peers" / "ours.py"

NOT_APPLICABLE = {
    "sam": set(),
    "asam": {"3"},
    "gsam": {"3"},
    "random_perturbation": {"3", "4", "21", "22", "26", "27", "29", "33", "48", "57", "58", "62a"}
    | {"47a", "47b", "47c", "47d"},
    "as_optimizer": {"32", "33", "48", "56", "67"},
    "two_step": {"32", "33", "48", "56", "60", "61", "67", "68"},
}
FAILS = {"as_optimizer": {"72"}}  # it is the closure form: a scaler needs the loop over passes()


def outcomes(method, pair, rows):
    results = [run_row(row, load(f"{OURS}:{method}", pair=pair)) for row in rows]
    return {result.row: result for result in results}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_sam_holds_every_row(pair, row):
    (result,) = outcomes("sam", pair, [row]).values()
    assert result.status == "pass", result.evidence


@pytest.mark.parametrize("method", [name for name in NOT_APPLICABLE if name != "sam"])
def test_the_others_hold_every_row_that_is_about_them(pair, method):
    rows = ROWS if method in ("asam", "gsam") else [row for row in ROWS if row not in distributed.ROWS]
    found = outcomes(method, pair, rows)
    failed = {result.row: result.evidence for result in found.values() if result.status == "fail"}
    assert failed.keys() == FAILS.get(method, set()), failed
    skipped = {result.row for result in found.values() if result.status == "n/a"}
    assert skipped == NOT_APPLICABLE[method] & {row.id for row in rows}
    assert all(result.evidence for result in found.values() if result.status != "pass")
