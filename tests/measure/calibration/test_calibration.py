"""Calibration and margins against figures worked out by hand, sample by sample, in Python's floats."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from samnesia.measure.calibration.calibration import Calibration, calibration_of
from samnesia.measure.calibration.figures import reliability_and_margins
from samnesia.measure.calibration.links import Sigmoid, Softmax
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from tests.measure.test_subject import everything, same


class Given(nn.Module):
    """Puts out its inputs."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, inputs):
        return inputs * self.scale


def bce(output, target):
    return nn.functional.binary_cross_entropy_with_logits(
        output, nn.functional.one_hot(target, output.shape[1]).to(output.dtype), reduction="none"
    ).sum(1).mean()  # fmt: skip


def drawn(samples=47, classes=4, spread=2.0):
    generator = torch.Generator().manual_seed(3)
    logits = spread * torch.randn(samples, classes, generator=generator, dtype=torch.float64)
    logits[0] = 0.0  # all classes are equal: the first is predicted, and no class is ahead
    logits[1, :2] = 5.0  # two at the top
    targets = torch.randint(0, classes, (samples,), generator=generator)
    targets[:2] = torch.tensor([2, 1])
    return logits, targets


def batches(logits, targets, size=10):
    return [(logits[i : i + size], targets[i : i + size]) for i in range(0, len(targets), size)]


def oracle(logits, targets, probabilities_of, loss_of, bins):
    """Everything, one sample after the other."""
    table = []
    for row, label in zip(logits.tolist(), targets.tolist(), strict=True):
        p = probabilities_of(row)
        best = max(range(len(p)), key=lambda k: p[k])  # the first of equals
        others = [k for k in range(len(p)) if k != label]
        table.append(
            {
                "right": float(best == label),
                "confidence": p[best],
                "brier": sum((p[k] - (k == label)) ** 2 for k in range(len(p))),
                "nll": loss_of(row, label),
                "probability": p[label] - max(p[k] for k in others),
                "logit": row[label] - max(row[k] for k in others),
            }
        )
    errors = []
    for b in range(bins):
        inside = [t for t in table if b == min(int(t["confidence"] * bins), bins - 1)]
        gap = abs(sum(t["right"] for t in inside) - sum(t["confidence"] for t in inside))
        errors.append((gap, len(inside)))
    return table, errors


def softmax(row):
    top = max(row)
    weights = [math.exp(x - top) for x in row]
    return [w / sum(weights) for w in weights]


def sigmoid(row):
    return [1.0 / (1.0 + math.exp(-x)) for x in row]


KINDS = {
    "softmax": (Softmax(), nn.CrossEntropyLoss(), softmax, lambda row, y: -math.log(softmax(row)[y])),
    "sigmoid": (
        Sigmoid(),
        bce,
        sigmoid,
        lambda row, y: -sum(math.log(p if k == y else 1.0 - p) for k, p in enumerate(sigmoid(row))),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bins", [1, 7, 15])
def test_it_is_what_a_hand_works_out_whatever_the_batches(kind, bins):
    link, criterion, probabilities_of, loss_of = KINDS[kind]
    logits, targets = drawn()
    table, errors = oracle(logits, targets, probabilities_of, loss_of, bins)
    found = calibration_of(Subject(Given(), criterion, batches(logits, targets)), link=link, bins=bins)

    def mean(name):
        return sum(t[name] for t in table) / len(table)

    assert found.samples == 47
    assert found.accuracy.value == pytest.approx(mean("right"), rel=1e-12)
    assert found.confidence.value == pytest.approx(mean("confidence"), rel=1e-12)
    assert found.brier.value == pytest.approx(mean("brier"), rel=1e-12)
    assert found.nll.value == pytest.approx(mean("nll"), rel=1e-12)
    assert found.ece == pytest.approx(sum(gap for gap, _ in errors) / len(table), rel=1e-12)
    assert found.worst_bin == pytest.approx(max(gap / count for gap, count in errors if count), rel=1e-12)
    assert found.probability_margins.mean.value == pytest.approx(mean("probability"), rel=1e-12)
    assert found.logit_margins.mean.value == pytest.approx(mean("logit"), rel=1e-12)
    assert found.logit_margins.behind == sum(t["logit"] < 0 for t in table) / len(table)
    expected = np.percentile([t["logit"] for t in table], range(101))
    assert found.logit_margins.quantiles == pytest.approx(expected, rel=1e-12)
    spread = np.std([t["nll"] for t in table], ddof=1) / math.sqrt(47)
    assert found.nll.error == pytest.approx(spread, rel=1e-12)


def test_equal_classes_are_right_where_the_first_of_them_is_the_label_and_nobody_is_ahead():
    logits = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]], dtype=torch.float64)
    subject = Subject(Given(), nn.CrossEntropyLoss(), batches(logits, torch.tensor([0, 1])))
    found = calibration_of(subject)
    assert found.accuracy.value == 0.5
    assert found.logit_margins.quantiles.tolist() == [0.0] * 101
    assert found.logit_margins.behind == 0.0


