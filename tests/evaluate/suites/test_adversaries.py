"""The suite adversaries: what it measures, tells and draws."""

import math
from dataclasses import dataclass, replace

import pytest
import torch

from samnesia.data.problem import Problem, TensorSplit
from samnesia.evaluate.suites import SUITES
from samnesia.evaluate.suites.adversaries import Adversaries
from samnesia.examine.bench import Look
from samnesia.examine.parts.part import Entry
from samnesia.measure.figures import style
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.loaded import load

SMALL = Adversaries(linf=(8 / 255, 0.1), l2=(0.5,), steps=3)


@dataclass
class Bench:
    found: object
    look: Look

    def loaded(self, place):
        return self.found


@pytest.fixture(scope="module")
def values(trained):
    look = Look(split="test", samples=100, batch_size=50)
    return {name: SMALL.measure(Bench(load(path), look), None) for name, path in trained.items()}


def test_scores_are_accuracies_and_losses(values):
    scores = SMALL.scores(values["sam"])
    assert list(scores) == [
        "PGD L∞: mean accuracy", "FGSM L∞ 8/255", "FGSM L∞ 0.1", "PGD L∞ 8/255", "PGD L∞ 8/255: loss", "PGD L∞ 0.1",
        "PGD L∞ 0.1: loss", "PGD L2: mean accuracy", "FGSM L2 0.5", "PGD L2 0.5", "PGD L2 0.5: loss",
    ]  # fmt: skip
    near, far = (scores[f"PGD L∞ {name}"].value for name in ("8/255", "0.1"))
    assert scores["PGD L∞: mean accuracy"].value == pytest.approx((near + far) / 2) and near > far
    assert [name for name, score in scores.items() if score.main] == ["PGD L∞: mean accuracy"]
    assert scores["PGD L2 0.5: loss"].value == pytest.approx(values["sam"]["attacks"][-1]["loss"])
    first, *_ = SMALL.notes(values["sam"])
    assert "3 steps from 1 random start" in first and "upper bounds" in first


def test_a_panel_for_each_norm_and_two_lines_for_each_run(values):
    entries = [Entry(name, 6.0, found) for name, found in values.items()]
    with style():
        ((name, figure),) = SMALL.figures(entries)
        figure.draw_without_rendering()
    assert name == "adversaries" and set(SMALL.captions()) == {name}
    left, right = figure.axes
    assert len(left.containers) == len(right.containers) == 4
    pgd = left.containers[0][0]
    clean = values["sgd"]["clean"]["value"]
    assert pgd.get_xdata().tolist() == pytest.approx([0.0, 8 / 255, 0.1])
    assert pgd.get_ydata()[0] == pytest.approx(100 * clean)


def test_it_is_among_the_suites_and_for_classes_of_images(trained):
    assert SUITES["adversaries"] is Adversaries and SMALL.name == "adversaries"
    loaded = load(trained["sgd"])
    assert SMALL.against(loaded) is None
    assert SMALL.against(replace(loaded, problem=replace(loaded.problem, exposure=None))) == "the data are no images"
    soft = TensorSplit(loaded.problem.test.inputs[:8], torch.full((8, 10), 0.1))
    problem = Problem(soft, soft, soft, num_outputs=10, shape=(1, 8, 8), exposure=loaded.problem.exposure)
    assert "no classes" in SMALL.against(replace(loaded, problem=problem))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"linf": (0.0,)}, "cannot attack within linf radii 0.0, because"),
        ({"l2": (1.0, 1.0)}, "cannot attack within l2 radii 1.0, 1.0, because"),
        ({"l2": (math.inf,)}, "cannot attack within l2 radii inf, because"),
        ({"linf": (), "l2": ()}, "cannot attack without a radius, because"),
        ({"steps": 0}, "cannot attack with steps 0, because"),
        ({"restarts": 0}, "cannot attack with restarts 0, because"),
    ],
)
def test_options_that_cannot_be_meant(options, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        Adversaries(**options)
