"""What runs are judged by: spoken of with its unit, its direction and as many digits as it needs."""

from dataclasses import replace

import pytest

from samnesia.study import report
from samnesia.study.comparison.terminal import explanation, summary_table
from samnesia.study.design import Measure
from samnesia.study.report import wording
from samnesia.study.report.judged import Judged, decimals, split_label
from samnesia.study.report.summary import summarize
from tests.study import synthetic

ACCURACY = Judged(
    "test accuracy", "%", True, "test_accuracy", {"last": "last.test_accuracy", "best": "best.test_accuracy"},
    {"last": "last epoch", "best": "best validation epoch"},
)  # fmt: skip
COMPARED = ("sgd", "sam", "obf")
ERRORS = tuple(
    Measure(point, f"{point}.test_abs_error", f"test abs error, {words}", "mm", False)
    for point, words in ACCURACY.points.items()
)


def error_run(levels, seed):
    """A run that is judged by an error in mm: the lower, the better; no labels were flipped."""
    values, curves = synthetic.forgetting_run(levels, seed)
    errors = {f"{point}.test_abs_error": 0.2 - values[f"{point}.test_accuracy"] / 1000 for point in ("last", "best")}
    costs = {name: values[name] for name in ("gradient_evaluations", "seconds", "steps")}
    curve = [0.2 - value / 1000 for value in curves["test_accuracy"]]
    return errors | costs, {"epoch": curves["epoch"], "test_abs_error": curve}


@pytest.fixture
def errors(tmp_path):
    return synthetic.comparison(tmp_path, COMPARED, run=error_run, measures=ERRORS, name="pages")


def test_an_accuracy_is_spoken_of_in_percent_and_points():
    assert (ACCURACY.axis, ACCURACY.heading, ACCURACY.main) == ("test accuracy (%)", "test accuracy, %", "last")
    assert (ACCURACY.in_unit("9"), ACCURACY.in_steps("+9")) == ("9 %", "+9 points")
    assert (ACCURACY.better, ACCURACY.worse, ACCURACY.top) == ("above", "below", "highest")
    assert (ACCURACY.at("last"), ACCURACY.at("best")) == ("at the last epoch", "at the best validation epoch")
    assert (ACCURACY.most, ACCURACY.error) == (100.0, "error")


def test_a_pure_number_has_no_unit_and_no_epochs():
    loss = Judged("loss", "", False, decimals=3)
    assert (loss.axis, loss.heading, loss.in_unit("9"), loss.in_steps("+9")) == ("loss", "loss", "9", "+9")
    assert (loss.bounds, loss.at("value"), loss.most, loss.error) == (None, "", 0.0, "loss")
    neither = Judged("weight norm", "", None)
    assert (neither.better, neither.most) == ("above", None)


def test_the_first_measure_is_read_at_both_epochs_where_the_table_has_them(tmp_path):
    design = synthetic.comparison(tmp_path, ("sgd",), seeds=1).design
    both = Judged.first(design, ("last.test_accuracy", "best.test_accuracy"))
    assert (both.name, both.key, both.columns, both.points) == (
        "test accuracy", "test_accuracy", ACCURACY.columns, ACCURACY.points,
    )  # fmt: skip
    assert list(Judged.first(design, ("last.test_accuracy",)).points) == ["last"]
    last, best = design.measures[:2]
    alone = replace(design, measures=(last,))
    assert list(Judged.first(alone, (last.value, best.value)).points) == ["last"]  # the best epoch is none of its own
    (gap, *_) = synthetic.correlations(tmp_path, cells=4, seeds=1).design.measures
    assert split_label(gap) == ("generalization gap", "")
    assert split_label(Measure("x", "x", "distance, in all")) == ("distance, in all", "")
    assert split_label(Measure("x", "last.x", "distance, in all")) == ("distance, in all", "")
    shares = Judged("figure drawn", "%", True)
    assert (shares.most, shares.error) == (100.0, "distance of figure drawn from 100 %")


