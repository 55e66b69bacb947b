"""Claims of several parts that have to hold all: the intersection-union test, its sentence, and its error rates."""

import json

import numpy as np
import pandas as pd
import pytest

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.design import Design, Factor, Measure
from samnesia.study.engine.plan import _measures
from samnesia.study.hypotheses import Also, Difference
from samnesia.study.judging.estimates import difference
from samnesia.study.judging.power import describe_power
from samnesia.study.judging.verdicts import Verdict, judge

MEASURES = (
    Measure("accuracy", "last.test_accuracy", "test accuracy, last epoch", "%", True),
    Measure("sharpness", "sharpness", "sharpness"),
    Measure("loss", "loss", "training loss", "nats"),
)
VALUES = {measure.name: measure.value for measure in MEASURES}


def claim(*also, smallest=1.0, **options):
    return Difference(claim="better, and sharper", measure="accuracy", treatment={"method": "obf"},
                      control={"method": "sam"}, smallest=smallest, also=also, **options)  # fmt: skip


BOTH = claim(Also(measure="sharpness"))


def found(hypothesis, gains, spread=1.0, seeds=10, generator=0, **changes):
    """The verdict on runs whose paired differences have these means, and this standard deviation."""
    design = Design("study", "Both?", (Factor("method", ("sam", "obf")),), MEASURES, tuple(range(seeds)), (hypothesis,))
    drawn = np.random.default_rng(generator)
    rows = [
        {"method": method, "seed": seed, "status": "finished", "reason": None, "config": "{}", "directory": None}
        | {VALUES[name]: 50.0 + (gain + drawn.normal(0.0, spread)) * (method == "obf") for name, gain in gains.items()}
        for method in ("sam", "obf") for seed in design.seeds
    ]  # fmt: skip
    table = pd.DataFrame(rows).assign(**changes)
    return design, table, judge(design, table)[0]


def test_it_is_supported_where_every_part_is_and_contradicted_where_one_is():
    far = {"accuracy": 4.0, "sharpness": 9.0}
    assert found(BOTH, far)[2].verdict == "supported"
    assert found(BOTH, far | {"sharpness": -9.0})[2].verdict == "contradicted"
    assert found(BOTH, far | {"accuracy": 0.0}, spread=0.2)[2].verdict == "contradicted"
    assert found(BOTH, far | {"sharpness": 0.1})[2].verdict == "undecided"
    lower = claim(Also(measure="sharpness", direction="lower"), Also(measure="loss", direction="lower"))
    assert found(lower, far | {"sharpness": -9.0, "loss": -2.0}, spread=0.3)[2].verdict == "supported"
    assert found(lower, far | {"sharpness": -9.0, "loss": 2.0}, spread=0.3)[2].verdict == "contradicted"
    short = claim(Also(measure="sharpness", smallest=5.0))  # beyond chance, and less than what would matter
    assert found(short, far | {"sharpness": 4.8}, spread=0.5)[2].verdict == "undecided"


def test_its_p_values_are_those_of_its_parts():
    design, table, verdict = found(BOTH, {"accuracy": 0.6, "sharpness": 0.4})
    one, other = (difference(part, design, table) for part in BOTH.parts)
    estimate = verdict.estimate
    assert estimate.parts == (one, other)
    assert (estimate.effect, estimate.low, estimate.high) == (one.effect, one.low, one.high)
    assert estimate.p_support == max(one.p_support, other.p_support)
    assert estimate.p_contradict == pytest.approx(2 * min(one.p_contradict, other.p_contradict))
    assert verdict.p_support == estimate.p_support  # the only hypothesis, whatever the number of its parts


def test_the_sentence_has_each_part_with_its_interval():
    _, _, verdict = found(BOTH, {"accuracy": 4.0, "sharpness": 9.0}, spread=0.5)
    one, other = verdict.estimate.parts
    assert verdict.sentence.startswith(
        f"Supported: obf minus sam in test accuracy (last epoch) and sharpness is +{one.effect:.2f} points (95 % "
        f"interval +{one.low:.2f} to +{one.high:.2f}; n = 10 pairs) and +{other.effect:.2f} (95 % interval "
    )
    assert verdict.sentence.endswith(
        "The claim is that they are +1.00 points or more and above zero, all of them, and each is beyond chance "
        "(adjusted p < 0.0001, judged at 0.025)."
    )
    against = found(BOTH, {"accuracy": 4.0, "sharpness": -9.0}, spread=0.5)[2].sentence
    assert against.endswith("all of them, and one of them is ruled out (adjusted p < 0.0001, judged at 0.025).")
    assert "that is not the same as no effect." in found(BOTH, {"accuracy": 4.0, "sharpness": 0.1})[2].sentence


def test_a_part_that_was_never_measured_cannot_be_told():
    _, _, verdict = found(BOTH, {"accuracy": 4.0, "sharpness": 9.0}, sharpness=np.nan)
    assert verdict.verdict == "undecided" and verdict.p_support is None
    assert "cannot be told, because no seed has both sides" in verdict.sentence


def test_two_true_nulls_and_one_are_supported_no_more_often_than_alpha():
    """One part far beyond, the other without an effect: the worst case, which reaches the level of its test."""
    worst = [found(claim(Also(measure="sharpness"), smallest=0.0), {"accuracy": 9.0, "sharpness": 0.0}, seeds=5,
                   generator=number)[2].verdict for number in range(250)]  # fmt: skip
    rate = worst.count("supported") / 250
    assert 0.004 <= rate <= 0.025 + 3 * (0.025 * 0.975 / 250) ** 0.5
    edge = [found(claim(Also(measure="sharpness", smallest=1.0)), {"accuracy": 1.0, "sharpness": 1.0}, seeds=5,
                  generator=number)[2].verdict for number in range(250)]  # fmt: skip
    assert edge.count("contradicted") / 250 <= 0.025 + 3 * (0.025 * 0.975 / 250) ** 0.5


def test_it_survives_json_and_is_known_to_plans_and_power():
    design, _, verdict = found(BOTH, {"accuracy": 4.0, "sharpness": 9.0})
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json(), allow_nan=False))) == verdict
    assert Design.from_json(json.loads(json.dumps(design.to_json()))) == design
    assert _measures(BOTH) == ["accuracy", "sharpness"]
    told = "\n".join(describe_power(design))
    assert "2 parts that have to hold all" in told and "sharpness: SD of the paired difference unknown" in told
    with pytest.raises(ConfigurationError, match="an effect of interest is 0 or more"):
        claim(Also(measure="sharpness", smallest=-1.0))
    with pytest.raises(ConfigurationError, match="cannot find the measure 'sharp'"):
        found(claim(Also(measure="sharp")), {"accuracy": 4.0, "sharpness": 9.0})
