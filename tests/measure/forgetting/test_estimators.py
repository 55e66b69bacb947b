"""Estimators on logits: known informations, and the invariances listed in samnesia.measure.forgetting."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from samnesia.measure.calibration.links import Sigmoid, Softmax
from samnesia.measure.forgetting.corrections import MillerMadow, PlugIn, SplitHalves
from samnesia.measure.forgetting.estimators import forgotten, information, ratio
from samnesia.perturb.errors import ConfigurationError, UnsupportedError

LINKS = (Softmax(), Sigmoid())
CORRECTIONS = (PlugIn(), MillerMadow(), SplitHalves(splits=4))
CERTAIN = 800.0  # of a logit: exp(-800) is 0, also in double precision


def certain(classes: Tensor, outputs: int) -> Tensor:
    """Logits of predictions without doubt."""
    return CERTAIN * torch.nn.functional.one_hot(classes, outputs).double()


def draw(seed: int, samples: int, classes: int, size: float = 2.0) -> tuple[Tensor, Tensor, Tensor]:
    """Logits before and after, and labels that they know something of."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (samples,), generator=generator)
    before = size * torch.randn(samples, classes, generator=generator, dtype=torch.float64)
    before[torch.arange(samples), labels] += size
    after = 0.5 * before + 0.3 * torch.randn(samples, classes, generator=generator, dtype=torch.float64)
    return before, after, labels


def entropy(p: Tensor) -> float:
    """In nats."""
    return float(torch.special.entr(p).sum())


