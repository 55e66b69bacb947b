"""Configurations as plain values: what differs between two of them."""

from samnesia.train.config import SAM, RunConfig
from samnesia.train.plain import differences, flatten


def test_differences_name_entries_that_only_one_side_has():
    sgd, sam = (config.to_json() for config in (RunConfig("one"), RunConfig("one", method=SAM())))
    found = differences(sgd, sam)
    assert 'method.kind: "Unperturbed" -> "SAM"' in found
    assert "method.rho: absent -> 0.05" in found
    assert differences(sgd, sgd) == []


def test_flatten_keeps_empty_mappings_and_lists_as_values():
    assert flatten({"a": {"b": 1, "c": {"d": [1, 2]}}, "e": {}}) == {"a.b": 1, "a.c.d": [1, 2], "e": {}}
