"""Power before a study runs: by the noncentral t, by simulation, and in lines to read."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from samnesia.measure.ranking.kendall import tau_of
from samnesia.measure.ranking.resampling import FISHER
from samnesia.study.design import Design, Factor, Measure
from samnesia.study.hypotheses import Correlation, Difference, StrongerCorrelation
from samnesia.study.judging.power import (
    Truth,
    contradicted,
    describe_power,
    detectable,
    level,
    of_correlation,
    simulate,
    supported,
)

MEASURES = tuple(Measure(name, f"last.{name}", name, unit) for name, unit in (("a", "%"), ("b", ""), ("c", "")))


def study(*primary, methods=8, problems=2, seeds=5, **options):
    factors = (Factor("method", tuple(f"m{i}" for i in range(methods))),
               Factor("problem", tuple(f"p{i}" for i in range(problems))))  # fmt: skip
    return Design("study", "Does it?", factors, MEASURES, tuple(range(seeds)), primary, **options)


def beats(**options):
    return Difference(claim="m1 beats m0", measure="a", treatment={"method": "m1"}, control={"method": "m0"}, **options)


@pytest.mark.parametrize("smallest", [0.0, 0.8])
@pytest.mark.parametrize("effect", [0.0, 0.8, 1.6])
def test_the_power_of_a_difference_is_what_simulated_t_tests_have(effect, smallest):
    generator = np.random.default_rng(0)
    seeds, at, sd, trials = 8, 0.0125, 1.3, 20000
    draws = generator.normal(effect, sd, (trials, seeds))
    mean, error = draws.mean(axis=1), draws.std(axis=1, ddof=1) / np.sqrt(seeds)
    critical = stats.t.isf(at, seeds - 1)
    hits = ((mean / error >= critical) & (mean >= smallest)).mean()
    misses = ((mean - smallest) / error <= -critical).mean()
    # Three standard errors of a share in 20,000 trials are at most 0.0107.
    assert supported(effect, sd, seeds, at, smallest) == pytest.approx(hits, abs=0.0107)
    assert contradicted(effect, sd, seeds, at, smallest) == pytest.approx(misses, abs=0.0107)


def test_without_a_smallest_effect_it_is_the_noncentral_t():
    expected = stats.nct.sf(stats.t.isf(0.01, 9), 9, 1.2 * np.sqrt(10) / 0.7)
    assert supported(1.2, 0.7, 10, 0.01) == pytest.approx(expected)
    assert supported(1.2, 0.7, 10, 0.01, 1e-9) == pytest.approx(expected, abs=1e-3)  # the quadrature
    assert supported(0.0, 0.7, 10, 0.01) == pytest.approx(0.01)
    assert contradicted(1.2, 0.7, 10, 0.01, 1.2) == pytest.approx(0.01)


@settings(max_examples=25)
@given(st.floats(0.1, 10.0), st.integers(3, 20), st.floats(0.001, 0.05), st.floats(0.0, 2.0))
def test_what_is_detectable_is_detected_with_power_080_in_any_unit(sd, seeds, at, smallest):
    effect = detectable(sd, seeds, at, smallest)
    assert supported(effect, sd, seeds, at, smallest) == pytest.approx(0.8, abs=1e-4)
    assert effect > smallest
    assert detectable(10 * sd, seeds, at, 10 * smallest) == pytest.approx(10 * effect, rel=1e-4)


def test_a_true_effect_of_just_the_smallest_is_supported_half_of_the_time_at_best():
    assert supported(1.0, 0.1, 10, 0.0125, 1.0) == pytest.approx(0.5)
    assert supported(1.0, 5.0, 10, 0.0125, 1.0) < 0.2


def test_every_test_is_held_to_holms_worst_case():
    assert level(study(beats())) == pytest.approx(0.025)
    assert level(study(beats(), Correlation(claim="c", x="a", y="b"), alpha=0.1)) == pytest.approx(0.025)


def test_lines_for_a_known_and_an_unknown_spread():
    unknown = describe_power(study(beats(smallest=0.5)))
    known = describe_power(study(beats(smallest=0.5, expected_sd=0.4)))
    assert unknown[0] == known[0]
    assert unknown[0] == "Power: 1 hypothesis, 5 seeds; each test at 0.025 (half of alpha 0.05)."
    both = describe_power(study(beats(), replace(beats(), claim="another")))
    assert both[0].endswith("each test at 0.013 (half of alpha 0.05 shared by 2, the worst case of Holm's procedure).")
    assert unknown[1] == "m1 beats m0"
    size = detectable(1.0, 5, 0.025)
    assert f"an effect of {size:.2f} SD is told from zero with power 0.8" in unknown[2]
    assert f"SD 0.5 points {supported(1.0, 0.5, 5, 0.025, 0.5):.2f}" in unknown[4]
    assert "expected SD of the paired difference 0.4 points: power 0.8 from a true effect of " in known[2]
    assert f"{detectable(0.4, 5, 0.025, 0.5):.3g} points" in known[2]
    assert f"contradicted with {contradicted(0.0, 0.4, 5, 0.025, 0.5):.2f}" in known[3]


def test_two_seeds_cannot_decide_and_the_lines_say_so():
    assert "undecided whatever the truth: 2 seeds" in describe_power(study(beats(), seeds=2))[2]


def test_without_hypotheses_everything_is_exploratory():
    assert describe_power(study()) == ["No hypothesis gets a verdict; everything is exploratory."]


def test_the_simulated_runs_have_the_design_and_the_correlation():
    claim = Correlation(claim="c", x="a", y="b", where={"problem": "p1"})
    truth = Truth.of(study(claim, methods=300), claim)
    assert len(truth.cells) == 1500 and len(truth.strata) == 300
    drawn = truth.draw(np.array([[1.0, 0.6], [0.6, 1.0]]), np.random.default_rng(0))
    assert np.corrcoef(drawn)[0, 1] == pytest.approx(0.6, abs=0.08)
    assert drawn.std() == pytest.approx(1.0, abs=0.08)
    of_cells = drawn.reshape(2, 300, 5)
    assert of_cells.var(axis=2, ddof=1).mean() == pytest.approx(0.2, abs=0.02)  # the noise of a run
    within = Correlation(claim="c", x="a", y="b", within=("problem",))
    assert len(Truth.of(study(within), within).strata) == 8
    apart = Correlation(claim="c", x="a", y="b", within=("problem",), units=("method", "problem"))
    assert len(set(Truth.of(study(apart), apart).strata)) == 2


def powers(lines):
    return [float(part.split(" if ")[0].split()[-1]) for part in lines[0].split(",")]


def test_the_power_of_taus_grows_with_the_tau_and_the_cells():
    claim = Correlation(claim="c", x="a", y="b", smallest=0.2)
    small, large = (of_correlation(claim, study(claim, methods=count, seeds=3)) for count in (4, 12))
    assert powers(large) == sorted(powers(large)) and powers(small) == sorted(powers(small))
    assert all(one < other or other == 1.0 for one, other in zip(powers(small), powers(large), strict=True))
    assert "no effect at all is contradicted with probability" in large[1]
    lines = StrongerCorrelation(claim="s", x="a", rival="b", y="c").power(study(methods=12, seeds=3))
    assert powers(lines) == sorted(powers(lines))
    assert "with a tau of 0.3 of the rival" in lines[1]


def test_few_cells_cannot_decide_and_the_lines_say_so():
    claim = Correlation(claim="c", x="a", y="b", within=("problem",))
    assert claim.power(study(claim, methods=5)) == [
        "undecided whatever the truth: 5 design cells are too few to tell how far others would lie"
    ]


def test_a_true_null_is_supported_at_the_level_at_most():
    claim = Correlation(claim="c", x="a", y="b")
    truth = Truth.of(study(claim), claim)
    support, contradict = simulate(
        truth, np.eye(2), lambda drawn: tau_of(truth.comparisons, drawn[0], drawn[1]),
        scale=FISHER, covariates=0, at=0.025, smallest=0.0,
    )  # fmt: skip
    assert support <= 0.06 and contradict <= 0.06
