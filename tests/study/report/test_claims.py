"""The verdicts as the page tells them: how many, by which rule, and what was added when."""

import re
from dataclasses import replace

import pytest

from samnesia.study.engine.definition import Change
from samnesia.study.judging.verdicts import judge
from samnesia.study.report.claims import Claim, Claims, claims_of
from samnesia.study.report.figures.strips import Strip, common, stacked
from tests.study import synthetic


@pytest.mark.parametrize(
    ("rulings", "tally"),
    [
        (("undecided",), "The hypothesis is undecided."),
        (("supported",) * 2, "Both hypotheses are supported."),
        (("contradicted",) * 3, "All 3 hypotheses are contradicted."),
        (("undecided", "supported", "supported"), "Of 3 hypotheses, 2 are supported and 1 is undecided."),
    ],
)
def test_rulings_are_counted(rulings, tally):
    strip = Strip(1.0, 0.5, 1.5, 0.0, 1, "difference")
    claims = [Claim("it helps", ruling, "It does.", (), "+1.0", strip) for ruling in rulings]
    assert Claims("Does it help?", claims, ()).tally == tally


def test_the_rule_of_one_hypothesis_needs_no_holm(tmp_path):
    results = synthetic.problems(tmp_path, contexts=1, arms=2, seeds=4)
    found = claims_of(results, judge(results.design, results.table))
    assert found.rule[0] == "The hypothesis is judged at an error of 5 %, half of it for and half against."


def test_seeds_that_were_added_after_results_are_told(tmp_path):
    results = synthetic.problems(tmp_path, contexts=2, arms=3, seeds=3)
    seeds = results.design.seeds
    history = (
        Change("2000-01-01T00:00:00+00:00", 0, "defined", seeds[:2]),
        Change("2000-01-02T00:00:00+00:00", 12, "seed 102 added", seeds[2:]),
    )
    rule = " ".join(claims_of(replace(results, history=history), judge(results.design, results.table)).rule)
    assert "On 2000-01-02, when 12 runs had finished: seed 102 added." in rule
    assert "No seeds were added" not in rule
    late = (Change("2000-01-03T00:00:00+00:00", 1, "defined", seeds),)
    rule = " ".join(claims_of(replace(results, history=late), judge(results.design, results.table)).rule)
    assert "They were written down on 2000-01-03, when 1 run had finished." in rule


def test_strips_of_one_kind_have_one_scale_and_many_one_axis():
    strips = [
        Strip(1.0, 0.5, 1.5, 0.0, 1, "difference"), Strip(-4.0, -5.0, -3.0, 1.0, -1, "difference"),
        Strip(0.3, 0.1, 0.5, 0.2, 1, "tau"),
    ]  # fmt: skip
    first, second, tau = common(strips)
    assert first.limits == second.limits != tau.limits
    assert first.limits[0] < -5.0 and first.limits[1] > 1.5
    assert [strip.bare for strip in stacked(strips)] == [True, False, False]


@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_of_interest_is_never_a_sliver(sign):
    low, high = Strip(-sign * 8.0, -sign * 8.0 - 1.0, -sign * 8.0 + 1.0, 1.0, sign, "difference").needed()
    assert (high - 1.0 if sign > 0 else -1.0 - low) > 0.2 * (high - low) * 0.8


def test_an_effect_that_is_small_in_its_unit_is_told_in_figures(tmp_path):
    """A loss in nats, as well as points of accuracy."""
    results = synthetic.problems(tmp_path, contexts=1, arms=2, seeds=4)
    found = claims_of(results, judge(results.design, results.table)).claims[0].found
    assert re.fullmatch(r"[+\N{MINUS SIGN}]\d+\.\d \(\S+\.\d to \S+\.\d\) points", found)
    tiny = (replace(results.design.measures[0], unit="nats"), *results.design.measures[1:])
    table = results.table.assign(**{"last.test_accuracy": results.table["last.test_accuracy"] / 1000})
    results = replace(results, design=replace(results.design, measures=tiny), table=table)
    found = claims_of(results, judge(results.design, results.table)).claims[0].found
    assert found == "\N{MINUS SIGN}0.00031 (\N{MINUS SIGN}0.00212 to 0.00150) nats"
