"""One look for all figures of measurements."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from samnesia.measure.curvature.density import SpectralDensity
from samnesia.measure.figures import (
    COLOURS,
    DASHES,
    MARKERS,
    colour,
    dashes,
    marker,
    name_below,
    page,
    panels,
    run_samples,
    save,
    style,
    tidy,
)
from samnesia.measure.landscape.lines import Line
from samnesia.study.report.figures.style import LIGHT
from tests.measure.forgetting.test_along import LINES
from tests.measure.sharpness.test_figures import measured


def density() -> SpectralDensity:
    return SpectralDensity(np.array([[-1.0, 0.0, 5.0]]), np.full((1, 3), 1.0 / 3.0), "Hessian", 100, 3, 0.0)


def test_colours_are_those_of_a_study_and_come_round_again_without_the_first():
    assert COLOURS == LIGHT.methods
    assert [colour(place) for place in range(12)] == [LIGHT.method(place) for place in range(12)]
    assert len({marker(place) for place in range(5)}) == len(MARKERS) and marker(5) == marker(0)
    assert [dashes(place) for place in range(4)] == list(DASHES) and dashes(4) == "-"


def test_a_label_has_one_colour_in_every_figure():
    import samnesia.measure as measure

    line = Line("way", (0.0, 1.0), (1.0, 2.0), None, 1.0, "", 1)
    two = ("SGD", "SAM")
    made = {
        "density": measure.density_figure(dict.fromkeys(two, density())),
        "lines": measure.lines_figure(dict.fromkeys(two, line)),
        "forgetting": measure.forgetting_along_figure(dict.fromkeys(two, LINES), names=["useful"]),
        "sharpness": measure.sharpness_figure(measured()),
    }
    for name, figure in made.items():
        shown = [to_hex(line.get_color()) for line in figure.axes[0].lines]
        assert [one for one in dict.fromkeys(shown) if one in COLOURS] == list(COLOURS[:2]), name


def test_a_users_own_axes_are_made_tidy_with_or_without_a_frame():
    left, right = Figure().subplots(1, 2)
    left.plot([1, 2], label="a")
    tidy(left, legend=True)
    tidy(right, grid=False)
    assert [side for side, spine in left.spines.items() if spine.get_visible()] == ["left", "bottom"]
    assert all(spine.get_visible() for spine in right.spines.values())
    assert left.get_legend().get_texts()[0].get_text() == "a" and right.get_legend() is None


def test_pages_have_rows_and_the_settings_of_the_user_stay():
    before = dict(matplotlib.rcParams)
    figure = page([lambda axes: None] * 4, columns=3, width=2.0, height=1.5)
    assert len(figure.axes) == 4 and tuple(figure.get_size_inches()) == (6.0, 3.0)
    assert dict(matplotlib.rcParams) == before


def test_runs_are_named_below_those_that_are_shown_in_their_own_colours():
    figure, _ = panels(1)
    name_below(figure, run_samples(["SGD", "SAM"], shown={"SAM"}))
    (handle,) = figure.legends[0].get_lines()
    assert handle.get_color() == colour(1) and figure.legends[0].get_texts()[0].get_text() == "SAM"


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_equal_figures_are_equal_files(tmp_path, kind):
    for name in ("first", "second"):
        with style():
            figure, (axes,) = panels(1)
            axes.plot([1, 2])
            tidy(axes)
            assert {path.suffix for path in save(figure, tmp_path / name, "a")} == {".png", ".svg"}
    assert (tmp_path / "first" / f"a.{kind}").read_bytes() == (tmp_path / "second" / f"a.{kind}").read_bytes()
