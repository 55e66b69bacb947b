"""Rescaling a pair of layers leaves the function alone: adaptive sharpness does not see it, plain sharpness does."""

from __future__ import annotations

import pytest

import samnesia
from samnesia.measure import EntrywiseGaussian, average_case, gradient_norm, m_sharpness, worst_case
from tests.measure.sharpness.surfaces import network, pair_of_layers

ADAPTIVE = [samnesia.ElementScaling(eta=0.0), samnesia.FilterScaling(eta=0.0), samnesia.LayerScaling(eta=0.0)]
MEASURES = {
    "worst": lambda subject, ball: worst_case(subject, 0.3, ball, steps=6).value,
    "average": lambda subject, ball: average_case(subject, 0.3, ball, directions=2).value,
    "average, entrywise": lambda subject, ball: (
        average_case(subject, 0.05, ball, directions=2, noise=EntrywiseGaussian()).value
    ),
    "per 6 samples": lambda subject, ball: m_sharpness(subject, 0.3, 6, ball).value,
    "gradient norm": lambda subject, ball: gradient_norm(subject, ball).whole,
}


@pytest.mark.parametrize("norm", [samnesia.L2(), samnesia.Linf()], ids=["L2", "Linf"])
@pytest.mark.parametrize("measure", MEASURES)
def test_adaptive_measures_are_invariant_and_plain_ones_are_not(measure: str, norm):
    def change(ball: samnesia.Ball) -> float:
        plain, scaled = (MEASURES[measure](network(model), ball) for model in models())
        return abs(scaled / plain - 1.0)

    for scaling in ADAPTIVE:
        assert change(samnesia.Ball(norm, scaling)) < 1e-8
    assert change(samnesia.Ball(norm)) > 0.05


def test_a_stabilizer_breaks_the_invariance():
    """Which is why ``eta=0`` is said."""
    ball = samnesia.Ball(scaling=samnesia.ElementScaling(eta=0.1))
    plain, scaled = (worst_case(network(model), 0.3, ball, steps=6).value for model in models())
    assert abs(scaled / plain - 1.0) > 0.01


def models():
    return pair_of_layers(), pair_of_layers().rescaled(4.0)
