"""Every row sees the mistake it is there for, and no row sees another: mutants fail exactly the rows they should."""

import pytest

from samnesia.conformance import ROWS, Candidate, run_row
from samnesia.conformance.rows import distributed
from tests.conformance import mutants

IN_PROCESS = [row for row in ROWS if row not in distributed.ROWS]
SLOW = {"54", "70"}  # a second each: of the mutants, those that are about them


def failing(candidate, rows):
    results = [run_row(row, candidate) for row in rows]
    return {result.row: result.evidence for result in results if result.status == "fail"}


@pytest.mark.parametrize("row", IN_PROCESS, ids=lambda row: row.id)
def test_the_reference_holds_every_row(row):
    result = run_row(row, Candidate(mutants.reference))
    allowed = {"pass", "n/a"} if row.id == "48" else {"pass"}
    assert result.status in allowed, result.evidence


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=str)
def test_a_mutant_fails_the_rows_it_should(mutant):
    expected = set(mutant.breaks.split())
    rows = [row for row in IN_PROCESS if row.id in expected or row.id not in SLOW]
    found = failing(Candidate(mutant.make), rows)
    assert found.keys() == expected, found
