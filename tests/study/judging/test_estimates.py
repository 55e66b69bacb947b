"""What runs say about a hypothesis: by hand, by SciPy, and what does not count."""

import itertools
import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from samnesia.measure.ranking.kendall import granulated_tau, partial_tau
from samnesia.perturb.errors import ConfigurationError
from samnesia.study.design import Design, Factor, Measure
from samnesia.study.hypotheses import Correlation, Difference, StrongerCorrelation
from samnesia.study.judging.estimates import reliability

METHODS, PROBLEMS, SEEDS = ("sgd", "sam", "asam", "gsam"), ("digits", "noisy", "bricks"), tuple(range(6))
MEASURES = (
    Measure("accuracy", "last.test_accuracy", "test accuracy, last epoch", "%", True),
    Measure("sharpness", "sharpness", "sharpness"),
    Measure("forgetting", "forgetting", "forgetting"),
    Measure("loss", "loss", "training loss"),
)
COLUMNS = {measure.name: measure.value for measure in MEASURES}


def study(*primary, methods=METHODS, problems=PROBLEMS, seeds=SEEDS, **options):
    factors = (Factor("problem", problems), Factor("method", methods))
    return Design("study", "Does it?", factors, MEASURES, seeds, primary, **options)


def runs(design, seed=0):
    """A finished table: cell effects, seed effects and noise in every measure; accuracy goes with forgetting."""
    generator = np.random.default_rng(seed)
    rows = []
    shift = {number: generator.normal(0, 3) for number in design.seeds}
    for cell, levels in enumerate(design.cells()):
        own = generator.normal(size=4)
        for number in design.seeds:
            noise = generator.normal(size=4)
            value = own + 0.5 * noise + shift[number]
            rows.append({**levels, "seed": number, "status": "finished", "reason": None,
                         "directory": f"cells/{cell}-seed{number}", "config": "{}",
                         "last.test_accuracy": 80 + value[0] + value[1], "sharpness": value[2],
                         "forgetting": value[1], "loss": value[3]})  # fmt: skip
    return pd.DataFrame(rows)


def beats(**options):
    return Difference(claim="SAM beats SGD", measure="accuracy", treatment={"method": "sam"},
                      control={"method": "sgd"}, **options)  # fmt: skip


def by_seed(table, method):
    return table[table["method"] == method].groupby("seed")["last.test_accuracy"].mean().to_numpy()


def test_a_difference_is_the_paired_t_test_of_means_over_contexts():
    design = study(beats())
    table = runs(design)
    found = design.primary[0].estimate(design, table)
    expected = stats.ttest_rel(by_seed(table, "sam"), by_seed(table, "sgd"), alternative="greater")
    assert found.effect == pytest.approx((by_seed(table, "sam") - by_seed(table, "sgd")).mean())
    assert found.p_support == pytest.approx(expected.pvalue)
    two_sided = stats.ttest_rel(by_seed(table, "sam"), by_seed(table, "sgd")).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((two_sided.low, two_sided.high))
    assert (found.n, found.runs, found.drawn, found.reason, found.notes) == (6, 36, "n = 6 pairs", None, ())
    assert found.how == "paired t over 6 pairs, each of means over 3 contexts"


@pytest.mark.parametrize("direction, sign", [("higher", 1), ("lower", -1)])
def test_p_values_count_in_the_claims_direction_and_the_effect_does_not(direction, sign):
    hypothesis = beats(direction=direction, smallest=0.7, where={"problem": "noisy"})
    design = study(hypothesis)
    table = runs(design)
    here = table[table["problem"] == "noisy"]
    differences = by_seed(here, "sam") - by_seed(here, "sgd")
    found = hypothesis.estimate(design, table)
    assert found.effect == pytest.approx(differences.mean())
    assert found.p_support == pytest.approx(stats.ttest_1samp(sign * differences, 0.0, alternative="greater").pvalue)
    assert found.p_contradict == pytest.approx(stats.ttest_1samp(sign * differences, 0.7, alternative="less").pvalue)


def test_the_order_of_the_rows_and_the_other_side_of_the_claim():
    design = study(beats(smallest=0.5))
    table = runs(design)
    found = design.primary[0].estimate(design, table)
    assert design.primary[0].estimate(design, table.sample(frac=1.0, random_state=1)) == found
    turned = Difference(claim="turned", measure="accuracy", treatment={"method": "sgd"}, control={"method": "sam"},
                        direction="lower", smallest=0.5)  # fmt: skip
    other = turned.estimate(design, table)
    assert other.effect == pytest.approx(-found.effect)
    assert (other.p_support, other.p_contradict) == pytest.approx((found.p_support, found.p_contradict))
    assert (other.low, other.high) == pytest.approx((-found.high, -found.low))


