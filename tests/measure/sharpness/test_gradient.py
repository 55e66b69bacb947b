"""The gradient's norm."""

from __future__ import annotations

import json
import math

import pytest
import torch

import samnesia
from samnesia.measure import Subject, gradient_norm
from samnesia.perturb.errors import ConfigurationError
from tests.measure.sharpness.surfaces import BALLS, network


def flat(subject, batches):
    found = []
    for x, y in batches:
        loss = torch.nn.functional.cross_entropy(subject.model(x), y)
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, subject.parameters)]))
    return found


def test_norms_of_the_whole_and_of_batches_in_one_pass():
    subject = network()
    with subject.looking():
        per_batch = flat(subject, subject.batches())
    subject.products = 0
    found = gradient_norm(subject)
    norms = torch.stack([g.norm() for g in per_batch])
    assert found.whole == pytest.approx(float(torch.stack(per_batch).mean(0).norm()), rel=1e-11)
    assert found.per_batch.value == pytest.approx(float(norms.mean()), rel=1e-11)
    assert found.per_batch.error == pytest.approx(float(norms.std() / math.sqrt(3)), rel=1e-9)
    assert found.per_batch.count == 3 and subject.products == 1
    assert found.per_batch.value > found.whole


@pytest.mark.parametrize("ball", BALLS.values(), ids=BALLS)
def test_in_a_ball_it_is_the_dual_norm(ball):
    subject = network()
    factors = ball.scaling.factors(subject.weights)
    scaled = [g if t is None else g * t for g, t in zip(subject.gradient(), factors, strict=True)]
    order = 2 if isinstance(ball.norm, samnesia.L2) else 1
    expected = torch.linalg.vector_norm(torch.cat([g.flatten() for g in scaled]), order)
    assert gradient_norm(subject, ball).whole == pytest.approx(float(expected), rel=1e-10)


def test_at_a_minimum_it_is_zero_and_one_batch_has_no_error():
    model = torch.nn.Linear(2, 1).double()
    subject = Subject(model, lambda output, target: (0.0 * output).mean(), [(torch.ones(3, 2).double(), torch.ones(3))])
    found = gradient_norm(subject)
    assert found.whole == 0.0 and math.isnan(found.per_batch.error)
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["per_batch"]["error"] is None
    assert "gradient norm 0 over all 3 samples" in str(found)


def test_at_a_loss_that_is_not_finite_there_is_none():
    """In a later batch, which no other check has seen."""
    x, y = torch.randn(3, 2), torch.arange(3) % 2
    subject = Subject(torch.nn.Linear(2, 2), torch.nn.CrossEntropyLoss(), [(x, y), (math.nan * x, y)])
    with pytest.raises(ConfigurationError, match="loss of nan"):
        gradient_norm(subject)
