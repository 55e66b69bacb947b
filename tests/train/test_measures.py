"""Criteria and measures against their formulas."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from samnesia.train.config import BinaryCrossEntropy, CrossEntropy
from samnesia.train.measures import MeanOfSamples, hits

K = 7
GENERATOR = torch.Generator().manual_seed(0)
LOGITS = 3 * torch.randn(11, K, generator=GENERATOR, dtype=torch.float64)
LABELS = torch.randint(K, (11,), generator=GENERATOR)
SOFT = torch.rand(11, K, generator=GENERATOR, dtype=torch.float64).softmax(dim=1)


def log_sigmoid(value):
    return -math.log1p(math.exp(-value)) if value > 0 else value - math.log1p(math.exp(value))


def binary(logits, shares):
    """Sum over classes of each sample, by the definition."""
    return [
        -sum(t * log_sigmoid(z) + (1 - t) * log_sigmoid(-z) for z, t in zip(row, target, strict=True))
        for row, target in zip(logits.tolist(), shares.tolist(), strict=True)
    ]


def softmax_cross(logits, shares):
    rows = []
    for row, target in zip(logits.tolist(), shares.tolist(), strict=True):
        normalizer = math.log(sum(math.exp(z) for z in row))
        rows.append(-sum(t * (z - normalizer) for z, t in zip(row, target, strict=True)))
    return rows


def shares_of(target, smoothing):
    shares = target if target.is_floating_point() else F.one_hot(target, K).double()
    return (1 - smoothing) * shares + smoothing / K


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
@pytest.mark.parametrize("target", [LABELS, SOFT], ids=["labels", "soft"])
@pytest.mark.parametrize(("loss", "formula"), [(CrossEntropy, softmax_cross), (BinaryCrossEntropy, binary)])
def test_a_criterion_is_its_formula(loss, formula, target, smoothing):
    values = formula(LOGITS, shares_of(target, smoothing))
    assert float(loss(smoothing).criterion()(LOGITS, target)) == pytest.approx(sum(values) / 11, rel=1e-12)


@pytest.mark.parametrize("target", [LABELS, SOFT], ids=["labels", "soft"])
@pytest.mark.parametrize(("loss", "formula"), [(CrossEntropy, softmax_cross), (BinaryCrossEntropy, binary)])
def test_the_measured_loss_is_without_smoothing(loss, formula, target):
    metric = loss(0.3).measures(K)["loss"].build()
    metric.update(LOGITS, target)
    assert float(metric.compute()) == pytest.approx(sum(formula(LOGITS, shares_of(target, 0.0))) / 11, rel=1e-12)


def test_binary_cross_entropy_is_summed_over_the_classes():
    """Not averaged over them, which would make the learning rate depend on their number."""
    assert float(BinaryCrossEntropy().criterion()(torch.zeros(5, K), torch.zeros(5, dtype=torch.int64))) == (
        pytest.approx(K * math.log(2))
    )


@pytest.mark.parametrize("loss", [CrossEntropy(), BinaryCrossEntropy()])
def test_a_criterion_has_the_gradient_of_its_formula(loss):
    logits = LOGITS.clone().requires_grad_()
    torch.autograd.gradcheck(lambda z: loss.criterion()(z, LABELS), (logits,))


@pytest.mark.parametrize("loss", [CrossEntropy(), BinaryCrossEntropy()])
def test_a_run_is_judged_by_accuracy(loss):
    measures = loss.measures(K)
    assert list(measures) == ["accuracy", "loss", "top5_accuracy"]
    assert [measures[name].unit for name in measures] == ["%", "nats", "%"]
    assert [measures[name].higher_is_better for name in measures] == [True, False, True]
    assert list(loss.measures(5)) == ["accuracy", "loss"]  # the top five of five are all


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.integers(0, 2**31))
def test_batches_of_any_size_give_the_mean_over_all(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(sum(sizes), generator=generator)
    metric = MeanOfSamples(lambda output, target: output, 100.0)
    for part in values.split(sizes):
        metric.update(part, None)
    assert metric.total.dtype == torch.float64
    assert float(metric.compute()) == pytest.approx(100 * math.fsum(values.double().tolist()) / len(values), abs=1e-9)


def test_the_mean_is_summed_in_float64():
    """In float32, ones added to 2**24 are lost."""
    metric = MeanOfSamples(lambda output, target: output)
    for part in (torch.tensor([2.0**24]), torch.ones(1), torch.ones(1)):
        metric.update(part, None)
    assert float(metric.compute()) * 3 == 2**24 + 2


def test_a_mean_over_nothing_is_no_number():
    metric = MeanOfSamples(hits(1))
    metric.update(torch.zeros(0, K), torch.zeros(0, dtype=torch.int64))
    assert math.isnan(float(metric.compute()))


@given(st.integers(0, 2**31), st.integers(1, 5))
def test_hits_are_those_of_topk_also_with_ties(seed, k):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randint(3, (9, 7), generator=generator).float()  # ties everywhere
    labels = torch.randint(7, (9,), generator=generator)
    found = hits(k)(logits, labels)
    best = [set(row.tolist()) for row in logits.topk(k, dim=1).indices] if k > 1 else [
        {int(row.argmax())} for row in logits
    ]  # fmt: skip
    assert found.tolist() == [int(label) in row for label, row in zip(labels, best, strict=True)]
    assert all(len(row) == k for row in best)  # with ties too, a sample has no more than k chances


def test_hits_without_ties_are_the_ranks():
    logits = torch.tensor([[0.1, 0.9, 0.5, 0.3, 0.2, 0.8]]).expand(6, 6)
    ranks = torch.tensor([5, 0, 2, 3, 4, 1])
    for k in range(1, 7):
        assert hits(k)(logits, torch.arange(6)).tolist() == (ranks < k).tolist()


def test_a_criterion_goes_through_half_precision():
    with torch.autocast("cpu", torch.bfloat16):
        outputs = nn.Linear(4, K)(torch.randn(3, 4))
    for loss in (CrossEntropy(0.1), BinaryCrossEntropy(0.1)):
        assert torch.isfinite(loss.criterion()(outputs, torch.tensor([0, 1, 2])))
