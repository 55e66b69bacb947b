"""What runs are judged by: spoken of with its unit, its direction and as many digits as it needs."""

import json

import pytest

from samnesia.perturb.errors import ConfigurationError
from samnesia.study import wording
from samnesia.study.cells import read_study, write_study
from samnesia.study.compare import explanation, summary_table
from samnesia.study.judged import Judged, decimals
from samnesia.study.report import write_report
from samnesia.study.summary import summarize
from tests.study.study_files import make_study

ACCURACY = Judged("test", "accuracy", "%", True, "validation")
ERROR = {"split": "test", "measure": "abs_error", "unit": "mm", "higher_is_better": False}


@pytest.fixture
def errors(tmp_path):
    """A study judged by an error in mm: the lower, the better; no labels were flipped."""
    out = make_study(tmp_path / "study", methods=("sgd", "sam", "obf"))
    for path in out.glob("cells/*/result.json"):
        result = json.loads(path.read_text())
        curves = result["curves"]
        for split in ("test", "validation"):
            curves[f"{split}_abs_error"] = [0.2 - value / 1000 for value in curves.pop(f"{split}_accuracy")]
        curves["flipped_fitted"] = [None] * 20
        peak = curves["validation_abs_error"].index(min(curves["validation_abs_error"]))
        for part, place in (("last", -1), ("best", peak)):
            result[part] = {name: values[place] for name, values in curves.items()}
        path.write_text(json.dumps(result | {"judged_by": ERROR, "chosen_on": "validation"}))
    write_study(out, "pages", methods=("sgd", "sam", "obf"), seeds=range(5), command="samnesia compare it")
    return out


def test_an_accuracy_is_spoken_of_in_percent_and_points():
    assert (ACCURACY.key, ACCURACY.name, ACCURACY.axis) == ("test_accuracy", "test accuracy", "test accuracy (%)")
    assert (ACCURACY.in_unit("9"), ACCURACY.in_steps("+9")) == ("9 %", "+9 points")
    assert (ACCURACY.better, ACCURACY.worse, ACCURACY.top) == ("above", "below", "highest")
    assert ACCURACY.at == {"last": "at the last epoch", "best": "at the best validation epoch"}


def test_a_pure_number_has_no_unit():
    loss = Judged("train", "loss", "", False, "train", 3)
    assert (loss.axis, loss.heading, loss.in_unit("9"), loss.in_steps("+9")) == (
        "training loss", "training loss", "9", "+9",
    )  # fmt: skip
    assert loss.best_epoch == "best training epoch"
    assert loss.bounds is None


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
    ],
)
def test_as_many_digits_as_are_needed(unit, levels, differences, expected):
    assert decimals(unit, levels, differences) == expected


def test_a_lower_error_is_better_in_every_sentence(errors):
    summary = summarize(read_study(errors))
    assert summary["judged_by"] == ERROR | {"chosen_on": "validation", "decimals": 3}
    sgd, sam, _ = summary["methods"]
    assert sam["difference"]["last"]["mean"] < 0
    headline = wording.headline(summary)
    assert headline.startswith("SAM and OBF end below SGD at the last epoch, SAM by most: \N{MINUS SIGN}0.014 (")
    assert ") mm; at the best validation epoch \N{MINUS SIGN}0.009" in headline
    last, _ = wording.findings(summary)
    assert last.startswith("At the last epoch SGD reaches 0.121 (")
    assert ") mm; below it: SAM \N{MINUS SIGN}0.01" in last
    assert wording.describe_scores(summary).startswith("Test abs error in mm by method, mean and interval: SGD 0.121")
    assert "in mm of test abs error: SAM" in wording.describe_differences(summary)


def test_a_higher_error_is_worse(errors):
    write_study(errors, "pages", methods=("sam", "sgd"), seeds=range(5), command="")
    summary = summarize(read_study(errors))
    assert wording.headline(summary).startswith(
        "No method is told apart from SAM for the better at the last epoch: the lowest, SGD, differs by +0.014"
    )
    assert "; above it: SGD +0.014 (" in wording.findings(summary)[0]


def test_the_page_speaks_of_the_measure_and_of_no_labels(errors):
    write_report(errors)
    page = (errors / "report.html").read_text()
    assert "<b>Figure 1. Test abs error.</b>" in page
    assert "Left of zero the method is better." in page
    assert "<b>Figure 3. Test abs error over training.</b>" in page
    assert "test abs error, mm" in page
    assert "Test abs error, in mm: lower is better." in page
    assert "the earliest with the lowest validation abs error of the run" in page
    assert "Flipped" not in page and "labels" not in page
    assert "accuracy" not in page.replace("by validation accuracy", "")
    assert {path.stem for path in (errors / "figures").iterdir()} == {
        "abs_error", "differences", "test_abs_error", "overview", "overview-dark",
    }  # fmt: skip


def test_the_table_has_no_column_of_labels_and_says_what_is_better(errors):
    from rich.console import Console

    summary = summarize(read_study(errors))
    console = Console(width=80)
    with console.capture() as captured:
        console.print(summary_table(summary))
    shown = captured.get()
    assert "flipped" not in shown and "%" not in shown
    assert "\N{MINUS SIGN}0.014 \N{PLUS-MINUS SIGN}" in shown
    assert explanation(summary).startswith("Test abs error, mm, lower is better: mean of the runs")
    assert "points" not in explanation(summary)


def test_runs_judged_by_different_figures_are_refused(errors):
    path = errors / "cells" / "sam-seed2" / "result.json"
    result = json.loads(path.read_text())
    result["judged_by"]["split"] = "validation"
    path.write_text(json.dumps(result))
    with pytest.raises(ConfigurationError, match="judged by different figures, test_abs_error of .* and validation_"):
        summarize(read_study(errors))


def test_a_score_that_is_not_finite_is_left_out_and_told(errors):
    path = errors / "cells" / "sam-seed2" / "result.json"
    result = json.loads(path.read_text())
    result["last"]["test_abs_error"] = None
    result["curves"]["test_abs_error"][-1] = None
    path.write_text(json.dumps(result))
    sam = write_report(errors)["methods"][1]
    assert sam["score"]["last"]["n"] == 4
    assert sam["notes"] == ["seed 2: its test_abs_error is not finite at the last epoch: left out."]


def test_the_best_epoch_chosen_on_the_test_samples_is_said_to_flatter(errors):
    for path in errors.glob("cells/*/result.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"chosen_on": "test"}))
    write_report(errors)
    page = (errors / "report.html").read_text()
    assert "at the best test epoch (open)" in page
    assert "it is chosen on the images that are reported, and is better than it would be on others." in page
