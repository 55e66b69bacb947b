"""Short looks at final weights: their values are those of the measures."""

from dataclasses import replace

import pytest

from samnesia.measure.sharpness.micro import m_sharpness
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError
from samnesia.study.looks import AtBalls, AtSizes
from samnesia.study.measured import TRAINING
from samnesia.train.loaded import load
from tests.study.test_measured import LOOK, do, work

SIZES = AtSizes((1, 7, 40), rho=0.1, samples=40)
BALLS = AtBalls(rho=LOOK.rho, adaptive_rho=LOOK.adaptive_rho, samples=LOOK.samples, steps=LOOK.steps)


def test_m_sharpness_is_measured_for_several_m(tmp_path):
    found = do(tmp_path / "cell", work(at_end=SIZES))
    final = {name: value for name, value in found.values.items() if name.startswith("final.m_")}
    assert list(final) == [f"final.m_sharpness.{m}" for m in (1, 7, 40)]
    loaded = load(tmp_path / "cell" / TRAINING)
    subject = Subject(loaded.model, loaded.criterion, loaded.samples("train", 40, seed=0, batch_size=40))
    for m in (1, 7, 40):
        assert final[f"final.m_sharpness.{m}"] == pytest.approx(m_sharpness(subject, 0.1, m).rise.value)
    assert final["final.m_sharpness.1"] > final["final.m_sharpness.40"] > 0


def test_rises_in_two_balls_are_those_of_the_long_look(tmp_path):
    short, long = (do(tmp_path / name, work(at_end=look)) for name, look in (("short", BALLS), ("long", LOOK)))
    for name in ("final.worst", "final.worst_adaptive"):
        assert short.values[name] == pytest.approx(long.values[name], rel=1e-6) and short.values[name] > 0
    assert "final.lambda_max" in long.values and "final.lambda_max" not in short.values


@pytest.mark.parametrize(
    ("look", "options", "reason"),
    [
        (SIZES, {"sizes": (41,)}, r"with sizes \(41,\) of 40 samples"),
        (SIZES, {"sizes": ()}, r"with sizes \(\) of 40"),
        (SIZES, {"rho": 0.0}, "with rho 0.0"),
        (BALLS, {"adaptive_rho": float("inf")}, "with adaptive_rho inf"),
        (BALLS, {"steps": 0}, "with steps 0"),
    ],
)
def test_values_without_a_meaning_are_refused(look, options, reason):
    with pytest.raises(ConfigurationError, match=reason):
        replace(look, **options)
