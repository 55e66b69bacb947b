"""The rule: Holm in two families, and three verdicts that exclude each other."""

import json
import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from samnesia.study.design import Design, Factor, Measure
from samnesia.study.hypotheses import Correlation, Difference, StrongerCorrelation
from samnesia.study.judging.verdicts import Verdict, holm, judge, rule

chances = st.floats(0.0, 1.0)
families = st.lists(chances, min_size=1, max_size=8)


def step_down(p_values, alpha):
    """Holm's procedure as it is told: the smallest at alpha/m, the next at alpha/(m-1), until one fails."""
    rejected = set()
    remaining = dict(enumerate(p_values))
    while remaining:
        smallest = min(remaining, key=remaining.__getitem__)
        if remaining[smallest] * len(remaining) > alpha:
            break
        rejected.add(smallest)
        del remaining[smallest]
    return rejected


@given(families, st.floats(0.001, 0.5))
def test_adjusted_values_reject_what_the_step_down_procedure_rejects(p_values, alpha):
    adjusted = holm(p_values)
    assert {i for i, value in enumerate(adjusted) if value <= alpha} == step_down(p_values, alpha)


@given(families)
def test_holm_lies_between_the_p_value_and_bonferroni_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    for before, after in zip(p_values, adjusted, strict=True):
        assert before <= after <= min(1.0, len(p_values) * before)
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0.0)


@given(families, st.data())
def test_a_larger_p_value_never_makes_an_adjusted_one_smaller(p_values, data):
    index = data.draw(st.integers(0, len(p_values) - 1))
    raised = list(p_values)
    raised[index] = data.draw(st.floats(p_values[index], 1.0))
    assert all(after >= before for before, after in zip(holm(p_values), holm(raised), strict=True))


def test_holm_on_a_worked_example():
    """Holm (1979) on four p-values: 0.01 x 4, 0.02 x 3, then the third 0.03 x 2 and 0.04 x 1, never falling."""
    assert holm([0.02, 0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.06, 0.04, 0.06])
    assert holm([]) == []


def test_the_family_wise_error_of_holm_under_true_nulls():
    generator = np.random.default_rng(0)
    wrong = np.mean([min(holm(row)) <= 0.05 for row in generator.random((4000, 5)).tolist()])
    # 1 - 0.99 ** 5 = 0.049 for independent tests; three standard errors are 0.010.
    assert wrong == pytest.approx(0.049, abs=0.011)


@given(st.floats(-3.0, 3.0), st.floats(0.0, 1.0), st.floats(0.05, 2.0), st.integers(2, 30))
def test_supported_and_contradicted_exclude_each_other(effect, smallest, error, degrees):
    """Whatever the effect: by the condition on the estimate, and by the p-values of a t-test as well."""
    p_support = float(stats.t.sf(effect / error, degrees))
    p_contradict = float(stats.t.cdf((effect - smallest) / error, degrees))
    supported = p_support <= 0.025 and effect >= smallest
    contradicted = p_contradict <= 0.025
    assert not (supported and contradicted)
    expected = "supported" if supported else "contradicted" if contradicted else "undecided"
    assert rule(effect, smallest, p_support, p_contradict, 0.05) == expected


@pytest.mark.parametrize(
    "effect, p_support, p_contradict, expected",
    [
        (1.0, 0.025, 0.9, "supported"),
        (1.0, 0.026, 0.9, "undecided"),
        (0.4, 0.001, 0.3, "undecided"),  # there is an effect, and it may be smaller than what would matter
        (0.5, 0.001, 0.5, "supported"),  # reaching is enough
        (0.1, 0.001, 0.010, "contradicted"),  # there is an effect, and it is smaller than what would matter
        (-1.0, 0.999, 0.001, "contradicted"),
        (-1.0, 0.9, 0.1, "undecided"),
        (None, 1.0, 1.0, "undecided"),
    ],
)
def test_the_rule_case_by_case(effect, p_support, p_contradict, expected):
    assert rule(effect, 0.5, p_support, p_contradict, 0.05) == expected


def test_a_p_value_that_is_no_number_supports_nothing():
    assert rule(1.0, 0.5, math.nan, math.nan, 0.05) == "undecided"


MEASURES = (
    Measure("accuracy", "last.test_accuracy", "test accuracy, last epoch", "%", True),
    Measure("sharpness", "sharpness", "sharpness"),
    Measure("noise", "noise", "noise"),
)


def beats(claim, treatment, **options):
    return Difference(claim=claim, measure="accuracy", treatment={"method": treatment}, control={"method": "sgd"},
                      **options)  # fmt: skip


CLAIMS = (
    beats("SAM beats SGD", "sam", smallest=0.5),
    beats("Random beats SGD", "random", smallest=0.5),
    beats("ASAM beats SGD", "asam", smallest=0.5),
    beats("SAM is worse", "sam", direction="lower"),
    Correlation(claim="Sharp nets are worse", x="sharpness", y="accuracy", direction="lower", smallest=0.3),
    Correlation(claim="Noise tells", x="noise", y="accuracy", smallest=0.3),
    StrongerCorrelation(claim="Sharpness tells more", x="sharpness", rival="noise", y="accuracy", signs=(-1, 1)),
)


def study(*primary, seeds=10):
    methods = Factor("method", ("sgd", "sam", "random", "asam", *(f"m{index}" for index in range(12))))
    return Design("study", "Does it?", (methods,), MEASURES, tuple(range(seeds)), primary)


