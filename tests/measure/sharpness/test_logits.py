"""A loss that does not see the size of logits."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from samnesia.measure import NormalizedLogits, Subject, worst_case
from samnesia.perturb.errors import ConfigurationError
from tests.measure.sharpness.surfaces import cut, images, pair_of_layers


def test_logits_are_centred_and_brought_to_one_length():
    seen = []
    criterion = NormalizedLogits(lambda output, target: seen.append(output) or output.sum(), length=2.0)
    logits = torch.randn(5, 7, dtype=torch.float64)
    criterion(logits, torch.zeros(5))
    torch.testing.assert_close(seen[0].mean(-1), torch.zeros(5, dtype=torch.float64))
    torch.testing.assert_close(seen[0].norm(dim=-1), torch.full((5,), 2.0, dtype=torch.float64))
    criterion = NormalizedLogits(lambda output, target: seen.append(output) or output.sum(), length=math.sqrt(7))
    criterion(logits, torch.zeros(5))
    expected = (logits - logits.mean(-1, keepdim=True)) / logits.std(-1, correction=0, keepdim=True)
    torch.testing.assert_close(seen[1], expected)


@pytest.mark.parametrize("factor", [0.1, 30.0])
def test_sharpness_does_not_change_with_the_size_of_logits(factor: float):
    class Scaled(nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.net, self.factor = pair_of_layers(), factor

        def forward(self, x):
            return self.factor * self.net(x)

    def sharpness(criterion, factor):
        return worst_case(Subject(Scaled(factor), criterion, cut(*images(), 8)), 0.1, steps=5).value

    normalized = NormalizedLogits(nn.CrossEntropyLoss())
    assert sharpness(normalized, factor) == pytest.approx(sharpness(normalized, 1.0), rel=1e-9)
    assert sharpness(nn.CrossEntropyLoss(), factor) != pytest.approx(sharpness(nn.CrossEntropyLoss(), 1.0), rel=0.2)


def test_equal_logits_are_no_division_by_zero():
    logits = torch.ones(2, 3, requires_grad=True)
    loss = NormalizedLogits(nn.CrossEntropyLoss())(logits, torch.tensor([0, 1]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(3)) and logits.grad.isfinite().all()


def test_the_subject_says_so():
    subject = Subject(pair_of_layers(), NormalizedLogits(nn.CrossEntropyLoss()), cut(*images(), 8))
    assert subject.describe()["criterion"] == "CrossEntropyLoss of logits centred and of norm 1"


def test_wrong_lengths_and_outputs_are_refused():
    with pytest.raises(ConfigurationError, match="length of 0.0"):
        NormalizedLogits(nn.CrossEntropyLoss(), length=0.0)
    for output in (torch.ones(3), torch.ones(3, 1), (torch.ones(3, 2),)):
        with pytest.raises(ConfigurationError, match="two logits or more"):
            NormalizedLogits(nn.CrossEntropyLoss())(output, torch.zeros(3))
