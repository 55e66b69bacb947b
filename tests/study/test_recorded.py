"""Values of a cell from the lines that its run has recorded."""

import math

import pytest

from samnesia.measure import forgetting_course
from samnesia.study.engine.jobs import Job
from samnesia.study.engine.store import Finished, find_cell
from samnesia.study.recorded import recorded_values, values_of_lines
from samnesia.study.training import Training
from samnesia.train.config import SAM, Perturbed, RecordForgetting, Recording, RecordSharpness
from samnesia.train.record.reading import read_records
from tests.train import small

RECORD = Recording(RecordForgetting(rho=0.1), RecordSharpness(rho=0.1), points=6, perturbations=2, samples=30)


def line(epoch, own, sharpness=1.0, **more):
    """A line as a run writes it, of one estimate."""

    def block(value):
        estimates = {"useful": {"value": value, "error": None, "count": 2}}
        return {
            "values": {"running": {"exposed": {"all": estimates, "flipped": estimates}}, "batch": {"exposed": {
                "all": estimates}}},
            "norm": {"value": 2 * value, "error": 0.0, "count": 2},
        }  # fmt: skip

    return {
        "step": round(10 * epoch), "epoch": epoch, "seconds": 0.5,
        "forgetting": {"own": None if own is None else block(own), "common": block(1.0)},
        "sharpness": {"values": {"running": {"value": sharpness, "error": 0.0, "count": 2}}},
        **more,
    }  # fmt: skip


def test_means_are_over_epochs_of_all_steps_and_of_those_of_the_last_third():
    found = values_of_lines([line(0.0, None), line(3.0, 1.0), line(6.0, 3.0), line(8.0, 5.0), line(9.0, 8.0)])
    own = "own.exposed.useful"
    assert found[f"recorded.all.{own}"] == pytest.approx((3 * 2.0 + 2 * 4.0 + 6.5) / 6)
    assert found[f"recorded.late.{own}"] == pytest.approx((2 * 4.0 + 6.5) / 3)
    assert found[f"recorded.last.{own}"] == 8.0
    assert found["recorded.late.own.norm"] == 2 * found[f"recorded.late.{own}"]
    for name in ("own.exposed.flipped.useful", "own-batch.exposed.useful"):
        assert found[f"recorded.late.{name}"] == found[f"recorded.late.{own}"]
    assert found["recorded.late.sharpness"] == 1.0
    assert (found["recorded.points"], found["recorded.seconds"]) == (5.0, 2.5)


def test_steps_without_a_value_are_left_out_and_a_third_without_any_has_none():
    lost = line(9.0, None, sharpness=None)
    found = values_of_lines(
        [line(0.0, 1.0), line(3.0, 2.0), lost, {"step": 99, "epoch": 9.9, "cannot": "", "seconds": 1}]
    )
    assert found["recorded.all.own.exposed.useful"] == 1.5
    assert math.isnan(found["recorded.late.own.exposed.useful"])
    assert found["recorded.late.common.exposed.useful"] == 1.0
    assert found["recorded.points"] == 3.0


def test_a_training_that_records_has_the_values_and_another_has_none(tmp_path):
    for name, record in (("with", RECORD), ("without", Recording())):
        config = small.config(method=SAM(rho=0.05), when=Perturbed(start_epoch=1.0), record=record)
        small.quietly(Job(tmp_path / name, {"method": "sam"}, 0, Training(config)).do)
    found, plain = (find_cell(tmp_path / name) for name in ("with", "without"))
    assert isinstance(found, Finished) and isinstance(plain, Finished)
    lines = read_records(tmp_path / "with")
    values = {name: value for name, value in found.outcome.values.items() if not name.startswith("recorded.")}
    assert values.keys() == plain.outcome.values.keys()
    for probe, split in (("own", "exposed"), ("common", "held_out")):
        course = forgetting_course(lines, "superfluous", probe=probe, split=split)
        for when, value in (("all", course.run), ("late", course.last_third), ("last", course.last)):
            assert found.outcome.values[f"recorded.{when}.{probe}.{split}.superfluous"] == pytest.approx(value)
    assert recorded_values(tmp_path / "with")["recorded.late.own.norm"] == pytest.approx(0.05, rel=1e-4)