def table(design, seed=0):
    """SAM is 2 points better, random not at all, ASAM 0.5 with much noise; sharpness goes against accuracy."""
    generator = np.random.default_rng(seed)
    gain = {"sgd": 0.0, "sam": 2.0, "random": 0.0, "asam": 0.5}
    rows = []
    shift = generator.normal(size=len(design.seeds))
    for levels in design.cells():
        method = levels["method"]
        own = gain.get(method, generator.normal(0.0, 2.0))
        for number in design.seeds:
            accuracy = 90 + own + shift[number] + generator.normal(0.0, 3.0 if method == "asam" else 0.3)
            rows.append({**levels, "seed": number, "status": "finished", "reason": None, "config": "{}",
                         "directory": f"cells/{method}-seed{number}", "last.test_accuracy": accuracy,
                         "sharpness": shift[number] * 9 - accuracy + generator.normal(),
                         "noise": generator.normal()})  # fmt: skip
    return pd.DataFrame(rows)


def test_verdicts_differ_and_each_is_said_with_figures():
    design = study(*CLAIMS)
    verdicts = judge(design, table(design))
    assert [verdict.verdict for verdict in verdicts] == [
        "supported", "contradicted", "undecided", "contradicted", "supported", "contradicted", "supported",
    ]  # fmt: skip
    sam, random, asam, worse, sharp, noise, more = (verdict.sentence for verdict in verdicts)
    estimate = verdicts[0].estimate
    assert sam.startswith(
        f"Supported: sam minus sgd in test accuracy (last epoch) is +{estimate.effect:.2f} points (95 % interval "
        f"+{estimate.low:.2f} to +{estimate.high:.2f}; n = 10 pairs), which is above zero beyond chance "
        "(adjusted p < 0.0001, judged at 0.025)"
    )
    assert sam.endswith("and reaches the smallest effect of interest, +0.50 points.")
    assert re.search(r"which rules out \+0.50 points or more \(adjusted p [=<] [\d.e-]+, judged at 0.025\)", random)
    assert asam.startswith("Undecided: asam minus sgd") and asam.endswith("that is not the same as no effect.")
    assert "does not rule out +0.5 points" in asam and "), each judged at 0.025; that is not" in asam
    assert "which rules out an effect below zero" in worse
    assert "Kendall's tau of sharpness with test accuracy (last epoch) is \N{MINUS SIGN}0." in sharp
    assert (
        "16 design cells, 160 runs" in sharp and "reaches the smallest effect of interest, \N{MINUS SIGN}0.30." in sharp
    )
    assert "which rules out +0.30 or more" in noise
    assert "(\N{MINUS SIGN}tau of sharpness with test accuracy (last epoch)) minus tau of noise with it is +" in more


def test_pairs_that_were_lost_stand_in_the_sentence():
    design = study(CLAIMS[0])
    runs = table(design)
    runs.loc[(runs["method"] == "sam") & (runs["seed"] > 7), "status"] = "failed"
    assert "; n = 8 of 10 pairs; 2 lost), which is" in judge(design, runs)[0].sentence


def test_a_sentence_names_the_factor_of_levels_that_are_not_compared():
    factors = (Factor("method", ("sgd", "sam")), Factor("budget", ("steps", "gradients")))
    claim = Difference(claim="c", measure="accuracy", treatment={"budget": "gradients"}, control={"budget": "steps"},
                       where={"method": "sam"})  # fmt: skip
    design = Design("study", "Does it?", factors, MEASURES, (0, 1, 2), (claim,))
    assert claim.subject(design) == (
        "budget gradients minus budget steps in test accuracy (last epoch) at method sam"
    )  # fmt: skip


def test_adjusted_values_are_holms_of_each_family():
    design = study(*CLAIMS)
    runs = table(design)
    estimates = [claim.estimate(design, runs) for claim in CLAIMS]
    verdicts = judge(design, runs)
    assert [verdict.estimate for verdict in verdicts] == estimates
    assert [verdict.p_support for verdict in verdicts] == holm([one.p_support for one in estimates])
    assert [verdict.p_contradict for verdict in verdicts] == holm([one.p_contradict for one in estimates])


def test_a_hypothesis_without_p_values_counts_all_the_same():
    """How strict the others are judged does not depend on how the runs went."""
    design = study(CLAIMS[0], CLAIMS[5])
    runs = table(design)
    broken = judge(design, runs.assign(noise=1.0))
    assert (broken[1].verdict, broken[1].p_support, broken[1].p_contradict) == ("undecided", None, None)
    assert broken[1].sentence == (
        "Undecided: Kendall's tau of noise with test accuracy (last epoch) cannot be told, because no pair of runs "
        "that may be compared differs in each of the measures; that is not the same as no effect."
    )
    assert broken[0].p_support == pytest.approx(2 * broken[0].estimate.p_support)
    few = judge(study(CLAIMS[0], seeds=2), table(study(CLAIMS[0], seeds=2)))[0]
    assert few.verdict == "undecided"
    assert (
        "(n = 2 pairs; no interval, because 2 pairs are too few (it takes 3)); that is not the same as no effect."
        in (few.sentence)
    )


def test_an_effect_beyond_chance_that_is_smaller_than_what_matters_is_undecided():
    claim = beats("SAM beats SGD by far", "sam", smallest=2.05)
    design = study(claim)
    found = judge(design, table(design))[0]
    assert found.verdict == "undecided" and found.estimate.effect < 2.05
    assert found.sentence.endswith("beyond chance (adjusted p < 0.0001, judged at 0.025) but does not reach "
                                   "the smallest effect of interest, +2.05 points.")  # fmt: skip


def test_a_verdict_survives_json():
    design = study(*CLAIMS)
    for verdict in judge(design, table(design).assign(noise=1.0)):
        plain = json.loads(json.dumps(verdict.to_json(), allow_nan=False))
        assert Verdict.from_json(plain) == verdict


def test_no_hypotheses_no_verdicts():
    design = study()
    assert judge(design, table(design)) == []
