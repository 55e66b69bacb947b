"""Best radii of planted curves, and what counts as one radius for several nets."""

import math

import numpy as np
import pytest

from samnesia.study.named.peaks import LEAST_GAIN, centre, exponent, peak, transfer

RADII = tuple(0.05 * 2**k for k in range(7))
PLAIN = np.full(3, 70.0)


def hill(best, *, height=20.0, width=1.5, shifts=(0.0, 0.0, 0.0)):
    """Accuracy of three seeds over the radii: a hill over the logarithm, one seed each shifted by so many steps."""
    octaves = np.log2(np.array(RADII) / best)
    return np.stack([70.0 + height * np.exp(-(((octaves - shift) / width) ** 2)) for shift in shifts])


@pytest.mark.parametrize("best", [0.2, 0.25, 0.3, 0.4, 0.55, 0.8])
def test_the_peak_of_a_hill_is_found_between_the_radii_of_the_grid(best):
    rho, doubt = centre(RADII, hill(best).mean(0), 70.0)
    assert doubt == ""
    assert abs(math.log2(rho / best)) < 0.1


def test_it_is_the_weighted_mean_of_logarithms_above_half_of_the_gain():
    means = np.array([70.0, 70.0, 82.0, 90.0, 78.0, 10.0, 10.0])  # half is at 80
    rho, _ = centre(RADII, means, 70.0)
    assert rho == pytest.approx(math.exp((2 * math.log(0.2) + 10 * math.log(0.4)) / 12))


def test_no_gain_and_the_ends_of_the_grid_are_not_determined():
    assert centre(RADII, hill(0.4, height=LEAST_GAIN - 0.01).mean(0), 70.0) == (None, "no gain")
    assert centre(RADII, hill(0.4, height=LEAST_GAIN + 0.01).mean(0), 70.0)[1] == ""
    assert centre(RADII, hill(0.05).mean(0), 70.0) == (None, "edge")
    assert centre(RADII, hill(3.2).mean(0), 70.0) == (None, "edge")


def test_the_interval_holds_the_radius_and_grows_with_the_seeds_difference():
    same, apart = peak(RADII, hill(0.4), PLAIN), peak(RADII, hill(0.4, shifts=(-1.0, 0.0, 1.0)), PLAIN)
    assert same.low == pytest.approx(same.rho) == pytest.approx(same.high)
    assert apart.low < 0.32 < 0.4 < 0.5 < apart.high
    assert apart.gain < same.gain == pytest.approx(20.0)
    assert same.best == pytest.approx(0.4)


def test_an_interval_does_not_exist_where_one_draw_of_seeds_has_no_peak():
    scores = hill(0.4)
    scores[0] = 70.0 + (scores[0] - 70.0) * 0.05  # alone, the first seed gains a point
    found = peak(RADII, scores, PLAIN)
    assert found.rho is not None and found.low is None and found.high is None


@pytest.mark.parametrize(("largest", "holds"), [(0.2, True), (0.38, True), (0.45, False), (0.8, False)])
def test_one_radius_holds_up_to_one_grid_step(largest, holds):
    scores = {"a": hill(0.2), "b": hill(0.2), "c": hill(largest)}
    found = transfer(RADII, scores, dict.fromkeys(scores, PLAIN))
    assert found.holds is holds
    assert found.spread == pytest.approx(largest / 0.2, rel=0.1)
    assert found.common == pytest.approx(math.sqrt(0.2 * largest), rel=0.1)
    assert found.low == pytest.approx(found.spread) == pytest.approx(found.high)


def test_nothing_holds_where_one_net_has_no_best_radius():
    scores = {"a": hill(0.2), "b": hill(0.2, height=1.0)}
    found = transfer(RADII, scores, dict.fromkeys(scores, PLAIN))
    assert not found.holds and found.common is None and found.spread is None


def test_the_exponent_of_a_power_law_is_found():
    widths = (32, 64, 128, 256, 512)
    assert exponent(widths, [0.3 * width**0.5 for width in widths]) == pytest.approx(0.5)
    assert exponent(widths, [0.3] * 5) == pytest.approx(0.0, abs=1e-12)
