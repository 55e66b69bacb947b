"""compare.json: its shape, and its numbers worked out a second time."""

import json

import numpy as np
import pytest
from scipy import stats

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.engine.run import read_results
from samnesia.study.report.summary import summarize
from tests.study import synthetic

ESTIMATE = {"n", "mean", "low", "high", "per_seed"}
COMPARED = ("sgd", "sam", "obf")


def dropped(results, *cells, **changes):
    """The results without the runs of these (method, seed)."""
    return synthetic.changed(
        results,
        lambda row: {"status": "missing", "config": None} | changes if (row["method"], row["seed"]) in cells else None,
    )


@pytest.fixture
def results(tmp_path):
    return synthetic.comparison(tmp_path, COMPARED)


@pytest.fixture
def summary(results):
    return summarize(results)


def test_compare_json_has_the_promised_shape(summary):
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert (summary["recipe"], summary["seeds"], summary["baseline"]) == ("digits-noisy", [0, 1, 2, 3, 4], "sgd")
    assert [row["method"] for row in summary["methods"]] == ["sgd", "sam", "obf"]
    assert summary["contexts"] == []
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


def test_results_that_were_read_from_disk_give_the_same(results, summary):
    read = summarize(read_results(synthetic.on_disk(results)))
    assert json.dumps(read, sort_keys=True) == json.dumps(summary, sort_keys=True)


@pytest.mark.parametrize("point", ["last", "best"])
def test_its_numbers_are_those_of_the_results(results, summary, point):
    table = results.table.sort_values("seed")
    accuracy = {
        method: table.loc[table["method"] == method, f"{point}.test_accuracy"].to_numpy() for method in ("sgd", "sam")
    }
    sam = summary["methods"][1]
    assert sam["score"][point]["per_seed"] == accuracy["sam"].tolist()
    assert sam["score"][point]["mean"] == pytest.approx(accuracy["sam"].mean())
    expected = stats.ttest_rel(accuracy["sam"], accuracy["sgd"]).confidence_interval(0.95)
    assert sam["difference"][point]["low"] == pytest.approx(expected.low)
    assert sam["difference"][point]["high"] == pytest.approx(expected.high)
    assert sam["difference"][point]["per_seed"] == pytest.approx(accuracy["sam"] - accuracy["sgd"])
    reduction = 100 * (1 - (100 - accuracy["sam"]).mean() / (100 - accuracy["sgd"]).mean())
    assert sam["error_reduction"][point]["mean"] == pytest.approx(reduction)
    assert sam["gradient_evaluations"] == 400.0


def test_the_baseline_differs_from_itself_by_nothing(summary):
    difference = summary["methods"][0]["difference"]["last"]
    assert (difference["mean"], difference["low"], difference["high"]) == (0.0, None, None)


def test_a_missing_run_leaves_its_pair_out(results):
    sgd, *others = summarize(dropped(results, ("sgd", 3)))["methods"]
    assert sgd["score"]["last"]["per_seed"][3] is None
    for row in others:
        assert row["score"]["last"]["per_seed"][3] is not None
        assert row["difference"]["last"]["per_seed"][3] is None
        assert (row["score"]["last"]["n"], row["difference"]["last"]["n"]) == (5, 4)


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_give_means_without_intervals(tmp_path, seeds):
    for row in summarize(synthetic.comparison(tmp_path, COMPARED, seeds=seeds))["methods"]:
        for estimate in (*row["score"].values(), *row["difference"].values()):
            assert estimate["mean"] is not None
            assert estimate["low"] is None and estimate["high"] is None


def test_a_method_without_any_run_is_listed_without_numbers(results):
    row = summarize(dropped(results, *(("obf", seed) for seed in range(5))))["methods"][2]
    assert row["score"]["last"] == {"n": 0, "mean": None, "low": None, "high": None, "per_seed": [None] * 5}
    assert row["seconds"] is None
    assert row["config"] == {}


def test_runs_that_failed_and_that_are_missing_are_listed(results):
    results = dropped(dropped(results, ("sgd", 1)), ("sam", 1), status="failed", reason="too hot")
    summary = summarize(results)
    assert summary["missing"] == [{"method": "sgd", "seed": 1}]
    assert summary["failures"] == [{"method": "sam", "seed": 1, "reason": "too hot"}]


