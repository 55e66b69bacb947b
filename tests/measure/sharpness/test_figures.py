"""Sharpness against the radius."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

import samnesia
from samnesia.measure import (
    EntrywiseGaussian,
    Estimate,
    average_case,
    draw_sharpness,
    m_sharpness,
    sharpness_figure,
    worst_case,
)
from samnesia.perturb.errors import ConfigurationError
from tests.measure.sharpness.surfaces import two_weights

RADII = (0.0, 0.05, 0.1, 0.2)


def measured():
    return {
        label: [
            one
            for rho in RADII
            for one in (
                worst_case(two_weights(case), rho, steps=2),
                average_case(two_weights(case), rho, directions=2),
                m_sharpness(two_weights(case), rho, 5),
            )
        ]
        for label, case in {"SGD": "convex", "SAM": "wave"}.items()
    }


def test_a_curve_per_model_and_measure_with_bars_and_what_the_radius_means(tmp_path):
    results = measured()
    figure = sharpness_figure(results)
    [axes] = figure.axes
    assert len(axes.containers) == 6
    curve, _, (bars,) = axes.containers[0]
    worst = [one for one in results["SGD"] if one.measure.startswith("worst")][1:]
    assert list(curve.get_xdata()) == [one.rho for one in worst]
    assert list(curve.get_ydata()) == [one.value for one in worst]
    heights = [high - low for (_, low), (_, high) in (segment for segment in bars.get_segments())]
    assert heights == pytest.approx([2 * one.error for one in worst])
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["SGD", "SAM", "worst-case sharpness", "average-case sharpness", "5-sharpness"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.05", "0.1", "0.2"]
    assert axes.get_xlabel() == "rho (‖e‖₂ ≤ rho)" and axes.get_xscale() == "log"
    looks = {(c.lines[0].get_color(), c.lines[0].get_marker()) for c in axes.containers}
    assert len(looks) == 6  # apart also without colour
    figure.savefig(tmp_path / "sharpness.png", dpi=100)
    assert (tmp_path / "sharpness.png").stat().st_size > 5000


def test_negative_rises_have_a_linear_scale():
    one = worst_case(two_weights(), 0.1, steps=1)
    down = replace(one, rise=Estimate(-0.1, math.nan, 1))
    axes = sharpness_figure({"SAM": [one, replace(down, rho=0.2)]}).axes[0]
    assert axes.get_yscale() == "linear"


def test_what_has_no_place_is_left_out_or_refused():
    one = worst_case(two_weights(), 0.1, steps=1)
    infinite = replace(one, rise=Estimate(math.inf, math.nan, 1), rho=0.2)
    axes = sharpness_figure({"SAM": [one, infinite], "SGD": []}).axes[0]
    assert len(axes.containers) == 1 and list(axes.containers[0][0].get_xdata()) == [0.1]
    other = replace(one, ball=samnesia.Ball(samnesia.Linf()))
    with pytest.raises(ConfigurationError, match="2 meanings of rho on one axis"):
        draw_sharpness(axes, {"SAM": [one, other]})
    entrywise = average_case(two_weights(), 0.1, directions=1, noise=EntrywiseGaussian())
    with pytest.raises(ConfigurationError, match="e ~ N"):
        draw_sharpness(axes, {"SAM": [one, entrywise]})
    with pytest.raises(ConfigurationError, match="no result has a positive radius"):
        draw_sharpness(axes, {"SAM": [infinite], "SGD": []})
