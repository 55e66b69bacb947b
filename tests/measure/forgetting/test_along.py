"""Forgetting along training, and its figures."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from samnesia.measure.forgetting.along import forgetting_course, sharpness_course
from samnesia.measure.forgetting.figures import (
    draw_forgetting,
    draw_forgetting_along,
    forgetting_along_figure,
    forgetting_figure,
)
from samnesia.measure.forgetting.probes import CommonProbe
from samnesia.measure.forgetting.probing import probe_forgetting
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError
from tests.measure.forgetting.test_probes import batches, net


def estimate(value: float | None, error: float | None) -> dict:
    """As it is written."""
    return {"value": value, "error": error, "count": 4}


def line(epoch: float, value: float | None, *, own: bool = True) -> dict:
    """As a run records it."""
    cells = {"running": {"training": {"all": {"superfluous": estimate(value, 0.1), "useful": estimate(value, None)}}}}
    forgetting = {"own": {"values": cells} if own else None, "common": {"values": cells}}
    return {
        "step": int(10 * epoch),
        "epoch": epoch,
        "forgetting": forgetting,
        "sharpness": {"values": {"running": estimate(2.0, 0.5)}},
    }


LINES = [line(0.0, 1.0, own=False), line(4.0, 3.0), line(5.0, None), {"step": 55, "epoch": 5.5, "cannot": "be"},
         line(6.0, 5.0), line(9.0, 2.0)]  # fmt: skip


def test_a_course_has_the_points_that_there_are_and_means_over_epochs():
    course = forgetting_course(LINES, "superfluous")
    assert course.steps == (0, 40, 60, 90)
    assert course.values == (1.0, 3.0, 5.0, 2.0)
    assert course.run == pytest.approx((4.0 * 2.0 + 2.0 * 4.0 + 3.0 * 3.5) / 9.0)
    assert course.last_third == pytest.approx(3.5)
    assert course.last == 2.0
    own = forgetting_course(LINES, "useful", probe="own")
    assert own.epochs == (4.0, 6.0, 9.0)
    assert all(math.isnan(error) for error in own.errors)
    assert forgetting_course(LINES[-1:], "useful").run == 2.0
    assert sharpness_course(LINES).values == (2.0,) * 5
    even = [line(float(epoch), 1.0 + epoch) for epoch in (0.0, 0.1, 0.2, 8.0)]
    assert forgetting_course(even, "useful").run == pytest.approx(5.0)  # wherever the points lie


def test_what_was_not_recorded_is_refused():
    for options in ({"probe": "other"}, {"split": "exposed"}, {"group": "flipped"}, {"statistics": "batch"}):
        with pytest.raises(ConfigurationError, match="recorded on no step"):
            forgetting_course(LINES, "superfluous", **options)
    with pytest.raises(ConfigurationError, match="m-sharpness / batch"):
        sharpness_course(LINES, statistics="batch")


def test_lines_are_drawn_by_run_and_probe():
    axes = Figure().subplots()
    draw_forgetting_along(axes, {"SAM": LINES, "SGD": [line(e, 1.0, own=False) for e in (0.0, 9.0)]})
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["SAM, own", "SAM, common", "SGD, common"]
    assert axes.get_xlabel() == "epoch" and "superfluous" in axes.get_ylabel()
    own, common, _ = axes.get_lines()[:3]
    assert list(common.get_ydata()) == [1.0, 3.0, 5.0, 2.0]
    assert own.get_linestyle() != common.get_linestyle() and own.get_color() == common.get_color()
    with pytest.raises(ConfigurationError, match="no run has recorded it"):
        draw_forgetting_along(axes, {"SAM": LINES}, "hidden")
    figure = forgetting_along_figure({"SAM": iter(LINES)})
    assert len(figure.axes) == 2
    figure.draw_without_rendering()


def test_bars_are_drawn_by_group_and_model():
    subject = Subject(net(), F.cross_entropy, batches())
    groups = {"even": torch.arange(40) % 2 == 0, "odd": torch.arange(40) % 2 == 1}
    results = {
        name: probe_forgetting(subject, CommonProbe(rho=rho), groups=groups) for name, rho in (("a", 0.2), ("b", 0.5))
    }
    axes = Figure().subplots()
    draw_forgetting(axes, results, "useful")
    heights = [bar.get_height() for bar in axes.patches]
    expected = [results[name].of("useful", group=g).value for name in results for g in ("all", "even", "odd")]
    assert heights == pytest.approx(expected)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["all samples", "even", "odd"]
    figure = forgetting_figure(results)
    assert len(figure.axes) == 2
    figure.draw_without_rendering()
    one = forgetting_figure({"a": probe_forgetting(subject, CommonProbe(rho=0.2), perturbations=1)}, ("input_exposed",),
                            split="exposed")  # fmt: skip
    one.draw_without_rendering()
    with pytest.raises(ConfigurationError, match="nothing to see"):
        draw_forgetting(axes, {})
    with pytest.raises(ConfigurationError, match="cannot find"):
        draw_forgetting(axes, results, "hidden")
