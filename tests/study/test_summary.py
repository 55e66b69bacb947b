"""compare.json: its shape, and its numbers worked out a second time."""

import json

import numpy as np
import pytest
from scipy import stats

from samnesia.study.cells import read_study, write_study
from samnesia.study.summary import summarize
from samnesia.train.config import Perturbed
from tests.study.study_files import make_study

ESTIMATE = {"n", "mean", "low", "high", "per_seed"}


@pytest.fixture
def summary(study):
    write_study(study, "digits-noisy", methods=("sgd", "sam", "obf"), seeds=(0, 1, 2, 3, 4), command="the command")
    return summarize(read_study(study))


def test_compare_json_has_the_promised_shape(summary):
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert (summary["recipe"], summary["seeds"], summary["baseline"]) == ("digits-noisy", [0, 1, 2, 3, 4], "sgd")
    assert [row["method"] for row in summary["methods"]] == ["sgd", "sam", "obf"]
    for row in summary["methods"]:
        assert {"config", "score", "difference", "gradient_evaluations", "seconds"} <= row.keys()
        assert "seed" not in row["config"]
        for name in ("score", "difference"):
            assert row[name].keys() == {"last", "best"}
            for estimate in row[name].values():
                assert estimate.keys() == ESTIMATE
                assert len(estimate["per_seed"]) == 5
                assert estimate["n"] == 5
                if name == "score" or row["method"] != "sgd":
                    assert estimate["low"] <= estimate["mean"] <= estimate["high"]


@pytest.mark.parametrize("point", ["last", "best"])
def test_its_numbers_are_those_of_the_results(study, summary, point):
    accuracy = {
        method: np.array(
            [
                json.loads((study / "cells" / f"{method}-seed{seed}" / "result.json").read_text())[point][
                    "test_accuracy"
                ]
                for seed in range(5)
            ]
        )
        for method in ("sgd", "sam")
    }
    sam = summary["methods"][1]
    assert sam["score"][point]["per_seed"] == accuracy["sam"].tolist()
    assert sam["score"][point]["mean"] == pytest.approx(accuracy["sam"].mean())
    expected = stats.ttest_rel(accuracy["sam"], accuracy["sgd"]).confidence_interval(0.95)
    assert sam["difference"][point]["low"] == pytest.approx(expected.low)
    assert sam["difference"][point]["high"] == pytest.approx(expected.high)
    assert sam["difference"][point]["per_seed"] == pytest.approx(accuracy["sam"] - accuracy["sgd"])
    assert sam["gradient_evaluations"] == 400.0


def test_the_baseline_differs_from_itself_by_nothing(summary):
    difference = summary["methods"][0]["difference"]["last"]
    assert (difference["mean"], difference["low"], difference["high"]) == (0.0, None, None)


def test_a_missing_run_leaves_its_pair_out(study):
    (study / "cells" / "sgd-seed3" / "result.json").unlink()
    sgd, *others = summarize(read_study(study))["methods"]
    assert sgd["score"]["last"]["per_seed"][3] is None
    for row in others:
        assert row["score"]["last"]["per_seed"][3] is not None
        assert row["difference"]["last"]["per_seed"][3] is None
        assert (row["score"]["last"]["n"], row["difference"]["last"]["n"]) == (5, 4)


@pytest.mark.parametrize("seeds", [(3,), (3, 4)])
def test_fewer_than_three_seeds_give_means_without_intervals(tmp_path, seeds):
    summary = summarize(read_study(make_study(tmp_path, seeds=seeds)))
    for row in summary["methods"]:
        for estimate in (*row["score"].values(), *row["difference"].values()):
            assert estimate["mean"] is not None
            assert estimate["low"] is None and estimate["high"] is None


def test_a_method_without_any_run_is_listed_without_numbers(study):
    write_study(study, "digits-noisy", methods=("sgd", "random"), seeds=(0, 1), command="")
    row = summarize(read_study(study))["methods"][1]
    assert row["score"]["last"] == {"n": 0, "mean": None, "low": None, "high": None, "per_seed": [None, None]}
    assert row["seconds"] is None


def test_runs_that_were_asked_for_and_are_not_there_are_missing(study):
    (study / "cells" / "sgd-seed1" / "result.json").unlink()
    (study / "cells" / "sam-seed1" / "result.json").unlink()
    (study / "cells" / "sam-seed1" / "error.json").write_text('{"reason": "too hot"}')
    write_study(study, "digits-noisy", methods=("sgd", "sam"), seeds=(0, 1), command="")
    summary = summarize(read_study(study))
    assert summary["missing"] == [{"method": "sgd", "seed": 1}]
    assert summary["failures"] == [{"method": "sam", "seed": 1, "reason": "too hot"}]


def test_collapsed_and_skipped_are_told(study):
    path = study / "cells" / "sam-seed2" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"collapsed": "it has collapsed"}))
    path = study / "cells" / "obf-seed4" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"skipped_steps": 3}))
    rows = {row["method"]: row for row in summarize(read_study(study))["methods"]}
    assert rows["sam"]["notes"] == ["seed 2: it has collapsed"]
    assert rows["obf"]["notes"] == ["seed 4: 3 of 203 steps were skipped, not being finite."]
    assert rows["sgd"]["notes"] == []


def test_each_machine_is_listed_once(study):
    path = study / "cells" / "sam-seed2" / "result.json"
    result = json.loads(path.read_text())
    result["environment"]["hardware"] = "another processor"
    path.write_text(json.dumps(result))
    assert len(summarize(read_study(study))["environments"]) == 2


def test_a_run_that_perturbed_on_no_step_is_told(tmp_path):
    out = make_study(tmp_path, methods=("sgd", "sam"), seeds=(0,), when=Perturbed(start_epoch=40.0))
    sgd, sam = summarize(read_study(out))["methods"]
    assert sgd["notes"] == []
    assert sam["notes"] == ["seed 0: no step was perturbed, so that this run is one of the base optimizer alone."]