@pytest.mark.parametrize(
    ("unit", "levels", "differences", "expected"),
    [
        ("%", [99.9], [0.001], 1),
        ("mm", [57.0, None], [3.0], 1),
        ("mm", [57.0], [0.2], 2),
        ("", [0.123], [0.05], 3),
        ("", [0.123], [0.001], 4),
        ("", [1234.0], [100.0], 0),
        ("", [1e-12], [0.0], 6),
        ("", [0.0], [0.0], 1),
        ("", [], [], 1),
    ],
)
def test_as_many_digits_as_are_needed(unit, levels, differences, expected):
    assert decimals(unit, levels, differences) == expected


def test_a_lower_error_is_better_in_every_sentence(errors):
    summary = summarize(errors)
    assert (summary["judged_by"]["unit"], summary["judged_by"]["decimals"]) == ("mm", 3)
    sgd, sam, _ = summary["methods"]
    assert sam["difference"]["last"]["mean"] < 0 < sam["error_reduction"]["last"]["mean"]
    headline = wording.headline(summary)
    assert headline.startswith("SAM and OBF end below SGD at the last epoch, SAM by most: \N{MINUS SIGN}0.014 (")
    assert ") mm; at the best validation epoch \N{MINUS SIGN}0.00" in headline
    last, _ = wording.findings(summary)
    assert last.startswith("At the last epoch SGD reaches 0.121 (")
    assert ") mm; below it: SAM \N{MINUS SIGN}0.01" in last
    rows = summary["methods"]
    assert wording.describe_scores(summary, rows).startswith(
        "Test abs error in mm by method, mean and interval: SGD 0.121"
    )
    assert "in mm of test abs error: SAM" in wording.describe_differences(summary, rows)


def test_a_higher_error_is_worse(tmp_path):
    results = synthetic.comparison(tmp_path, ("sam", "sgd"), run=error_run, measures=ERRORS)
    summary = summarize(results)
    assert wording.headline(summary).startswith(
        "At the last epoch, SGD is not below SAM beyond chance: it differs by +0.014"
    )
    assert "; above it: SGD +0.014 (" in wording.findings(summary)[0]


def test_the_page_speaks_of_the_measure_and_of_no_labels(errors):
    report.write_report_of(errors, [])
    page = (errors.out / "report.html").read_text()
    for title in ("against gradient evaluations", "by method", "over training"):
        assert f"Test abs error {title}</h2>" in page
    assert "Left of zero is better." in page
    assert "test abs error, mm" in page
    assert "Test abs error, in mm: lower is better." in page
    assert "the earliest with the lowest validation abs error of the run" in page
    assert "Flipped" not in page and "labels" not in page
    assert "accuracy" not in page
    assert {path.stem for path in (errors.out / "figures").iterdir()} == {
        "cost", "scores", "differences", "test_abs_error", "overview", "overview-dark",
    }  # fmt: skip


def test_the_table_has_no_column_of_labels_and_says_what_is_better(errors):
    from rich.console import Console

    summary = summarize(errors)
    console = Console(width=80)
    with console.capture() as captured:
        console.print(summary_table(summary))
    shown = captured.get()
    assert "flipped" not in shown and "%" not in shown
    assert "\N{MINUS SIGN}0.014 \N{PLUS-MINUS SIGN}" in shown
    assert explanation(summary).startswith("Test abs error, mm, lower is better: mean of the runs")
    assert "points" not in explanation(summary)


def test_below_a_table_without_intervals_none_is_explained(tmp_path):
    two, three = (
        explanation(summarize(synthetic.comparison(tmp_path, COMPARED, seeds=seeds, run=error_run, measures=ERRORS)))
        for seeds in (2, 3)
    )
    assert "half the 95 % interval over seeds" in three
    assert "\N{PLUS-MINUS SIGN}" not in two and "There are no intervals: they take 3 seeds" in two


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ("best validation epoch", "it is chosen without looking at the test samples."),
        ("best test epoch", "it is chosen on the samples that are reported, and is better than it would be on others."),
    ],
)
def test_an_epoch_chosen_on_the_test_samples_is_said_to_flatter(tmp_path, chosen, sentence):
    measures = (ERRORS[0], synthetic.replace(ERRORS[1], label=f"test abs error, {chosen}"))
    results = synthetic.comparison(tmp_path, COMPARED, seeds=3, run=error_run, measures=measures)
    summary = summarize(results)
    said = dict(report.facts(results, report.Grid(results.design, results.table), summary))
    assert said["Abs error"].endswith(sentence)
