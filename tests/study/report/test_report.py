"""The report: rebuilt from what is on disk alone, self-contained, and saying what the numbers say."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from samnesia.study import report
from samnesia.study.design import Design, Factor, Measure, Study
from samnesia.study.engine.run import run_study
from samnesia.study.judging import numbers
from samnesia.study.judging.verdicts import judge
from samnesia.study.report import wording, write_report
from samnesia.study.report.contexts import Grid
from samnesia.study.report.figures import curves, style
from samnesia.study.report.settings import settings_of
from samnesia.study.report.summary import summarize
from samnesia.study.training import Training
from tests.study import synthetic
from tests.study.study_files import make_config, make_study


@pytest.fixture
def no_image_files(monkeypatch):
    """The report is written, but for its image files, which cost most of its time."""
    monkeypatch.setattr(report, "_write_files", lambda *files: None)


@pytest.fixture
def page(compared):
    return (compared / "report.html").read_text()


def written(results):
    """The page of results."""
    report.write_report_of(results, judge(results.design, results.table))
    return (results.out / "report.html").read_text()


def titles(page):
    return re.findall(r"<h2>Figure \d+\. ([^<]+)</h2>", page)


def test_it_is_rebuilt_from_the_disk_alone_to_the_byte(compared, tmp_path):
    out = shutil.copytree(compared, tmp_path / "elsewhere")
    files = [*out.glob("*.json"), out / "report.html", *(out / "figures").glob("*.*")]
    made = {path: path.read_bytes() for path in files if path.name != "study.json"}
    for path in made:
        path.unlink()
    write_report(out)
    assert len(made) == 2 + 14
    assert {path.name for path in made if path.read_bytes() != made[path]} == set()


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


@pytest.mark.parametrize("name", ["compared", "studied", "correlated"])
def test_identifiers_are_unique_and_every_reference_is_met(name, request):
    page = (request.getfixturevalue(name) / "report.html").read_text()
    identifiers = re.findall(r'\bid="([^"]+)"', page)
    assert len(set(identifiers)) == len(identifiers)
    references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page)
    assert {one or other for one, other in references} <= set(identifiers)


def test_figures_take_their_colours_from_the_page(page):
    for token in style.CSS_COLOURS:
        assert token not in page
    for index in range(5):
        assert f"var(--method-{index})" in page
    assert "prefers-color-scheme: dark" in page


@pytest.mark.parametrize("name", ["compared", "studied", "correlated"])
def test_every_figure_is_described_in_words(name, request):
    page = (request.getfixturevalue(name) / "report.html").read_text()
    descriptions = re.findall(r'<svg [^>]*role="img" aria-label="([^"]+)"', page)
    assert len(descriptions) == page.count("<svg ") >= 5
    assert len(set(descriptions)) == len(descriptions)
    assert min(map(len, descriptions)) > 30


def test_figures_of_one_context(page):
    assert titles(page) == [
        "Test accuracy against gradient evaluations", "Test accuracy by method", "Difference to SGD within seeds",
        "Test accuracy over training", "Flipped labels fitted",
    ]  # fmt: skip
    assert "<nav" not in page
    assert "on digits-noisy? No hypothesis was written down before: all of this is exploratory.</dd>" in page


def test_figures_of_several_contexts(studied):
    page = (studied / "report.html").read_text()
    assert titles(page) == [
        "Test accuracy against gradient evaluations", "Test accuracy by factor", "Difference to SGD within seeds",
        "Error reduction by switching from SGD", "Test accuracy of every seed, context by context",
        "Test accuracy over training",
    ]  # fmt: skip
    assert page.count('id="figure-differences-') == page.count('id="figure-differences-0') + page.count(
        'id="figure-differences-1'
    ) + page.count('id="figure-differences-2') + page.count('id="figure-differences-3')
    assert '<a href="#differences">' in page


def test_figures_of_correlations(correlated):
    page = (correlated / "report.html").read_text()
    assert titles(page) == [
        "Generalization gap against seconds", "Generalization gap by factor", "Difference to SGD within seeds",
        "Reduction of generalization gap by switching from SGD", "Every run, measure by measure",
        "Measures that hypotheses relate", "Exploratory: covariates and the first measure",
    ]  # fmt: skip


def test_figures_are_written_as_files(compared):
    names = {"cost", "scores", "differences", "test_accuracy", "flipped_fitted", "overview", "overview-dark"}
    found = list((compared / "figures").iterdir())
    assert {path.name for path in found} == {f"{name}{suffix}" for name in names for suffix in (".svg", ".png")}
    assert min(path.stat().st_size for path in found) > 1000


def test_the_panels_of_a_figure_stand_in_one_file(tmp_path):
    results = synthetic.problems(tmp_path, contexts=2, arms=3, seeds=3)
    summary, grid = summarize(results), Grid(results.design, results.table)
    plates = {plate.name: plate for plate in report.make_plates(results, grid, summary, [])}
    assert report.overview(results, grid, summary) == []
    with style.style_context():
        plates["error_reduction"].write(tmp_path)
    assert {path.name for path in tmp_path.glob("error*")} == {"error_reduction.svg", "error_reduction.png"}
    drawn = (tmp_path / "error_reduction.svg").read_text()
    assert all(
        drawn.count(f">{name}</text>") == 2 for name in ("digits-noisy", "digits-few")
    )  # a panel for each method


def test_text_from_outside_is_escaped(tmp_path, no_image_files):
    results = synthetic.comparison(tmp_path, ("sgd", "sam"), seeds=3, question="<b>Which?</b>")
    reason = {"status": "failed", "reason": "<script>alert(1)</script>"}
    page = written(
        synthetic.changed(results, lambda row: reason if (row["method"], row["seed"]) == ("sam", 1) else None)
    )
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_one_method_and_one_seed_make_a_page_too(tmp_path, no_image_files):
    page = written(synthetic.comparison(tmp_path, ("sam",), seeds=1))
    assert titles(page) == ["Test accuracy by method", "Test accuracy over training", "Flipped labels fitted"]
    assert "Fewer than three seeds give no interval" in page


@pytest.mark.parametrize(
    ("better", "headline"),
    [
        (True, "SAM is above SGD by +0.139 (0."),
        (False, "SAM is not below SGD beyond chance: it differs by +0.139 (0."),
        (None, "SAM is above SGD by +0.139 (0."),
    ],
)
def test_a_score_without_epochs_makes_a_page(tmp_path, no_image_files, better, headline):
    def run(levels, seed):
        values, _ = synthetic.forgetting_run(levels, seed)
        return {"score": values["last.test_accuracy"] / 100, "seconds": values["seconds"]}, {}

    score = (Measure("score", "score", "score", "", better),)
    results = synthetic.comparison(tmp_path, ("sgd", "sam"), run=run, measures=score)
    page = written(results)
    assert headline in wording.headline(summarize(results))
    assert titles(page) == ["Score against seconds", "Score by method", "Difference to SGD within seeds"]
    assert " epoch" not in page and ("is better" in page) == (better is not None)


def test_where_all_take_as_many_gradients_there_is_no_figure_of_cost(tmp_path, no_image_files):
    """Not one of seconds instead: what was made equal is what counts, and seconds stand in the table."""
    results = synthetic.comparison(tmp_path, ("sgd", "sam"), seeds=3)
    assert "Test accuracy against gradient evaluations" in titles(written(results))
    found = titles(written(synthetic.changed(results, lambda row: {"gradient_evaluations": 800.0})))
    assert "Test accuracy by method" in found and not any("against" in title for title in found)


def test_a_study_whose_cells_have_all_failed_but_one_makes_a_page(tmp_path, no_image_files):
    results = synthetic.problems(tmp_path, contexts=3, arms=4, seeds=3)
    kept = results.table["directory"].iloc[0]
    reason = {"status": "failed", "reason": "out of memory"}
    page = written(synthetic.changed(results, lambda row: None if row["directory"] == kept else reason))
    assert "No run has a partner of SGD, the baseline, yet" in page
    assert "30 more" in page


def test_a_problem_without_flipped_labels_has_no_such_figure(tmp_path, no_image_files):
    def run(levels, seed):
        values, found = synthetic.forgetting_run(levels, seed)
        plain = {name: value for name, value in values.items() if not name.endswith("flipped_fitted")}
        return plain, found | {"flipped_fitted": [None] * 20}

    results = synthetic.comparison(tmp_path, ("sgd", "sam"), seeds=3, run=run)
    assert "Flipped" not in written(results)
    grid = Grid(results.design, results.table)
    assert curves.curves_by_method(grid, results.outcomes, grid.contexts[0], "flipped_fitted")["sam"] == []


def test_runs_of_unequal_epochs_are_drawn_each_over_its_own(tmp_path, no_image_files):
    def run(levels, seed):
        return synthetic.forgetting_run(levels, seed, epochs=20 if levels["method"] == "sgd" else 10)

    results = synthetic.comparison(tmp_path, ("sgd", "sam"), seeds=3, run=run)
    grid = Grid(results.design, results.table)
    found = curves.curves_by_method(grid, results.outcomes, grid.contexts[0], "test_accuracy")
    assert [found[method][0][-1][0] for method in ("sgd", "sam")] == [20, 10]
    assert "Test accuracy over training" in written(results)


def test_settings_are_split_into_shared_and_decided_by_a_factor(tmp_path):
    results = synthetic.problems(tmp_path, contexts=2, arms=2, seeds=1)

    def config(row):
        sam, few = row["method"] == "sam", row["problem"] == "digits-few"
        settings = {"epochs": 20, "optimizer": {"lr": 0.1 * (1 + few)}, "seed": row["seed"], "recipe": "x"}
        settings |= {"method": {"kind": "SAM", "rho": 0.1 * (1 + few)} if sam else {"kind": "Unperturbed"}}
        return {"config": json.dumps(settings)}

    found = settings_of(Grid(results.design, synthetic.changed(results, config).table))
    assert found.shared == {"epochs": 20}
    assert found.by_factor["method"] == {"sgd": {"method.kind": "Unperturbed"}, "sam": {"method.kind": "SAM"}}
    assert found.by_factor["problem"]["digits-few"] == {"optimizer.lr": 0.2}
    assert found.mixed == ("method.rho",)


def test_a_baseline_without_runs_is_told(tmp_path, no_image_files):
    results = synthetic.comparison(tmp_path, ("sgd", "sam"), seeds=4)
    missing = {"status": "missing", "config": None}
    results = synthetic.changed(results, lambda row: missing if row["method"] == "sgd" else None)
    page = written(results)
    assert "No run of SGD, the baseline, has finished" in page
    assert "SGD, seed 3, has not run yet." in page


def test_the_number_of_runs_is_told_where_it_differs(tmp_path, no_image_files):
    results = synthetic.comparison(tmp_path, ("sgd", "sam", "obf"))
    results = synthetic.changed(
        results, lambda row: {"status": "failed"} if (row["method"], row["seed"]) == ("sam", 1) else None
    )
    page = written(results)
    sgd, sam, _ = summarize(results)["methods"]
    assert numbers.ends(sam["difference"]["last"]).endswith(", n = 4")
    assert "n =" not in numbers.ends(sgd["score"]["last"])
    assert page.count(", n = 4</span>") == 5
    assert "the finished ones of 5 seeds (n stands with the row)" in page


@pytest.fixture
def trained(tmp_path):
    """A study of runs that the trainer has left, adopted by the engine."""
    methods = ("sgd", "sam", "gsam")
    make_study(tmp_path, methods=methods, seeds=range(3))
    design = Design("digits-noisy", "Which?", (Factor("method", methods),), synthetic.ACCURACY, (0, 1, 2))
    study = Study(design, lambda levels, seed: Training(make_config("digits-noisy", levels["method"], seed)))
    return run_study(study, tmp_path, workers=1, progress=False)


def test_facts_tell_the_start_of_the_perturbation_and_the_tuning(trained, no_image_files):
    page = written(trained)
    assert "Weights are perturbed from epoch 0 of 20 on." in page
    assert "800 training, 200 validation and 797 test images" in page
    assert "The radius of each perturbed method" in page
    assert "This does not hold for SGD" not in page and "does not hold for SAM and GSAM, whose settings" in page
    assert "nothing about new images" in page
    assert "and no interval is widened for that" in page
    assert "at equal numbers of epochs, not at equal cost." in page
    assert (
        "the earliest with the highest validation accuracy of the run; it is chosen without looking at the test" in page
    )
    assert '<span class="setting"><code>method.rho</code> 0.05</span>' in page


def test_of_settings_that_are_no_recipes_nothing_is_said_to_be_known(tmp_path, no_image_files):
    make_study(tmp_path, "own", methods=("sgd", "sam"), seeds=range(3))
    design = Design("radii", "Which?", (Factor("radius", ("sgd", "sam")),), synthetic.ACCURACY, (0, 1, 2),
                    compared="radius")  # fmt: skip
    study = Study(design, lambda levels, seed: Training(make_config("own", levels["radius"], seed)))
    page = written(run_study(study, tmp_path, workers=1, progress=False))
    assert "How they were chosen is not known to this page." in page and "does not hold for" not in page
    assert "Test accuracy by radius" in titles(page) and '<button type="button">Radius</button>' in page
    words = re.sub(r"<svg.*?</svg>|<[^>]+>", " ", page.partition('id="settings"')[0].partition("<main>")[2], flags=re.S)
    assert re.findall(r".*method.*", words) == []


def test_facts_tell_notes_tuning_seeds_and_what_was_left_out(studied):
    page = (studied / "report.html").read_text()
    assert "<dd>3 problems × 4 methods × 4 seeds (100 to 103); 47 of 48 runs finished.</dd>" in page
    assert "Radii were chosen on validation, on the tuning seeds." in page
    assert "Settings were chosen on seeds 0 to 4, which are not reported." in page
    assert "GSAM, textures, seed 103, failed: RuntimeError: out of memory" in page


def test_everything_else_was_equal_only_where_it_was(tmp_path, page, no_image_files):
    assert "everything else was equal" in page
    results = synthetic.comparison(tmp_path, ("sgd", "sam"), seeds=3)
    directory = results.table["directory"].iloc[2]
    newer = {**synthetic.ENVIRONMENT, "torch": "2.11.0"}
    results.outcomes[directory] = replace(results.outcomes[directory], environment=newer)
    page = written(results)
    assert "everything else was equal" not in page
    assert "Not all runs were made by one commit and one version of torch" in page


@pytest.mark.parametrize("gap", [0.0, 1.0, 5.0])
def test_labels_are_spread_in_order_and_no_further_than_needed(gap):
    values = [3.0, 90.0, 3.5, 50.0, 4.0]
    moved = style.spread(values, gap)
    order = sorted(range(5), key=values.__getitem__)
    steps = [moved[b] - moved[a] for a, b in zip(order, order[1:], strict=False)]
    assert all(step >= gap - 1e-9 for step in steps)
    assert (moved[1], moved[3]) == (90.0, 50.0)
    assert sum(moved) == pytest.approx(sum(values))


def test_it_names_the_command(page):
    assert "samnesia study made-up.py --out runs/made-up" in page


def test_captions_say_what_an_axis_leaves_out(tmp_path, page, no_image_files):
    assert "The axis leaves out the steep start." in page
    assert "Intervals are cut" not in page

    def run(levels, seed):
        values, found = synthetic.forgetting_run(levels, seed)
        found["test_accuracy"], values["last.test_accuracy"] = [80.0] * 20, 99.0 if seed else 70.0
        return values, found | {"flipped_fitted": [None] * 20}

    page = written(synthetic.comparison(tmp_path, ("sgd", "sam"), run=run))
    assert "The axis leaves out the steep start." not in page
    assert "Intervals are cut at 0 and 100 %." in page
    assert " to 100.0</span>" in page


def test_runs_that_collapsed_are_named_near_the_top(tmp_path, no_image_files):
    results = synthetic.comparison(tmp_path, ("sgd", "gsam"), seeds=3)
    directory = results.table.query("method == 'gsam' and seed == 2")["directory"].iloc[0]
    results.outcomes[directory] = replace(results.outcomes[directory], notes=("it has collapsed",))
    page = written(results)
    assert page.index("GSAM, seed 2: it has collapsed") < page.index("<figure")


def test_verdicts_come_first_and_say_why(correlated):
    page = (correlated / "report.html").read_text()
    question = page.index("<h1>Does sharpness rank runs as their generalization gap does?</h1>")
    assert question < page.index('<p class="tally">') < page.index('class="verdicts"')
    assert page.index('class="verdicts"') < page.index('class="headline"') < page.index("Figure 1.")
    assert page.count('<li class="verdict ') == 3
    assert "Verdicts on the 3 hypotheses are made together, by Holm’s step-down at an error of 5 %" in page
    assert "They were written down before the first result. No seeds were added after results had been seen." in page
    for verdict in json.loads((correlated / "compare.json").read_text())["verdicts"]:
        ruling, _, sentence = verdict["sentence"].partition(": ")
        assert f"{ruling}</p>" in page
        assert sentence[1:].replace("'", "&#39;") in page.replace("\xa0", " ")


def test_many_hypotheses_take_a_line_each_and_unfold(studied):
    page = (studied / "report.html").read_text()
    assert page.count('<summary><span class="ruling">') == 9
    assert "A click on a claim unfolds its verdict in words." in page
    assert "reaches the smallest effect of interest, +0.5" in page
    assert "<p>SAM minus SGD in test accuracy" in page and "sam minus sgd" not in page
    # One scale for all, whose numbers stand below the last.
    assert page.count(">difference (points)</text>") == 1


def test_scatters_name_tau_with_its_interval(correlated):
    page = (correlated / "report.html").read_text()
    verdicts = json.loads((correlated / "compare.json").read_text())["verdicts"]
    tau = numbers.signed(verdicts[0]["estimate"]["effect"], 2)
    assert re.search(
        rf'aria-label="generalization gap against worst-case sharpness of 36 runs in 12 cells: tau \{tau} \(', page
    )
    assert "generalization gap against weight norm of 36 runs in 12 cells" in page
    assert "No hypothesis was made about these, and no interval is widened for looking at all of them." in page


def test_reliability_is_told_of_the_measures_that_are_ranked(correlated, page):
    told = re.search(r"<dt>Reliability</dt>\s*<dd>([^<]+)</dd>", (correlated / "report.html").read_text())[1]
    for name in ("generalization gap", "worst-case sharpness", "average flatness", "weight norm"):
        assert re.search(rf"{name} [01]\.\d\d \(", told)
    assert "<dt>Reliability</dt>" not in page


def test_tables_hold_every_measure_once(correlated, compared):
    def heads(page):
        table = page[page.index('aria-label="Table of results"') :]
        return re.findall(r'<button type="button">([^<]+)</button>', table)

    assert heads((correlated / "report.html").read_text()) == [
        "Method", "Learning rate", "Generalization gap", "Difference", "Seconds", "Worst-case sharpness",
        "Average flatness", "Weight norm",
    ]  # fmt: skip
    assert heads((compared / "report.html").read_text()) == [
        "Method", "Last epoch", "Best epoch", "Difference, last", "Difference, best", "Flipped fitted", "Gradients",
        "Seconds",
    ]  # fmt: skip
