"""Two processes that share the samples measure what one measures."""

from __future__ import annotations

import pytest

from tests.measure.sharpness import jobs


@pytest.mark.parametrize("ball", ["L2 unscaled", "Linf element"])
def test_two_processes_equal_one(pair, ball: str):
    alone, together = jobs.sharpness(ball), pair.run(jobs.sharpness, ball)
    assert together[0] == together[1]
    for measure, values in alone.items():
        assert together[0][measure] == pytest.approx(values, rel=1e-9), measure


def test_an_m_larger_than_every_share_is_refused_by_all(pair):
    for sentence in pair.run(jobs.too_large, 20):
        assert "no process has so many samples" in sentence
