"""The suite noisy-weights: what it measures, tells and draws."""

from dataclasses import dataclass, replace

import pytest
import torch

from samnesia.data.problem import Problem, TensorSplit
from samnesia.evaluate.noisy_weights import Interval
from samnesia.evaluate.suites import SUITES
from samnesia.evaluate.suites.noisy_weights import NoisyWeights
from samnesia.examine.bench import Look
from samnesia.examine.parts.part import Entry
from samnesia.measure.figures import style
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.loaded import load

SMALL = NoisyWeights(absolute=(0.02, 0.1), filter=(0.3,), draws=3)


@dataclass
class Bench:
    found: object
    look: Look

    def loaded(self, place):
        return self.found


@pytest.fixture(scope="module")
def values(trained):
    look = Look(split="test", samples=150, batch_size=50)
    return {name: SMALL.measure(Bench(load(path), look), None) for name, path in trained.items()}


def test_scores_are_means_over_draws_and_sizes(values):
    scores = SMALL.scores(values["sam"])
    levels = values["sam"]["levels"]
    first, second = (100 * sum(level["accuracy"]["values"]) / 3 for level in levels[:2])
    assert scores["absolute noise 0.02: accuracy"].value == pytest.approx(first)
    assert scores["absolute noise: mean accuracy"].value == pytest.approx((first + second) / 2)
    assert [name for name, score in scores.items() if score.main] == ["filter noise: mean accuracy"]
    assert scores["filter noise 0.3: loss"].value == pytest.approx(levels[2]["loss"]["mean"])
    (note,) = SMALL.notes(values["sam"])
    assert "22,416" in note and "3 draws" in note and "running statistics" in note


def test_a_line_with_a_band_for_each_run_and_a_panel_for_each_law(values):
    entries = [Entry(name, 6.0, found) for name, found in values.items()]
    with style():
        ((name, figure),) = SMALL.figures(entries)
        figure.draw_without_rendering()
    assert name == "noisy-weights" and len(figure.axes) == 4
    for axes, sizes in zip(figure.axes, (3, 2, 3, 2), strict=True):
        assert len(axes.lines) == len(axes.collections) == 2
        assert len(axes.lines[0].get_xdata()) == sizes  # that without noise among them
    (line, _), sam = figure.axes[0].lines, values["sam"]
    assert line.get_ydata()[0] == pytest.approx(100 * values["sgd"]["clean"]["accuracy"]["mean"])
    band = figure.axes[0].collections[1].get_paths()[0].vertices[:, 1]
    for end in ("low", "high"):
        assert 100 * sam["levels"][0]["accuracy"][end] == pytest.approx(min(band, key=lambda y: abs(
            y - 100 * sam["levels"][0]["accuracy"][end])))  # fmt: skip


def test_runs_of_a_group_are_one_line_and_their_interval_is_over_runs(values):
    entries = [Entry(name, 6.0, found, "both") for name, found in values.items()]
    with style():
        ((_, figure),) = SMALL.figures(entries)
    axes = figure.axes[0]
    (line,), (band,) = axes.lines, axes.collections
    wanted = Interval.of([found["clean"]["accuracy"]["mean"] for found in values.values()])
    assert line.get_ydata()[0] == pytest.approx(100 * wanted.mean)
    assert band.get_paths()[0].vertices[:, 1].max() >= 100 * wanted.high - 1e-9
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["both"]


def test_it_is_among_the_suites_and_not_for_soft_targets(trained):
    assert SUITES["noisy-weights"] is NoisyWeights and SMALL.name == "noisy-weights"
    loaded = load(trained["sgd"])
    assert SMALL.against(loaded) is None
    soft = TensorSplit(loaded.problem.test.inputs[:8], torch.full((8, 10), 0.1))
    problem = Problem(soft, soft, soft, num_outputs=10, shape=(1, 8, 8))
    assert "no classes" in SMALL.against(replace(loaded, problem=problem))


@pytest.mark.parametrize(
    "changed",
    [{"draws": 0}, {"reestimate": 1}, {"absolute": (0.1, 0.1)}, {"filter": (-0.1,)}, {"laws": ()}, {"absolute": ()}],
)
def test_options_without_a_meaning_are_refused(changed):
    with pytest.raises(ConfigurationError, match="on weights"):
        NoisyWeights(**changed)
