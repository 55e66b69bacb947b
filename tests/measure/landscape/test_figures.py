"""Figures: what they show is what was measured."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch

from samnesia.measure.landscape import figures
from samnesia.measure.landscape.connection import connect
from samnesia.measure.landscape.contours import colour_map, spaced_levels
from samnesia.measure.landscape.directions import random_direction
from samnesia.measure.landscape.escaping import escape
from samnesia.measure.landscape.lines import Line, line
from samnesia.measure.landscape.planes import Plane, plane, trajectory_plane
from samnesia.perturb.errors import ConfigurationError
from tests.measure.landscape.subjects import convolutional, perceptron, quadratic, seen
from tests.measure.landscape.test_connection import permuted


def texts(figure) -> str:
    """All that is written on it, once drawn; drawing raises no warning."""
    figure.savefig(io.BytesIO(), format="png", dpi=60)
    import matplotlib.text

    return " | ".join(t.get_text() for t in figure.findobj(matplotlib.text.Text))


def test_lines_have_a_curve_and_a_name_each():
    found = {label: line(convolutional(), random_direction(convolutional()), points=5) for label in ("SGD", "SAM")}
    figure = figures.lines_figure(found)
    assert len(figure.axes) == 2  # loss and error rate
    curves = {one.get_label(): one.get_ydata() for one in figure.axes[0].lines}
    assert tuple(curves["SAM"]) == found["SAM"].losses
    assert "position along the random direction (seed 0)" in texts(figure)
    assert figure.get_facecolor() == (1.0, 1.0, 1.0, 1.0)


def test_steep_lines_are_logarithmic_and_gaps_are_gaps():
    steep = Line("way", (0.0, 0.5, 1.0), (0.001, 5.0, math.inf), None, 1.0, "", 1)
    axes = figures.lines_figure({"a": steep}).axes
    assert len(axes) == 1 and axes[0].get_yscale() == "log"
    assert math.isnan(axes[0].lines[-1].get_ydata()[2])
    flat = Line("way", (0.0, 1.0), (1.0, 2.0), None, 1.0, "", 1)
    assert figures.lines_figure({"a": flat}).axes[0].get_yscale() == "linear"


def test_a_plane_is_drawn_true_to_scale_with_named_levels():
    subject = quadratic([1.0, 30.0], [0.1, 0.1])
    axes = torch.eye(2, dtype=torch.float64)
    found = plane(subject, ([axes[0]], [axes[1]]), points=9)
    figure = figures.plane_figure(found)
    assert figure.axes[0].get_aspect() == 1.0
    written = texts(figure)
    assert "loss" in written and "given direction" in written


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        (((1.0, 1.0), (1.0, 1.0)), "loss is 1 everywhere"),
        (((math.nan,) * 2,) * 2, "loss is nowhere finite"),
        (((1.0, 2.0), (math.inf, 4.0)), "loss"),
        (((-1.0, 2.0), (0.0, 4.0)), "loss"),
    ],
)
def test_planes_without_contours_say_so(losses, said):
    found = Plane(("a", "b"), (-1.0, 1.0), (-1.0, 1.0), losses, None, (1.0, 1.0), 0.0, "", 1)
    assert said in texts(figures.plane_figure(found))


def test_a_trajectory_has_its_ends_and_its_share_of_variance():
    subject = quadratic([1.0, 9.0], [0.0, 0.0])
    path = [[torch.tensor(p, dtype=torch.float64)] for p in ([3.0, 1.0], [1.0, -0.5], [0.0, 0.0])]
    found = trajectory_plane(subject, path, points=7)
    figure = figures.trajectory_figure(found)
    drawn = [tuple(map(float, point)) for point in zip(*figure.axes[0].lines[1].get_data(), strict=True)]
    assert drawn == [pytest.approx(point) for point in found.path]
    written = texts(figure)
    assert f"1st principal direction ({found.explained[0]:.1%} of variance)" in written
    assert "first checkpoint" in written and "last checkpoint" in written


def test_a_connection_marks_its_barrier_and_none_where_there_is_none():
    model = perceptron(8, steps=120)
    found = connect(seen(model), permuted(model), held_out=seen(model))
    figure = figures.connection_figure(found)
    written = texts(figure)
    assert f"barrier {found.train.loss_barrier.height:.3g}" in written
    assert "training (60)" in written and "held-out (60)" in written
    assert found.train.error_barrier is not None
    assert f"barrier {100 * found.train.error_barrier.height:.1f} points" in written
    assert "barrier" not in texts(figures.connection_figure(connect(seen(model), model)))


def test_an_escape_shows_repeats_means_and_rates():
    found = escape(seen(perceptron(steps=20)), lr=0.1, steps=4, repeats=3)
    figure = figures.escape_figure(found)
    assert figure.axes[0].get_yscale() == "log"
    assert f"SAM, rho = 0.05: {found.perturbed.rate.value:+.3g} per step" in texts(figure)
    above = escape(quadratic([1.0], [0.1]), lr=1e60, steps=5, repeats=1, floor=0.001)
    assert "loss above 0.001" in texts(figures.escape_figure(above))


def test_error_rates_of_a_loss_without_classes_cannot_be_drawn():
    found = line(quadratic([1.0], [1.0]), [torch.ones(1, dtype=torch.float64)], points=3)
    axes = figures.lines_figure({"a": found}).axes[0]
    with pytest.raises(ConfigurationError, match="error rates of a criterion without classes"):
        figures.draw_lines(axes, {"a": found}, errors=True)


@pytest.mark.parametrize(("low", "high"), [(1e-4, 30.0), (0.5, 0.51), (-1.0, 3.0), (0.0, 1e-9), (2.0, 2.0000001)])
def test_levels_rise_and_hold_all_values(low: float, high: float):
    levels = spaced_levels(low, high)
    assert len(levels) == 13 and all(a < b for a, b in zip(levels, levels[1:], strict=False))
    assert levels[0] <= low and levels[-1] >= high
    assert levels[1] > low and levels[-2] < high


def test_colours_grow_darker_all_the_way():
    red, green, blue = np.array(colour_map()(np.linspace(0.0, 1.0, 64)))[:, :3].T
    assert (np.diff(0.2126 * red + 0.7152 * green + 0.0722 * blue) < 0.01).all()