def test_nothing_finished_is_refused_in_a_sentence(tmp_path):
    results = synthetic.comparison(tmp_path, ("sgd",), seeds=1)
    results.outcomes.clear()
    with pytest.raises(ConfigurationError, match="requires at least one finished run, and there is none"):
        summarize(dropped(results, ("sgd", 0)))


def test_notes_of_outcomes_stand_with_their_method(results):
    directory = results.table.query("method == 'sam' and seed == 2")["directory"].iloc[0]
    results.outcomes[directory] = synthetic.replace(results.outcomes[directory], notes=("it has collapsed.",))
    rows = {row["method"]: row for row in summarize(results)["methods"]}
    assert rows["sam"]["notes"] == ["seed 2: it has collapsed."]
    assert rows["sgd"]["notes"] == []


def test_each_machine_is_listed_once(results):
    directory = results.table["directory"].iloc[0]
    changed = {**synthetic.ENVIRONMENT, "hardware": "another processor", "started": "2001"}
    results.outcomes[directory] = synthetic.replace(results.outcomes[directory], environment=changed)
    environments = summarize(results)["environments"]
    assert len(environments) == 2
    assert all("started" not in environment for environment in environments)


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    return synthetic.problems(tmp_path_factory.mktemp("problems"), contexts=3, arms=4, seeds=6)


def test_several_contexts_have_a_block_each(problems):
    summary = summarize(problems)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert [context["name"] for context in summary["contexts"]] == ["digits-noisy", "digits-few", "textures"]
    assert summary["contexts"][1]["levels"] == {"problem": "digits-few"}
    few = problems.table.query("problem == 'digits-few' and method == 'sam'")["last.test_accuracy"]
    assert summary["contexts"][1]["methods"][1]["score"]["last"]["mean"] == pytest.approx(few.mean())
    assert summary["failures"] == [
        {"problem": "textures", "method": "gsam", "seed": 103, "reason": "RuntimeError: out of memory"}
    ]


def test_above_them_stand_means_within_each_seed(problems):
    rows = {row["method"]: row for row in summarize(problems)["methods"]}
    table = problems.table[problems.table["status"] == "finished"]
    wide = table.pivot_table(index="seed", columns=["method", "problem"], values="last.test_accuracy")
    means = (wide["sam"] - wide["sgd"]).mean(axis=1)
    found = rows["sam"]["difference"]["last"]
    assert found["per_seed"] == pytest.approx(means.tolist())
    expected = stats.ttest_1samp(means, 0.0).confidence_interval(0.95)
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))
    gsam = rows["gsam"]["difference"]["last"]
    assert gsam["n"] == 5 and gsam["per_seed"][3] is None  # the seed of the failed run has not all contexts


def test_a_method_that_is_not_in_all_contexts_leaves_those_out_of_the_means(tmp_path):
    left_out = ({"method": "gsam", "problem": "textures"},)
    results = synthetic.problems(tmp_path, contexts=3, arms=4, seeds=4, left_out=left_out)
    summary = summarize(results)
    assert [row["method"] for row in summary["contexts"][2]["methods"]] == ["sgd", "sam", "asam"]
    table = results.table[results.table["problem"] != "textures"]
    sgd = table[table["method"] == "sgd"].groupby("seed")["last.test_accuracy"].mean()
    assert summary["methods"][0]["score"]["last"]["per_seed"] == pytest.approx(sgd.tolist())


def test_other_measures_are_summarized_by_name(tmp_path):
    results = synthetic.correlations(tmp_path, cells=4, seeds=3)
    summary = summarize(results)
    assert summary["judged_by"]["columns"] == {"value": "gap"}
    sam = summary["methods"][1]
    assert sam["measures"].keys() == {"sharpness", "flatness", "norm"}
    column = results.table.loc[results.table["method"] == "sam", "weight_norm"]
    assert sam["measures"]["norm"]["mean"] == pytest.approx(np.mean(column))
    assert sam["score"].keys() == {"value"}