def test_a_seed_counts_only_with_both_sides_in_every_context():
    design = study(beats())
    table = runs(design)
    lost = (table["method"] == "sam") & (table["problem"] == "noisy") & (table["seed"] == 2)
    table.loc[lost, ["status", "reason"]] = ["failed", "it diverged"]
    found = design.primary[0].estimate(design, table)
    whole = table[table["seed"] != 2]
    assert found.effect == pytest.approx((by_seed(whole, "sam") - by_seed(whole, "sgd")).mean())
    assert (found.n, found.drawn) == (5, "n = 5 of 6 pairs; 1 lost")
    assert found.notes == (
        "without 1 of 36 runs: failed or not run yet",
        "without seed 2, which does not have both sides everywhere",
    )


def test_runs_of_other_levels_are_nobodys_loss_and_runs_to_come_are_not_lost():
    design = study(beats())
    table = runs(design)
    table.loc[(table["method"] == "gsam") & (table["seed"] == 1), "status"] = "failed"
    found = design.primary[0].estimate(design, table)
    assert (found.drawn, found.notes) == ("n = 6 pairs", ())
    table.loc[(table["method"] == "sgd") & (table["seed"] == 1), "status"] = "missing"
    assert design.primary[0].estimate(design, table).drawn == "n = 5 of 6 pairs; 1 not run yet"
    table.loc[(table["method"] == "sam") & (table["seed"] == 2), "status"] = "failed"
    assert design.primary[0].estimate(design, table).drawn == "n = 4 of 6 pairs; 2 lost or not run yet"
    tau = Correlation(claim="c", x="forgetting", y="accuracy").estimate(design, table)
    assert tau.drawn == "12 design cells, 63 runs; 9 lost or not run yet"


@pytest.mark.parametrize("kind", ["difference", "tau"])
def test_levels_in_over_are_all_that_counts(kind):
    def claim(**options):
        return beats(**options) if kind == "difference" else Correlation(
            claim="c", x="sharpness", y="accuracy", **options
        )  # fmt: skip

    some = claim(over={"problem": ("digits", "bricks")})
    design = study(some)
    table = runs(design)
    small = study(claim(), problems=("digits", "bricks"))
    expected = small.primary[0].estimate(small, table[table["problem"] != "noisy"])
    found = some.estimate(design, table)
    assert found == expected and found != claim().estimate(design, table)
    assert some.subject(design).endswith(" over problem digits, bricks")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"over": {"method": ("sam", "sgd")}}, "be named nowhere else"),
        ({"where": {"problem": "noisy"}, "over": {"problem": ("noisy",)}}, "be named nowhere else"),
        ({"over": {"problem": ()}}, "must have a level or more"),
        ({"over": {"problem": ("nosy",)}}, "did you mean 'noisy'?"),
    ],
)
def test_levels_that_cannot_be_ranged_over_are_refused(options, sentence):
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        study(beats(**options))


def test_a_context_where_one_side_never_ran_does_not_count():
    design = study(beats(), left_out=({"method": "sgd", "problem": "bricks"},))
    table = runs(design)
    found = design.primary[0].estimate(design, table)
    both = table[table["problem"] != "bricks"]
    assert found.effect == pytest.approx((by_seed(both, "sam") - by_seed(both, "sgd")).mean())
    assert (found.n, found.runs, found.drawn) == (6, 24, "n = 6 pairs")  # so it was defined: nothing is lost
    assert found.notes == ("without problem bricks, where only one side ran",)


def test_a_context_that_most_seeds_lack_goes_rather_than_the_seeds():
    design = study(beats())
    table = runs(design)
    table.loc[(table["method"] == "sam") & (table["problem"] == "noisy") & (table["seed"] > 1), "status"] = "failed"
    found = design.primary[0].estimate(design, table)
    assert (found.n, found.runs, found.drawn) == (6, 24, "n = 6 pairs; over 2 of 3 contexts")
    assert "without problem noisy, where fewer than half of the seeds have both sides" in found.notes


