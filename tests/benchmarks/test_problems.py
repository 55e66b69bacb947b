"""docs/problems.md shows the figures of the committed runs, which are of plain SGD on seeds that nobody tuned on."""

import json
import runpy
import statistics
from pathlib import Path

import pytest

from samnesia.train.recipes import find
from samnesia.train.recipes.problems import BENCHES

ROOT = Path(__file__).resolve().parents[2]
FOUND = json.loads((ROOT / "benchmarks" / "results" / "problems.json").read_text())
PAGE = (ROOT / "docs" / "problems.md").read_text()


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")  # as `python benchmarks/problems.py` has it
        yield runpy.run_path(str(ROOT / "benchmarks" / "problems.py"), run_name="problems")


def interval(figure):
    return f"{figure['mean']:.1f} [{figure['low']:.1f}, {figure['high']:.1f}]"


def test_all_problems_have_figures_over_ten_seeds():
    assert FOUND.keys() == {*BENCHES, "digits-noisy"}
    for problem in FOUND.values():
        for point in ("last", "best"):
            assert problem["sgd"][point]["test_accuracy"]["n"] == 10


@pytest.mark.parametrize("problem", FOUND)
def test_the_table_shows_them(problem):
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| [`{problem}`]"))
    sizes, net, last, best, spread, seconds = (cell.strip() for cell in row.split("|")[2:-1])
    sgd, config = FOUND[problem]["sgd"], find(f"{problem}-sgd")
    data = config.data.load(0)
    assert sizes == " / ".join(f"{len(split):,}" for split in (data.train, data.validation, data.test))
    weights = sum(p.numel() for p in config.model.build(data.shape, data.num_outputs).parameters())
    assert net == f"{type(config.model).__name__}, {weights:,} weights"
    assert (last, best) == tuple(interval(sgd[point]["test_accuracy"]) for point in ("last", "best"))
    assert spread == f"{sgd['last']['test_accuracy']['sd']:.1f}"
    assert seconds == f"{sgd['seconds']['mean']:.1f}"


def test_the_text_quotes_them():
    text = " ".join(PAGE.split())
    simple, wine = FOUND["photographs"]["logistic_regression"], FOUND["wine"]["logistic_regression"]
    marks = FOUND["digits-shortcut"]["sgd"]["last"]
    assert f"reaches {interval(simple['hand-made features, three textures'])} % there" in text
    assert f"the same reaches {interval(simple['hand-made features'])} %, about" in text
    assert f"logistic regression reaches {interval(simple['pixels'])} % (chance is 12.5)" in text
    assert f"standardised features reaches {interval(wine['features, standardised'])} %" in text
    for name in ("test_mark_followed", "test_mark_wrong_accuracy", "test_mark_right_accuracy"):
        assert next(line for line in PAGE.splitlines() if f"`{name}`" in line).endswith(f"| {interval(marks[name])} |")
    assert f"its accuracy is {interval(marks['validation_accuracy'])} %" in text


@pytest.mark.parametrize("problem", FOUND)
def test_the_radii_are_those_of_the_recipes(problem):
    row = [line for line in PAGE.splitlines() if line.startswith(f"| `{problem}` |")][0]
    *radii, seeds = (cell.strip() for cell in row.split("|")[2:-1])
    methods = [find(f"{problem}-{name}").method for name in ("sam", "asam", "gsam", "obf", "random")]
    shown = [f"{one.rho:g} ({one.alpha:g})" if hasattr(one, "alpha") else f"{one.rho:g}" for one in methods]
    assert radii == shown
    assert int(seeds) == len(json.loads((ROOT / "benchmarks/results/radii.json").read_text())[problem]["seeds"])


def test_photographs_leave_room_and_are_learnt():
    seeds = FOUND["photographs"]["sgd"]["last"]["test_accuracy"]["per_seed"]
    assert 60 < min(seeds) and max(seeds) < 92


def test_intervals_are_those_of_students_t(script):
    found = script["summary"]([70.0, 74.0, 75.0])
    assert found["mean"] == 73.0 and found["sd"] == pytest.approx(statistics.stdev([70, 74, 75]), abs=0.005)
    assert found["high"] - found["mean"] == pytest.approx(4.303 * statistics.stdev([70, 74, 75]) / 3**0.5, abs=0.01)


def test_hand_made_features_are_numbers_of_the_patch_alone(script):
    import numpy as np

    split = find("photographs-sgd").data.load(0).validation
    features = script["hand_made"](split)
    assert features.shape == (288, 36) and np.isfinite(features).all()
    assert np.allclose(features[:, :10].sum(1), 1)  # shares of patterns
