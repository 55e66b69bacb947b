"""The report: rebuilt from cells alone, self-contained, and saying what the numbers say."""

import json
import re
from html.parser import HTMLParser

import pytest

from samnesia.study import figures, numbers, wording
from samnesia.study.cells import read_study, write_study
from samnesia.study.report import curves_by_method, split_settings, write_report
from samnesia.study.summary import summarize
from tests.study.study_files import make_study


@pytest.fixture
def page(reported):
    return (reported / "report.html").read_text()


def test_it_is_rebuilt_from_the_cells_alone(study):
    write_report(study)
    written = [*study.glob("*.*"), *study.glob("figures/*.svg")]
    made = {path.relative_to(study): path.read_bytes() for path in written}
    for path in made:
        (study / path).unlink()
    write_report(study)
    assert len(made) == 8
    assert {path: (study / path).read_bytes() for path in made} == made


def test_it_asks_for_nothing_from_outside(page):
    class Addresses(HTMLParser):
        found = []

        def handle_starttag(self, tag, attributes):
            self.found += [(tag, name, value) for name, value in attributes if name in ("src", "href", "xlink:href")]

    Addresses().feed(page)
    assert Addresses.found
    assert all(value.startswith(("#", "data:")) for _, _, value in Addresses.found)
    assert not re.search(r"url\((?!#)", page)
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_identifiers_are_unique_and_every_reference_is_met(page):
    identifiers = re.findall(r'\bid="([^"]+)"', page)
    assert len(set(identifiers)) == len(identifiers)
    references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page)
    assert {one or other for one, other in references} <= set(identifiers)


def test_figures_take_their_colours_from_the_page(page):
    for token in figures.CSS_COLOURS:
        assert token not in page
    for index in range(5):
        assert f"var(--method-{index})" in page
    assert "prefers-color-scheme: dark" in page


def test_every_figure_is_described_in_words(page):
    descriptions = re.findall(r'<svg [^>]*role="img" aria-label="([^"]+)"', page)
    assert len(descriptions) == 4
    assert "SAM" in descriptions[0] and "last" in descriptions[0]


def test_figures_are_written_as_files(reported):
    names = {"accuracy", "differences", "test_accuracy", "flipped_fitted", "overview", "overview-dark"}
    written = list((reported / "figures").iterdir())
    assert {path.name for path in written} == {f"{name}{suffix}" for name in names for suffix in (".svg", ".png")}
    assert min(path.stat().st_size for path in written) > 1000