def test_complete_confidence_is_in_the_last_bin_and_the_bins_hold_the_error():
    logits = torch.tensor([[60.0, 0.0], [60.0, 0.0], [3.0, 0.0], [0.1, 0.0]], dtype=torch.float64)
    subject = Subject(Given(), nn.CrossEntropyLoss(), batches(logits, torch.tensor([0, 1, 1, 0])))
    found = calibration_of(subject, bins=10)
    assert found.bins.counts.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 3]
    some = found.bins.counts > 0
    gaps = np.abs(found.bins.accuracy - found.bins.confidence)[some] * found.bins.counts[some] / 4
    assert found.ece == pytest.approx(gaps.sum(), rel=1e-12)
    assert np.isnan(found.bins.accuracy[~some]).all()


def test_a_model_that_knows_its_doubt_is_calibrated():
    """Of samples with confidence 0.8, 0.8 are right: no error; when 0.5 are, 0.3."""
    logits = torch.tensor([[math.log(4.0), 0.0]] * 10, dtype=torch.float64)
    for right, error in ((8, 0.0), (5, 0.3)):
        targets = (torch.arange(10) >= right).long()
        found = calibration_of(Subject(Given(), nn.CrossEntropyLoss(), batches(logits, targets)))
        assert found.ece == pytest.approx(error, abs=1e-12)


def test_groups_have_their_own_figures_and_empty_ones_none():
    logits, targets = drawn()
    odd = torch.arange(47) % 2 == 1
    subject = Subject(Given(), nn.CrossEntropyLoss(), batches(logits, targets))
    found = calibration_of(subject, groups={"odd": odd, "even": ~odd, "none": torch.zeros(47, dtype=torch.bool)})
    alone = calibration_of(Subject(Given(), nn.CrossEntropyLoss(), batches(logits[odd], targets[odd])))
    assert list(found.groups) == ["odd", "even"]
    assert found.groups["odd"].as_dict() == alone.as_dict()


def test_what_is_written_is_read_and_drawn():
    logits, targets = drawn()
    half = torch.arange(47) < 20
    subject = Subject(Given(), nn.CrossEntropyLoss(), batches(logits, targets))
    found = calibration_of(subject, groups={"first": half, "last": ~half})
    again = Calibration.from_dict(found.as_dict())
    assert again.as_dict() == found.as_dict()
    assert str(again) == str(found)
    assert "ECE" in str(found) and "first (20)" in str(found)
    figure = reliability_and_margins({"a": found, "b": again})
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "Reliability",
        "Margins",
        "Margins of a",
        "Margins of b",
    ]
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == [f"{name} (ECE {found.ece:.3f})" for name in ("a", "b")]


def test_nothing_of_the_model_changes():
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 4))
    inputs, targets = torch.randn(20, 3), torch.randint(0, 4, (20,))
    before = everything(model)
    calibration_of(Subject(model, nn.CrossEntropyLoss(), batches(inputs, targets)))
    assert same(before, everything(model))


@pytest.mark.parametrize(
    ("logits", "targets", "criterion", "expected"),
    [
        (torch.randn(4, 3, dtype=torch.float64), torch.rand(4, 3, dtype=torch.float64), nn.MSELoss(), "class index"),
        (torch.randn(4, 1, dtype=torch.float64), torch.zeros(4, 1, dtype=torch.float64), nn.MSELoss(), "two or more"),
    ],
)
def test_what_is_no_classifier_is_refused(logits, targets, criterion, expected):
    with pytest.raises(UnsupportedError, match=expected):
        calibration_of(Subject(Given(), criterion, [(logits, targets)]))


def test_bad_settings_are_refused():
    subject = Subject(Given(), nn.CrossEntropyLoss(), batches(*drawn()))
    with pytest.raises(ConfigurationError, match="0 bins"):
        calibration_of(subject, bins=0)
    with pytest.raises(ConfigurationError, match="'some'.*47 samples"):
        calibration_of(subject, groups={"some": torch.ones(46, dtype=torch.bool)})