def test_values_that_are_no_numbers_do_not_count():
    design = study(beats(where={"problem": "noisy"}))
    table = runs(design)
    sam = (table["method"] == "sam") & (table["problem"] == "noisy")
    table.loc[sam & (table["seed"] == 0), "last.test_accuracy"] = math.nan
    table.loc[sam & (table["seed"] == 1), "last.test_accuracy"] = math.inf
    found = design.primary[0].estimate(design, table)
    assert (found.n, found.drawn) == (4, "n = 4 of 6 pairs; 2 lost")
    assert "without 2 finished runs: no finite test accuracy, last epoch" in found.notes
    assert "without seeds 0, 1, which do not have both sides" in found.notes


@pytest.mark.parametrize("seeds, reason", [((0, 1), "2 pairs are too few (it takes 3)"), ((0,), "1 pair is too few")])
def test_few_seeds_have_an_effect_and_no_interval(seeds, reason):
    design = study(beats(), seeds=seeds)
    found = design.primary[0].estimate(design, runs(design))
    assert found.effect is not None and found.n == len(seeds)
    assert reason in found.reason
    assert found.low is found.high is found.p_support is found.p_contradict is None


def test_differences_that_are_all_equal_have_no_interval():
    design = study(beats())
    table = runs(design)
    table["last.test_accuracy"] = 80.0 + 0.1 * table["seed"] + 1.5 * (table["method"] == "sam")
    found = design.primary[0].estimate(design, table)
    assert found.effect == pytest.approx(1.5) and found.low is None
    assert found.reason == "the difference is the same in all pairs"


def test_without_runs_there_is_nothing():
    for table in (runs(study()).assign(status="missing"), runs(study()).drop(columns="last.test_accuracy")):
        design = study(beats())
        found = design.primary[0].estimate(design, table)
        assert (found.effect, found.n, found.reason) == (None, 0, "no seed has both sides")
        tau = Correlation(claim="c", x="forgetting", y="accuracy").estimate(design, table)
        assert tau.effect is None and tau.reason == "there is no run"


def column(table, name):
    return table[COLUMNS[name]].to_numpy()


def test_a_tau_is_that_of_runs_of_one_seed():
    design = study(Correlation(claim="c", x="forgetting", y="accuracy"))
    table = runs(design)
    found = design.primary[0].estimate(design, table)
    taus = [stats.kendalltau(column(rows, "forgetting"), column(rows, "accuracy")).statistic
            for _, rows in table.groupby("seed")]  # fmt: skip
    assert found.effect == pytest.approx(np.mean(taus))
    assert (found.n, found.runs, found.drawn) == (12, 72, "12 design cells, 72 runs")
    assert found.low < found.effect < found.high
    assert found.notes == ("design cells that share a problem or a method are taken to be independent",)
    one_seed = table[table["seed"] == 3]
    expected = stats.kendalltau(column(one_seed, "forgetting"), column(one_seed, "accuracy")).statistic
    assert design.primary[0].estimate(design, one_seed).effect == pytest.approx(expected)


def test_a_tau_within_a_factor_draws_what_is_the_same_on_all_its_levels():
    design = study(methods=tuple("abcdefgh"))
    table = runs(design)
    hypothesis = Correlation(claim="c", x="sharpness", y="accuracy", within=("problem",))
    found = hypothesis.estimate(design, table)
    groups = list(zip(table["problem"], table["seed"], strict=True))
    assert found.effect == pytest.approx(granulated_tau(column(table, "sharpness"), column(table, "accuracy"), groups))
    assert found.drawn == "8 combinations of method, 144 runs"
    cells = Correlation(claim="c", x="sharpness", y="accuracy", within=("problem",), units=("problem", "method"))
    other = cells.estimate(design, table)
    assert other.effect == found.effect and other.drawn == "24 design cells, 144 runs"


def test_a_partial_tau_and_a_difference_of_taus_are_those_of_their_parts():
    design = study()
    table = runs(design)
    seeds = table["seed"].to_numpy()
    given = Correlation(claim="c", x="forgetting", y="accuracy", given="loss").estimate(design, table)
    x, rival, y, z = (column(table, name) for name in ("forgetting", "sharpness", "accuracy", "loss"))
    assert given.effect == pytest.approx(partial_tau(x, y, z, seeds))
    both = StrongerCorrelation(claim="c", x="forgetting", rival="sharpness", y="accuracy", signs=(1, -1))
    assert both.estimate(design, table).effect == pytest.approx(
        granulated_tau(x, y, seeds) + granulated_tau(rival, y, seeds)
    )
    held = StrongerCorrelation(claim="c", x="forgetting", rival="sharpness", y="accuracy", given="loss")
    assert held.estimate(design, table).effect == pytest.approx(
        partial_tau(x, y, z, seeds) - partial_tau(rival, y, z, seeds)
    )
    assert "given training loss" in held.estimate(design, table).how


