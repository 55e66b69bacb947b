"""Two processes that share the samples see the landscape that one sees."""

from __future__ import annotations

import pytest

from tests.measure.landscape import jobs


def test_two_processes_equal_one(pair):
    alone, together = jobs.landscape(), pair.run(jobs.landscape)
    assert together[0] == together[1]
    for name, values in alone.items():
        assert together[0][name] == pytest.approx(values, rel=1e-11), name
