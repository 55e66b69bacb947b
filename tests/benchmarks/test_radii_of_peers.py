"""The committed comparison with other implementations: whole, in agreement, and what our side still computes."""

import json

import pytest

from benchmarks.radii_of_peers import PEERS, RESULTS, TOLERANCE, compare, ours, problem

RUN = json.loads(RESULTS.read_text())


def test_every_peer_is_in_it_with_its_version():
    assert {row["source"] for row in RUN["rows"]} == {peer.source for peer in PEERS}
    assert RUN["steps"] == problem.STEPS >= 5
    assert RUN["environment"]["commit"] and RUN["date"]
    assert all(row["versions"] for row in RUN["rows"])


def test_all_agree_and_could_have_differed():
    for row in RUN["rows"]:
        assert row["difference"] <= TOLERANCE
        assert row["from unperturbed"] > 1e-3


@pytest.mark.parametrize("row", RUN["rows"], ids=lambda row: row["source"])
def test_their_weights_are_still_those_of_the_conversion(row):
    answer = {"settings": row["settings"], "weights": row["weights"]}
    [again] = compare(row["source"], {"versions": row["versions"], "answers": [answer]})
    assert again["here"] == row["here"]
    assert again["difference"] <= TOLERANCE


def test_weights_that_differ_are_seen():
    weights = (ours(None) + 1e-9).tolist()
    [row] = compare("davda54/sam", {"versions": {}, "answers": [{"settings": {"rho": 0.0}, "weights": weights}]})
    assert TOLERANCE < row["difference"] < 2e-9