def test_a_covariate_of_few_values_is_kept_apart_like_a_factor():
    design = study()
    table = runs(design)
    table["loss"] = table["problem"].map({"digits": 0.1, "noisy": 0.2, "bricks": 0.3})
    found = Correlation(claim="c", x="forgetting", y="accuracy", given="loss").estimate(design, table)
    within = Correlation(claim="c", x="forgetting", y="accuracy", within=("problem",), units=("problem", "method"))
    same = within.estimate(design, table)
    assert (found.effect, found.low, found.p_support) == (same.effect, same.low, same.p_support)
    assert "that agree in training loss, which takes few values" in found.how


@pytest.mark.parametrize("kind", ["tau", "stronger"])
def test_turning_the_claim_around_turns_everything_but_the_p_values(kind):
    design = study()
    table = runs(design)
    turned = table.assign(**{"last.test_accuracy": -table["last.test_accuracy"]})

    def hypothesis(direction):
        if kind == "tau":
            return Correlation(claim="c", x="forgetting", y="accuracy", direction=direction, smallest=0.2)
        return StrongerCorrelation(claim="c", x="forgetting", rival="sharpness", y="accuracy", direction=direction,
                                   smallest=0.2)  # fmt: skip

    one, other = hypothesis("higher").estimate(design, table), hypothesis("lower").estimate(design, turned)
    assert (other.effect, other.low, other.high) == pytest.approx((-one.effect, -one.high, -one.low))
    assert (other.p_support, other.p_contradict) == pytest.approx((one.p_support, one.p_contradict))


def test_runs_that_several_design_cells_share_count_once():
    """SGD has no radius: its cells at every rho are one run, which is not several."""
    factors = (Factor("rho", ("0.01", "0.05", "0.1")), Factor("method", ("sgd", "sam", "asam", "gsam")))
    design = Design("study", "Does it?", factors, MEASURES, SEEDS)
    table = runs(design)
    sgd = table["method"] == "sgd"
    for name in ("directory", *COLUMNS.values()):
        first = table[sgd & (table["rho"] == "0.01")].set_index("seed")[name]
        table.loc[sgd, name] = table.loc[sgd, "seed"].map(first)
    found = Correlation(claim="c", x="forgetting", y="accuracy").estimate(design, table)
    once = table[~sgd | (table["rho"] == "0.01")]
    assert (found.n, found.runs) == (10, 60)
    assert "without 12 repetitions of runs that several design cells share" in found.notes
    assert found.effect == Correlation(claim="c", x="forgetting", y="accuracy").estimate(design, once).effect
    within = Correlation(claim="c", x="forgetting", y="accuracy", within=("rho",), units=("rho", "method"))
    assert (within.estimate(design, table).n, within.estimate(design, table).runs) == (10, 72)
    assert reliability(design, table, "accuracy").cells == 10


def test_a_perfect_order_has_no_interval_and_is_judged_by_permuting_cells():
    design = study()
    table = runs(design)
    table["forgetting"] = np.exp(table["last.test_accuracy"] / 10)
    hypothesis = Correlation(claim="c", x="forgetting", y="accuracy", smallest=0.5)
    found = hypothesis.estimate(design, table)
    assert found.effect == 1.0 and found.low is None and found.reason == "all pairs of runs agree"
    assert found.p_support <= 0.001 and found.p_contradict == 1.0
    lower = Correlation(claim="c", x="forgetting", y="accuracy", direction="lower").estimate(design, table)
    assert lower.p_support == 1.0 and lower.p_contradict <= 0.001
    few = hypothesis.estimate(design, table[table["problem"] == "noisy"])
    assert few.effect == 1.0 and few.p_support is None and "4 design cells are too few" in few.reason


def test_no_figure_depends_on_the_order_of_the_table():
    design = study()
    table = runs(design)
    for hypothesis in (
        beats(),
        Correlation(claim="c", x="forgetting", y="accuracy", within=("problem",), units=("problem", "method")),
        StrongerCorrelation(claim="c", x="forgetting", rival="sharpness", y="accuracy", given="loss"),
    ):
        shuffled = table.sample(frac=1.0, random_state=2)
        assert hypothesis.estimate(design, shuffled) == hypothesis.estimate(design, table)
    assert reliability(design, shuffled, "accuracy") == reliability(design, table, "accuracy")


