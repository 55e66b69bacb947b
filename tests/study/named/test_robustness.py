"""The study of what perturbations do beyond the test split: what it asks, and what a cell of it measures."""

from dataclasses import replace

import pytest

from samnesia.evaluate.corruptions import corruption_errors
from samnesia.evaluate.predictions import Sampled
from samnesia.study.measured import TRAINING, Measured
from samnesia.study.named.cells.tested import OnTests
from samnesia.study.named.robustness import IMAGES, METHODS, PROBLEMS, robustness
from samnesia.train.loaded import load
from samnesia.train.parts.methods import Lookbehind


def test_what_is_claimed_is_measured_on_fresh_seeds():
    for quick in (True, False):
        design = robustness(quick).design
        assert len(design.seeds) >= 5 and not {*design.seeds} & {*design.tuning_seeds}
        assert len(design.primary) == 10 and {one.where["problem"] for one in design.primary} <= {*IMAGES}
        assert "wine" not in IMAGES and {*design.factors[0].levels} == {*METHODS}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_cell_has_its_run(problem):
    work = robustness(quick=True).work({"problem": problem, "method": "lookbehind"}, 7)
    assert work.config.seed == 7 and isinstance(work.config.method, Lookbehind)
    assert (work.at_end.eps is None) == (problem == "wine")


@pytest.mark.filterwarnings("ignore::samnesia.perturb.errors.TrainingCollapsedWarning")
def test_a_cell_measures_harder_tests(tmp_path):
    whole = robustness(quick=True).work({"problem": "digits-few", "method": "sgd"}, 3)
    short = Measured(replace(whole.config, epochs=6), replace(whole.at_end, samples=60, draws=2, steps=2))
    short.run(tmp_path)
    values = short.read(tmp_path).values
    loaded = load(tmp_path / TRAINING)
    found = corruption_errors(
        loaded, Sampled(count=60, seed=3), families=("fog", "contrast"), severities=(2, 4), seed=3
    )
    assert 0.0 < values["tests.corrupted"] < 100.0 - found.clean and found.mean > found.clean
    assert values["tests.kept"] == pytest.approx(100.0 * values["tests.corrupted"] / (100.0 - found.clean))
    assert 0.0 <= values["tests.attacked"] < 100.0 - found.clean
    assert 0.0 < values["tests.ece"] < 1.0 and 0.0 < values["tests.noisy"] < 100.0
    other, notes = OnTests(0.5, None).of(loaded)
    assert notes == [] and "tests.corrupted" not in other and other["tests.ece"] == values["tests.ece"]