def test_text_from_outside_is_escaped(study):
    (study / "cells" / "sam-seed1" / "result.json").unlink()
    (study / "cells" / "sam-seed1" / "error.json").write_text(json.dumps({"reason": "<script>alert(1)</script>"}))
    write_report(study)
    page = (study / "report.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_one_method_and_one_seed_make_a_page_too(tmp_path):
    write_report(make_study(tmp_path, methods=("sam",), seeds=(2,)))
    page = (tmp_path / "report.html").read_text()
    assert "Figure 2" not in page
    assert "Fewer than three seeds give no interval" in page


def test_a_problem_without_flipped_labels_has_no_such_figure(study):
    for path in study.glob("cells/*/result.json"):
        result = json.loads(path.read_text())
        for part in ("last", "best"):
            result[part]["flipped_fitted"] = None
        result["curves"]["flipped_fitted"] = [None] * 20
        path.write_text(json.dumps(result))
    write_report(study)
    page = (study / "report.html").read_text()
    assert "Figure 3." in page and "Figure 3b" not in page
    assert curves_by_method(read_study(study), "flipped_fitted")["sam"] == []


def test_settings_are_split_into_shared_and_own(study):
    shared, own = split_settings(summarize(read_study(study))["methods"])
    assert shared["epochs"] == 20
    assert own["sgd"] == {"method.kind": "Unperturbed"}
    assert own["sam"]["method.rho"] == 0.05
    assert "recipe" not in shared and "recipe" not in own["sam"]


ACCURACY = {
    "split": "test", "measure": "accuracy", "unit": "%", "higher_is_better": True, "chosen_on": "validation",
    "decimals": 1,
}  # fmt: skip
ERROR = ACCURACY | {"measure": "rmse", "unit": "mm", "higher_is_better": False, "decimals": 2}


def estimate(mean, low=None, high=None, n=5):
    return {"n": n, "mean": mean, "low": low, "high": high, "per_seed": [0.0] * 5}


def summary_of(*differences, judged_by=ACCURACY):
    """A summary in which the methods m1, m2 … differ from the baseline by (last, best)."""
    rows = [("sgd", estimate(0.0, 0.0, 0.0), estimate(0.0, 0.0, 0.0))]
    rows += [(f"m{index}", last, best) for index, (last, best) in enumerate(differences, start=1)]
    level = estimate(80.0, 79.0, 81.0)
    return {
        "baseline": "sgd",
        "judged_by": judged_by,
        "methods": [
            {"method": name, "score": {"last": level, "best": level}, "difference": {"last": last, "best": best}}
            for name, last, best in rows
        ],
    }


UP, DOWN, UNCLEAR = estimate(9.0, 8.0, 10.0), estimate(-3.0, -4.0, -2.0), estimate(0.4, -1.0, 1.8)


@pytest.mark.parametrize(
    ("differences", "sentence"),
    [
        ([], "SGD reaches 80.0 (79.0 to 81.0) % test accuracy at the last epoch and 80.0"),
        (
            [(UP, UP)],
            "M1 ends above SGD at the last epoch by +9.0 (8.0 to 10.0) points; .* +9.0",
        ),
        (
            [(UNCLEAR, UNCLEAR), (UP, UNCLEAR)],
            "M2 ends above SGD .* at the best validation epoch M2 is not told",
        ),
        ([(UP, DOWN)], "at the best validation epoch M1 is below, by −3.0 (−4.0 to −2.0)."),
        ([(estimate(7.0, 6.0, 8.0), UP), (UP, UP)], "M2 and M1 end above SGD at the last epoch, M2 by most: +9.0"),
        ([(UNCLEAR, UP), (DOWN, DOWN)], "No method is told apart from SGD for the better at the last epoch"),
        (
            [(estimate(9.0, n=2), estimate(1.0, n=2))],
            "Fewer than three seeds give no interval: at the last epoch M1 differs from SGD by +9.0",
        ),
        (
            [(estimate(9.0), estimate(1.0))],
            "All seeds differ equally, which gives no interval: at the last epoch M1 differs from SGD by +9.0",
        ),
        (
            [(UP, estimate(1.0))],
            "+9.0 (8.0 to 10.0) points; at the best validation epoch M1 has no interval, because all seeds differ",
        ),
        ([(estimate(None), estimate(None))], "SGD reaches 80.0"),
    ],
)
def test_the_headline_says_what_the_intervals_allow(differences, sentence):
    pattern = re.escape(sentence).replace(r"\.\*", ".*")
    assert re.search(pattern, wording.headline(summary_of(*differences)))


def test_findings_sort_methods_by_side():
    last, best = wording.findings(summary_of((UP, DOWN), (UNCLEAR, UP), (DOWN, UP)))
    assert last.startswith(
        "At the last epoch SGD reaches 80.0 (79.0 to 81.0) %; above it: M1 +9.0 (8.0 to 10.0); not told"
    )
    assert "below it: M3 −3.0 (−4.0 to −2.0)." in last
    assert best.startswith("At the best validation epoch SGD") and "below it: M1" in best


def test_findings_claim_no_side_without_an_interval():
    last, _ = wording.findings(summary_of((estimate(9.0), UP), (estimate(-9.0, n=2), UP)))
    assert last.endswith(
        "; differing from it, without an interval: M1 +9.0 (all seeds equal), M2 \N{MINUS SIGN}9.0 (n = 2)."
    )


def test_a_baseline_without_runs_is_told(study):
    for path in (study / "cells").glob("sgd-*/result.json"):
        path.unlink()
    write_study(study, "digits-noisy", methods=("sgd", "sam"), seeds=range(5), command="")
    summary = write_report(study)
    assert wording.headline(summary).startswith("No run of SGD, the baseline, has finished")
    assert "SGD, seed 3, has not run yet." in wording.troubles(summary)


def test_the_number_of_runs_is_told_where_it_differs(study):
    (study / "cells" / "sam-seed1" / "result.json").unlink()
    write_study(study, "digits-noisy", methods=("sgd", "sam", "obf"), seeds=range(5), command="")
    sgd, sam, _ = write_report(study)["methods"]
    assert numbers.ends(sam["difference"]["last"]).endswith(", n = 4")
    assert "n =" not in numbers.ends(sgd["score"]["last"])
    page = (study / "report.html").read_text()
    assert page.count(", n = 4</span>") == 5
    assert "the finished ones of 5 seeds (n stands with the row)" in page


def test_facts_tell_the_start_of_the_perturbation_and_the_tuning(study, page):
    assert "Weights are perturbed from epoch 0 of 20 on." in page
    assert "The radius of each perturbed method" in page
    assert "nothing about new images" in page
    assert "and no interval is widened for that" in page


def test_everything_else_was_equal_only_where_it_was(study, page):
    assert "everything else was equal" in page
    path = study / "cells" / "sam-seed2" / "result.json"
    result = json.loads(path.read_text())
    result["environment"]["torch"] = "2.11.0"
    path.write_text(json.dumps(result))
    write_report(study)
    page = (study / "report.html").read_text()
    assert "everything else was equal" not in page
    assert "Not all runs were made by one commit and one version of torch" in page


@pytest.mark.parametrize("gap", [0.0, 1.0, 5.0])
def test_labels_are_spread_in_order_and_no_further_than_needed(gap):
    values = [3.0, 90.0, 3.5, 50.0, 4.0]
    moved = figures.spread(values, gap)
    order = sorted(range(5), key=values.__getitem__)
    steps = [moved[b] - moved[a] for a, b in zip(order, order[1:], strict=False)]
    assert all(step >= gap - 1e-9 for step in steps)
    assert (moved[1], moved[3]) == (90.0, 50.0)
    assert sum(moved) == pytest.approx(sum(values))


def test_it_names_the_command(page):
    assert "samnesia compare &lt;&amp;&gt; --out x" in page


def test_captions_say_what_an_axis_leaves_out(study, page):
    assert "The axis leaves out the steep start." in page
    assert "Intervals are cut" not in page
    for path in study.glob("cells/*/result.json"):
        result = json.loads(path.read_text())
        result["curves"]["test_accuracy"] = [80.0] * 20
        result["last"]["test_accuracy"] = 99.0 if result["seed"] else 70.0
        path.write_text(json.dumps(result))
    write_report(study)
    page = (study / "report.html").read_text()
    assert "The axis leaves out the steep start." not in page
    assert "Intervals are cut at 0 and 100 %." in page
    assert "% interval, cut at 0 and 100 %." in page
    assert " to 100.0</span>" in page


def test_runs_that_collapsed_are_named_near_the_top(study):
    path = study / "cells" / "gsam-seed2" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"collapsed": "it has collapsed"}))
    write_report(study)
    page = (study / "report.html").read_text()
    assert page.index("GSAM, seed 2: it has collapsed") < page.index("<figure>")


def test_intervals_are_not_broken_over_lines():
    assert wording.unbroken("by +9.0 (8.0 to 10.0) points") == "by +9.0 (8.0\xa0to\xa010.0) points"