def test_few_cells_and_constant_measures_have_no_interval():
    few = study(problems=("digits",))
    found = Correlation(claim="c", x="forgetting", y="accuracy").estimate(few, runs(few))
    assert found.effect is not None and found.low is None and "4 design cells are too few" in found.reason
    design = study()
    table = runs(design).assign(forgetting=1.0)
    constant = Correlation(claim="c", x="forgetting", y="accuracy").estimate(design, table)
    assert constant.effect is None and "differs in each of the measures" in constant.reason
    table = runs(design)
    one = table["directory"].str.startswith("cells/0-")
    lonely = Correlation(claim="c", x="forgetting", y="accuracy").estimate(design, table.assign(forgetting=one * 1.0))
    assert lonely.effect is not None and lonely.low is None and "too few design cells differ" in lonely.reason


def test_monotone_changes_of_a_measure_change_no_tau():
    design = study()
    table = runs(design)
    changed = table.assign(forgetting=np.exp(table["forgetting"]), sharpness=table["sharpness"] ** 3)
    for hypothesis in (
        Correlation(claim="c", x="forgetting", y="accuracy", within=("problem",), units=("problem", "method")),
        Correlation(claim="c", x="forgetting", y="accuracy", given="sharpness"),
        StrongerCorrelation(claim="c", x="forgetting", rival="sharpness", y="accuracy"),
    ):
        assert hypothesis.estimate(design, changed) == hypothesis.estimate(design, table)


def test_reliability_is_read_from_the_table():
    design = study()
    table = runs(design)
    found = reliability(design, table, "forgetting")
    assert found.cells == 12 and found.seeds == 6
    assert found.single == pytest.approx(0.8, abs=0.15)  # cell effects of variance 1, noise of 0.25
    assert reliability(design, table, "forgetting", {"problem": ("noisy",)}).cells == 4
    assert reliability(design, table.assign(status="failed"), "forgetting").value is None


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: beats(expected_sd=0.0), "standard deviation of 0.0"),
        (lambda: Correlation(claim="c", x="loss", y="accuracy", smallest=1.0), "0 or more and below 1"),
        (lambda: StrongerCorrelation(claim="c", x="loss", rival="loss", y="accuracy", smallest=2.0), "and below 2"),
        (
            lambda: study(Correlation(claim="c", x="loss", y="accuracy", within=("problem", "method"))),
            "nothing to rank",
        ),
        (lambda: study(Correlation(claim="c", x="loss", y="accuracy", units=("metod",))), "did you mean 'method'"),
    ],
)
def test_what_cannot_be_tested_is_refused(make, message):
    with pytest.raises(ConfigurationError, match=f"cannot .*{message}"):
        make()


def test_a_design_with_units_and_an_expected_spread_survives_json():
    design = study(
        beats(expected_sd=0.8), Correlation(claim="c", x="loss", y="accuracy", within=("problem",), units=("method",))
    )
    assert Design.from_json(design.to_json()) == design
    older = design.to_json()
    for plain, name in itertools.product(older["primary"], ("expected_sd", "units")):
        plain.pop(name, None)
    assert Design.from_json(older) == study(
        beats(), Correlation(claim="c", x="loss", y="accuracy", within=("problem",))
    )


def test_a_hypothesis_may_be_about_some_of_the_seeds():
    """What the others show does not touch it, and its numbers are those of a study of these seeds alone."""
    some, alone = beats(seeds=(3, 4, 5)), beats()
    design = study(some)
    table = runs(design)
    here = table[table["seed"] >= 3]
    found, expected = some.estimate(design, table), alone.estimate(study(alone, seeds=(3, 4, 5)), here)
    assert (found.effect, found.low, found.drawn) == (expected.effect, expected.low, "n = 3 pairs")
    assert some.subject(design).endswith(" with seeds 3 to 5")
    tau = {"claim": "tau", "x": "forgetting", "y": "accuracy"}
    stronger = {"claim": "stronger", "x": "forgetting", "rival": "sharpness", "y": "accuracy"}
    for kind, of in ((Correlation, tau), (StrongerCorrelation, stronger)):
        found = kind(**of, seeds=(3, 4, 5)).estimate(design, table)
        assert (found.effect, found.runs) == (kind(**of).estimate(design, here).effect, 36)
    assert some.power(design) == alone.power(study(alone, seeds=(3, 4, 5)))
    with pytest.raises(
        ConfigurationError, match="cannot test 'SAM beats SGD' on seeds 7, because the study study does"
    ):
        study(beats(seeds=(5, 7)))
