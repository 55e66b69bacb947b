"""Figures of spectra take results and draw them."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from samnesia.measure.curvature.density import SpectralDensity
from samnesia.measure.curvature.figures import density_along_figure, density_figure, draw_density, draw_eigenvalues
from samnesia.measure.curvature.pairs import Eigenpairs, Pair
from samnesia.perturb.errors import ConfigurationError


def density(largest: float, smallest: float = -0.5) -> SpectralDensity:
    nodes = np.array([np.linspace(smallest, 0.3 * largest, 12).tolist() + [largest]])
    weights = np.full((1, 13), 1.0 / 13.0)
    return SpectralDensity(nodes, weights, "Hessian", 1000, 13, 0.0)


def pairs(*values: float) -> Eigenpairs:
    found = [Pair(value, 1e-4, [torch.ones(1)], True) for value in values]
    return Eigenpairs.by_sign(found, matrix="Hessian", products=9, tolerance=1e-3, dimension=1000, error=0.0)


def drawn(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=60)
    return file.getvalue()


def test_densities_by_label_share_a_grid_and_each_has_its_width_and_a_triangle():
    figure = density_figure({"SGD": density(40.0), "SAM": density(4.0)})
    (axes,) = figure.axes
    first, top, second, other = axes.lines
    assert [float(np.ravel(one.get_xdata())[0]) for one in (top, other)] == [40.0, 4.0]
    np.testing.assert_array_equal(first.get_xdata(), second.get_xdata())
    np.testing.assert_allclose(first.get_ydata(), density(40.0).at(first.get_xdata(), width=0.405))
    np.testing.assert_allclose(second.get_ydata(), density(4.0).at(first.get_xdata(), width=0.045))
    assert np.diff(second.get_xdata()[second.get_xdata() < 4.0]).max() < 0.045 / 2
    (axes_of_one_width,) = density_figure({"SGD": density(40.0), "SAM": density(4.0)}, width=0.405).axes
    np.testing.assert_allclose(axes_of_one_width.lines[2].get_ydata(), density(4.0).at(first.get_xdata(), width=0.405))
    assert axes.get_yscale() == "log" and axes.get_xlabel() == "eigenvalue of the Hessian"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["SGD", "SAM"]
    peak = 1.0 / (1000 * 0.405 * np.sqrt(2.0 * np.pi))  # of a single eigenvalue
    assert 0.0 < axes.get_ylim()[0] < peak
    highest = max(first.get_ydata().max(), second.get_ydata().max())
    assert highest < axes.get_ylim()[1] < 10.0 * highest
    assert drawn(figure) != drawn(density_figure({"SGD": density(40.0)}))


def test_along_training_there_is_a_row_per_label_and_a_column_per_checkpoint():
    found = {"SGD": {1: density(60.0), 50: density(12.0)}, "SAM": {1: density(20.0)}}
    figure = density_along_figure(found, pairs={"SGD": {50: pairs(12.5, 9.0, 8.0, 6.0, 5.0, -0.5)}})
    panels = np.array(figure.axes).reshape(2, 2)
    texts = [[axes.texts[0].get_text() if axes.texts else "" for axes in row] for row in panels]
    assert texts == [["λmax 60", "λmax 12.5\nλmax/λ5 2.5"], ["λmax 20", ""]]
    assert [axes.get_title() for axes in panels[0]] == ["epoch 1", "epoch 50"]
    assert [row[0].get_ylabel() for row in panels] == ["SGD", "SAM"]
    assert panels[0][0].get_xlim() == panels[1][0].get_xlim() != panels[0][1].get_xlim()
    assert panels[0][0].get_ylim() == panels[1][0].get_ylim()
    np.testing.assert_array_equal(panels[0][0].lines[0].get_xdata(), panels[1][0].lines[0].get_xdata())
    assert not panels[1][1].axison
    drawn(figure)


def test_eigenvalues_along_training():
    axes = Figure().subplots()
    draw_eigenvalues(axes, {"SGD": {10: pairs(4.0, -1.0), 0: pairs(8.0, -2.0)}, "SAM": {0: pairs(3.0)}}, unit="step")
    lines = [(line.get_xdata(), line.get_ydata()) for line in axes.lines[:3]]
    assert [tuple(y) for _, y in lines] == [(8.0, 4.0), (-2.0, -1.0), (3.0,)]
    assert [tuple(x) for x, _ in lines] == [(0, 10), (0, 10), (0,)]
    assert axes.get_xlabel() == "step"
    drawn(axes.figure)


def test_nothing_cannot_be_drawn():
    with pytest.raises(ConfigurationError, match="density of nothing"):
        draw_density(Figure().subplots(), {})
    with pytest.raises(ConfigurationError, match="there are none"):
        density_along_figure({"SGD": {}})


def test_a_flat_spectrum_has_a_picture_all_the_same():
    nothing = SpectralDensity(np.zeros((1, 2)), np.full((1, 2), 0.5), "Hessian", 5, 2, 0.0)
    drawn(density_figure({"": nothing}))