def textbook(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """The plug-in informations by their definitions, in loops over classes."""
    p = logits.softmax(1)
    whole = entropy(p.mean(0))
    noise = sum(entropy(row) for row in p) / len(p)
    within = useful = 0.0
    for label in labels.unique():
        rows = p[labels == label]
        share = len(rows) / len(p)
        within += share * (entropy(rows.mean(0)) - sum(entropy(row) for row in rows) / len(rows))
        useful += share * float((rows.mean(0) * (rows.mean(0) / p.mean(0)).log()).sum())
    return {"output": whole - noise, "superfluous": within, "useful": useful}


cases = st.builds(draw, st.integers(0, 10**6), st.integers(2, 40), st.integers(2, 7), st.floats(0.1, 30.0))


# -- known informations ------------------------------------------------------------------------------------------------


def test_predictions_that_follow_the_label_hold_its_entropy_all_of_it_useful():
    labels = torch.tensor([0] * 50 + [1] * 25 + [2] * 25)
    found = information(certain(labels, 3), labels, correction=PlugIn())
    assert found["output"].value == pytest.approx(1.5 * math.log(2.0), rel=1e-12)
    assert found["useful"].value == pytest.approx(1.5 * math.log(2.0), rel=1e-12)
    assert found["superfluous"].value == pytest.approx(0.0, abs=1e-12)


def test_predictions_that_tell_samples_apart_within_their_classes_hold_that_as_superfluous():
    labels = torch.arange(120) % 2
    within = torch.arange(120) // 2 % 3  # independent of the label
    found = information(certain(labels * 3 + within, 6), labels, correction=PlugIn())
    assert found["output"].value == pytest.approx(math.log(6.0), rel=1e-12)
    assert found["useful"].value == pytest.approx(math.log(2.0), rel=1e-12)
    assert found["superfluous"].value == pytest.approx(math.log(3.0), rel=1e-12)


@pytest.mark.parametrize("wrong", [0.0, 0.1, 0.35, 0.5])
def test_a_binary_symmetric_channel_has_its_capacity(wrong: float):
    labels = torch.arange(200) % 2
    p = torch.tensor([[1.0 - wrong, wrong], [wrong, 1.0 - wrong]], dtype=torch.float64)[labels]
    found = information(p.clamp_min(1e-300).log(), labels, correction=PlugIn())
    capacity = math.log(2.0) - entropy(torch.tensor([wrong, 1.0 - wrong], dtype=torch.float64))
    assert found["useful"].value == pytest.approx(capacity, abs=1e-12)
    assert found["output"].value == pytest.approx(capacity, abs=1e-12)
    assert found["superfluous"].value == pytest.approx(0.0, abs=1e-12)


def test_what_other_labels_say_is_told_apart():
    truth = torch.arange(400) % 4
    labels = torch.where(torch.arange(400) // 4 % 10 < 4, (truth + 1) % 4, truth)  # 40 % wrong
    knows = information(certain(truth, 4), labels, others={"true": truth}, correction=PlugIn())
    assert knows["useful_true"].value == pytest.approx(math.log(4.0), rel=1e-12)
    assert knows["superfluous_true"].value == pytest.approx(0.0, abs=1e-12)
    assert knows["superfluous"].value > 0.5  # given wrong labels, the truth looks superfluous
    learnt = information(certain(labels, 4), labels, others={"true": truth}, correction=PlugIn())
    assert learnt["superfluous"].value == pytest.approx(0.0, abs=1e-12)
    assert learnt["superfluous_true"].value == pytest.approx(
        entropy(torch.tensor([0.4, 0.6], dtype=torch.float64)), rel=1e-12
    )


def test_a_sigmoid_net_holds_a_bit_for_each_answer():
    labels = torch.arange(100) % 2
    yes_or_no = torch.where(labels[:, None] == torch.arange(2), CERTAIN, -CERTAIN).double()
    found = information(yes_or_no, labels, link=Sigmoid(), correction=PlugIn())
    assert found["output"].value == pytest.approx(2.0 * math.log(2.0), rel=1e-12)
    assert found["useful"].value == pytest.approx(2.0 * math.log(2.0), rel=1e-12)


def test_forgetting_all_there_is_to_know_loses_all_of_it():
    labels = torch.arange(90) % 3
    found = forgotten(certain(labels, 3), torch.zeros(90, 3), labels, correction=PlugIn())
    assert found["output"].value == pytest.approx(math.log(3.0), rel=1e-12)
    assert found["useful"].value == pytest.approx(math.log(3.0), rel=1e-12)
    assert found["superfluous_share"].value == pytest.approx(0.0, abs=1e-12)
    assert found["divergence"].value == pytest.approx(math.log(3.0), rel=1e-12)
    assert found["loss_rise"].value == pytest.approx(math.log(3.0), rel=1e-12)
    assert found["accuracy_drop"].value == pytest.approx(2.0 / 3.0)  # the first of equal outputs is predicted


def test_losing_what_told_samples_apart_within_classes_is_superfluous_alone():
    labels = torch.arange(120) % 2
    fine = certain(labels * 3 + torch.arange(120) // 2 % 3, 6)
    coarse = CERTAIN * (labels[:, None] == torch.arange(6) // 3).double()
    found = forgotten(fine, coarse, labels, correction=PlugIn())
    assert found["superfluous"].value == pytest.approx(math.log(3.0), rel=1e-12)
    assert found["useful"].value == pytest.approx(0.0, abs=1e-12)
    assert found["superfluous_share"].value == pytest.approx(1.0, rel=1e-12)


# -- the invariances ---------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(cases)
def test_the_plug_in_is_the_textbooks_and_within_its_bounds(case: tuple[Tensor, Tensor, Tensor]):
    before, _, labels = case
    found = information(before, labels, correction=PlugIn())
    for name, value in textbook(before, labels).items():
        assert found[name].value == pytest.approx(value, abs=1e-9)
    slack = 1e-9
    assert -slack <= found["superfluous"].value <= found["output"].value + slack
    assert found["output"].value <= math.log(before.shape[1]) + slack
    shares = torch.bincount(labels).double() / len(labels)
    assert -slack <= found["useful"].value <= entropy(shares) + slack


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("correction", CORRECTIONS)
def test_nothing_is_forgotten_where_nothing_moved_to_the_bit(link, correction):
    before, _, labels = draw(0, 33, 4)
    found = forgotten(before, before.clone(), labels, link=link, correction=correction, others={"other": labels % 2})
    for name, estimate in found.groups["all"].items():
        if not name.endswith("_before") and name != "superfluous_share":
            assert estimate.value == 0.0 and estimate.error == 0.0
    assert math.isnan(found["superfluous_share"].value)


@settings(max_examples=25, deadline=None)
@given(cases, st.sampled_from(LINKS), st.sampled_from(CORRECTIONS), st.randoms(use_true_random=False))
def test_order_names_and_direction(case, link, correction, random):
    before, after, labels = case
    here = forgotten(before, after, labels, link=link, correction=correction)
    names = [name for name in here.groups["all"] if name != "superfluous_share"]
    back = forgotten(after, before, labels, link=link, correction=correction)
    for name in names:
        if name != "divergence" and not name.endswith("_before"):
            assert back[name].value == pytest.approx(-here[name].value, abs=1e-12)
    classes = torch.tensor(random.sample(range(before.shape[1]), before.shape[1]))
    renamed = forgotten(
        before[:, classes], after[:, classes], classes.argsort()[labels], link=link, correction=correction
    )
    order = torch.tensor(random.sample(range(len(labels)), len(labels)))
    shuffled = forgotten(before[order], after[order], labels[order], link=link, correction=correction)
    for name in names:
        assert renamed[name].value == pytest.approx(here[name].value, abs=1e-9)
        if not isinstance(correction, SplitHalves):  # whose halves are drawn by place
            assert shuffled[name].value == pytest.approx(here[name].value, abs=1e-9)
            assert shuffled[name].error == pytest.approx(here[name].error, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(cases, st.floats(-50.0, 50.0))
def test_a_constant_in_the_logits_of_a_sample_changes_nothing(case, constant: float):
    before, after, labels = case
    shift = constant * torch.linspace(-1.0, 1.0, len(labels))[:, None]
    here, there = forgotten(before, after, labels), forgotten(before + shift, after - shift, labels)
    for name in ("output", "superfluous", "useful", "divergence", "loss_rise"):
        assert there[name].value == pytest.approx(here[name].value, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(cases, st.integers(2, 4))
def test_repeating_all_samples_changes_no_plug_in_value(case, times: int):
    before, after, labels = case
    here = forgotten(before, after, labels, correction=PlugIn())
    there = forgotten(before.repeat(times, 1), after.repeat(times, 1), labels.repeat(times), correction=PlugIn())
    for name in ("output", "superfluous", "useful", "divergence"):
        assert there[name].value == pytest.approx(here[name].value, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(cases, st.sampled_from(LINKS), st.sampled_from(CORRECTIONS))
def test_the_chain_rule_holds_and_groups_add_up(case, link, correction):
    before, after, labels = case
    groups = {"half": torch.arange(len(labels)) % 2 == 0, "parity": labels % 2}
    found = forgotten(before, after, labels, link=link, correction=correction, groups=groups)
    whole = found.groups["all"]
    assert whole["output"].value == pytest.approx(whole["superfluous"].value + whole["useful"].value, abs=1e-9)
    parts = [found.groups[name] for name in found.groups if name.startswith("parity=")]
    for name in whole:
        if name == "superfluous_share":
            continue
        total = sum(part[name].value * part[name].count for part in parts) / len(labels)
        assert total == pytest.approx(whole[name].value, abs=1e-9)


def test_a_group_of_all_samples_is_the_whole_and_an_empty_one_is_left_out():
    before, after, labels = draw(1, 30, 3)
    everybody = torch.ones(30, dtype=torch.bool)
    found = forgotten(before, after, labels, groups={"everybody": everybody, "nobody": ~everybody})
    assert list(found.groups) == ["all", "everybody"]
    assert found.groups["everybody"] == found.groups["all"]


# -- errors of the estimates -------------------------------------------------------------------------------------------


def test_the_standard_error_is_that_of_repeated_draws():
    before, after, labels = draw(2, 60_000, 4, size=1.0)
    names = ("output", "superfluous", "useful", "superfluous_share", "divergence", "loss_rise")
    each = [forgotten(before[i : i + 150], after[i : i + 150], labels[i : i + 150]) for i in range(0, 60_000, 150)]
    for name in names:
        values = torch.tensor([found[name].value for found in each])
        claimed = torch.tensor([found[name].error for found in each]).square().mean().sqrt()
        assert float(claimed) == pytest.approx(float(values.std()), rel=0.12), name


def test_a_ratio_of_means():
    assert ratio([1.0, 3.0], [2.0, 2.0]).value == 1.0
    assert ratio([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]).error == 0.0  # of one and the same ratio throughout
    assert math.isnan(ratio([1.0], [0.0]).value)


# -- results and refusals ----------------------------------------------------------------------------------------------


def test_a_result_is_plain_json_and_says_when_classes_have_few_samples():
    before, after, labels = draw(3, 40, 8)
    found = forgotten(before, after, labels, groups={"odd": labels % 2 == 1})
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert plain["groups"]["all"]["output"]["value"] == found["output"].value
    assert plain["samples"]["all"] == 40
    assert found.per_class == int(torch.bincount(labels)[torch.bincount(labels) > 0].min())
    assert found.few and "few" in str(found)
    assert "superfluous" in str(found)


def test_logits_that_overflowed_give_no_number_and_no_error():
    before, after, labels = draw(4, 20, 3)
    after[0, 0] = math.nan
    found = forgotten(before, after, labels)
    assert math.isnan(found["output"].value)
    assert found.as_dict()["groups"]["all"]["output"] == {"value": None, "error": None, "count": 20}


def test_impossible_classes_are_no_trouble():
    before, after, labels = draw(5, 20, 3)
    masked = (
        torch.cat([before, torch.full((20, 1), -math.inf)], 1),
        torch.cat([after, torch.full((20, 1), -math.inf)], 1),
    )
    found, wanted = forgotten(*masked, labels), forgotten(before, after, labels)
    for name in ("output", "superfluous", "loss_rise"):
        assert found[name].value == pytest.approx(wanted[name].value, abs=1e-12)


def test_half_precision_is_taken_up():
    before, after, labels = draw(6, 50, 3)
    found = forgotten(before.bfloat16(), after.bfloat16(), labels)
    wanted = forgotten(before.bfloat16().double(), after.bfloat16().double(), labels)
    assert found["output"].value == wanted["output"].value


@pytest.mark.parametrize(
    ("logits", "labels", "kind", "words"),
    [
        (torch.zeros(4, 3, 2), torch.zeros(4, dtype=torch.long), UnsupportedError, "two classes or more"),
        (torch.zeros(4, 1), torch.zeros(4, dtype=torch.long), UnsupportedError, "two classes or more"),
        (torch.zeros(4, 3), torch.zeros(5, dtype=torch.long), ConfigurationError, "one class"),
        (torch.zeros(4, 3), torch.zeros(4), ConfigurationError, "one class"),
        (torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), ConfigurationError, "one sample is the least"),
    ],
)
def test_what_is_no_prediction_is_refused(logits, labels, kind, words):
    with pytest.raises(kind, match=words):
        information(logits, labels)


def test_groups_and_logits_that_do_not_fit_are_refused():
    before, after, labels = draw(7, 10, 3)
    with pytest.raises(ConfigurationError, match="each sample requires one"):
        forgotten(before, after, labels, groups={"some": torch.ones(9, dtype=torch.bool)})
    with pytest.raises(ConfigurationError, match="same samples and classes"):
        forgotten(before, after[:, :2], labels)


@pytest.mark.parametrize(("wrong", "words"), [(-100, "from -100 to 2"), (3, "from 0 to 3")])
@pytest.mark.parametrize("link", [Softmax(), Sigmoid()])
def test_labels_that_are_none_of_the_classes_are_refused_but_others_may_have_more(wrong, words, link):
    logits, labels = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3
    others = {"fine": torch.arange(6)}
    assert information(logits, labels, link=link, others=others)["useful_fine"].value > 0.0
    labels[1] = wrong
    for call in (lambda: information(logits, labels, link=link), lambda: forgotten(logits, logits, labels, link=link)):
        with pytest.raises(ConfigurationError, match=f"labels {words} for logits of 3 classes"):
            call()
