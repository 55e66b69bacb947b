"""Figures of few methods and of the whole family: every one fits, and marks stand where their numbers are."""

import numpy as np
import pytest

from samnesia.study import report
from samnesia.study.report.contexts import Grid
from samnesia.study.report.figures import style
from samnesia.study.report.figures.cost import GRADIENTS, MOVED, Scene
from samnesia.study.report.figures.curves import PICKED
from samnesia.study.report.judged import Judged
from samnesia.study.report.summary import summarize
from tests.study import synthetic

PASSES = (1.0, *[1.95] * 8, 1.2, 2.9, 1.33)


def drawn(out, count):
    """A comparison of so many methods: summary, plates and overview."""
    names = tuple(["sgd", *(f"method-number-{place}" for place in range(1, count))])

    def run(levels, seed, epochs=6):
        place = names.index(levels["method"])
        own = np.random.default_rng([seed, place])
        curve = np.linspace(50, 80 + 10 * np.sin(place), epochs) + own.normal(0, 0.5, epochs)
        curves = {"epoch": list(range(epochs)), "test_accuracy": curve.tolist(), "flipped_fitted": curve.tolist()}
        values = {f"{point}.{key}": values[-1] for key, values in curves.items() for point in ("last", "best")}
        passes = PASSES[place % len(PASSES)]
        return values | {"gradient_evaluations": 200 * passes, "seconds": passes, "steps": 200.0}, curves

    results = synthetic.comparison(out, names, seeds=2, run=run)
    summary, grid = summarize(results), Grid(results.design, results.table)
    plates = {plate.name: plate for plate in report.make_plates(results, grid, summary, [])}
    return summary, plates, report.overview(results, grid, summary)


@pytest.mark.parametrize("count", [2, 13, 45])
def test_every_figure_fits(tmp_path, count):
    """Warnings are errors: matplotlib warns where names and axes have no room."""
    summary, plates, panels = drawn(tmp_path, count)
    with style.style_context():
        svgs = {name: plate.inline() for name, plate in plates.items()}
        overview = style.svg(style.make_panels(panels, style.LIGHT, report.overview_height(summary)))
    named = {name: sum(f">method-number-{place}<" in "".join(svg).replace("METHOD", "method") for place in range(count))
             for name, svg in svgs.items()}  # fmt: skip
    assert named["cost"] == count - 1 if count <= style.MANY else named["cost"] <= len(set(PASSES))
    assert named["test_accuracy"] in ((count - 1,) if count <= style.MANY else (PICKED, PICKED - 1))
    assert plates["scores"].height / count > 0.3 and report.overview_height(summary) / count > 0.2
    assert "method-number-1" in overview


def test_of_many_methods_the_front_and_the_best_are_named(tmp_path):
    summary, plates, _ = drawn(tmp_path, 45)
    judged = Judged.of(summary)
    scene = Scene("", "last", GRADIENTS, summary["methods"])
    named = scene.named(judged, "sgd")
    levels = {row["method"]: (row["gradient_evaluations"], row["score"]["last"]["mean"]) for row in scene.rows}
    for method, (cost, level) in levels.items():
        beaten = any(other <= cost and above > level for other, above in levels.values())
        assert (method in named) == (not beaten or method == "sgd")
    assert "no other one beats at equal or lower cost" in plates["cost"].caption
    assert f"the {PICKED} methods that end best" in plates["test_accuracy"].caption


@pytest.mark.parametrize("count", [2, 5, 45])
def test_marks_stand_near_their_costs(tmp_path, count):
    summary, _, _ = drawn(tmp_path, count)
    scene = Scene("", "last", GRADIENTS, summary["methods"])
    costs = np.array([row["gradient_evaluations"] for row in scene.rows])
    places = np.array(scene.places())
    assert np.abs(places - costs).max() <= 1.01 * MOVED * costs.max()
    assert len(set(places.round(9))) == count, "none lies on another"
