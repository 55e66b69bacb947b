"""Two processes: what is wrong on shards alone, and a hang that ends."""

from pathlib import Path

from samnesia.conformance import ROWS, load, run_row
from samnesia.conformance.rows import distributed
from tests.conformance import mutants


def failing(function, pair, rows):
    candidate = load(f"{Path(mutants.__file__)}:{function}", pair=pair)
    results = [run_row(row, candidate) for row in rows]
    return {result.row: result.evidence for result in results if result.status != "pass"}


def test_the_reference_holds_every_distributed_row(pair):
    assert failing("reference", pair, distributed.ROWS) == {}


def test_rebinding_data_is_seen_on_shards_alone(pair):
    found = failing("rebinds_data", pair, [row for row in ROWS if row.id not in ("48", "54", "70")])
    assert found.keys() == {"62a", "62b"}, found
    assert "drifted by" in found["62b"]


def test_a_hang_is_a_failure_in_words(pair):
    assert failing("reference", pair, distributed.ROWS[:1]) == {}  # the processes are there, and warm
    pair.limit = 3.0
    found = failing("waits_for_rank_zero", pair, [row for row in distributed.ROWS if row.id == "61"])
    assert found["61"] == "hung: 2 of two processes had not ended after 3 s"
    assert not pair.started
