"""Every row sees the mistake it is there for, and no row sees another: mutants fail exactly the rows they should."""

from pathlib import Path

import pytest

from samnesia.conformance import ROWS, Candidate, load, run_row
from samnesia.conformance.pair import Pair
from samnesia.conformance.rows import distributed
from tests.conformance import mutants

IN_PROCESS = [row for row in ROWS if row not in distributed.ROWS]
SLOW = {"54", "70"}  # a second each: of the mutants, those that are about them


@pytest.fixture(scope="module")
def pair():
    pair = Pair()
    yield pair
    pair.close()


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
    found = failing(Candidate(lambda setup: mutants.subject(mutant.method(setup))), rows)
    assert found.keys() == expected, found


def of_file(function, pair):
    return load(f"{Path(mutants.__file__)}:{function}", pair=pair)


def test_the_reference_holds_every_distributed_row(pair):
    assert failing(of_file("reference", pair), distributed.ROWS) == {}


def test_rebinding_data_is_seen_on_shards_alone(pair):
    found = failing(of_file("rebinds_data", pair), ROWS)
    assert found.keys() == {"62a", "62b"}, found
    assert "drifted by" in found["62b"]


def test_a_hang_is_a_failure_in_words(pair):
    pair.limit = 3.0
    found = failing(of_file("waits_for_rank_zero", pair), [row for row in distributed.ROWS if row.id == "61"])
    assert found["61"] == "hung: 2 of two processes had not ended after 3 s"
    assert not pair.started
