"""The two PAC-Bayes bounds: their formulas as written in the docs, and what they do."""

from __future__ import annotations

import json
import math

import pytest
import torch

import samnesia
from samnesia.measure import average_case, foret_bound, kwon_bound, worst_case
from samnesia.perturb.errors import ConfigurationError
from tests.measure.sharpness.surfaces import network, pair_of_layers, two_weights

ADAPTIVE = samnesia.Ball(scaling=samnesia.ElementScaling(eta=0.05))


def complexity(ratio, k, n, delta):
    inner = k * math.log(1 + ratio * (1 + math.sqrt(math.log(n) / k)) ** 2)
    return math.sqrt((inner + 4 * math.log(n / delta) + 8 * math.log(6 * n + 3 * k)) / (n - 1))


def test_forets_bound_by_hand():
    subject = network()
    sharpness = worst_case(subject, 0.2, steps=3)
    found = foret_bound(subject, sharpness, delta=0.1)
    w = torch.cat([p.detach().flatten() for p in subject.parameters])
    expected = complexity(float(w.square().sum()) / 0.04, len(w), 24, 0.1)
    assert found.complexity == pytest.approx(expected, rel=1e-12)
    assert found.value == pytest.approx(sharpness.loss + sharpness.value + expected, rel=1e-12)
    assert "as we read it, unverified" in str(found)
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert plain["complexity"] == found.complexity and plain["status"].endswith("unverified")


def test_kwons_bound_by_hand():
    subject = network()
    found = kwon_bound(subject, worst_case(subject, 0.2, ADAPTIVE, steps=3))
    w = torch.cat([p.detach().flatten() for p in subject.parameters])
    smallest = float(w.abs().min()) + 0.05
    expected = complexity(float(w.square().sum()) / (0.2 * smallest) ** 2, len(w), 24, 0.05)
    assert found.smallest == pytest.approx(smallest, rel=1e-12)
    assert found.complexity == pytest.approx(expected, rel=1e-12)
    assert found.scaled_norm == pytest.approx(float((w / (w.abs() + 0.05)).norm()), rel=1e-12)


def test_in_sams_ball_the_two_are_one():
    subject = network()
    sharpness = worst_case(subject, 0.2, steps=2)
    assert kwon_bound(subject, sharpness).value == pytest.approx(foret_bound(subject, sharpness).value, rel=1e-12)


def test_without_a_stabilizer_the_norm_counts_weights_and_a_zero_makes_the_bound_infinite():
    ball = samnesia.Ball(scaling=samnesia.ElementScaling(eta=0.0))
    model = pair_of_layers()
    subject = network(model)
    found = kwon_bound(subject, worst_case(subject, 0.2, ball, steps=2))
    assert found.scaled_norm == pytest.approx(math.sqrt(found.parameters), rel=1e-12)
    with torch.no_grad():
        model.first.weight[0, 0] = 0.0
    found = kwon_bound(subject, worst_case(subject, 0.2, ball, steps=2))
    assert found.value == math.inf and found.as_dict()["value"] is None


def test_the_complexity_falls_with_the_radius():
    subject = two_weights()
    values = [foret_bound(subject, worst_case(subject, rho, steps=1)).complexity for rho in (0.01, 0.1, 1.0)]
    assert values == sorted(values, reverse=True)


def test_bounds_of_something_else_are_refused():
    subject = network()
    worst, adaptive = worst_case(subject, 0.1, steps=1), worst_case(subject, 0.1, ADAPTIVE, steps=1)
    cube = worst_case(subject, 0.1, samnesia.Ball(samnesia.Linf()), steps=1)
    nowhere = worst_case(subject, 0.0)
    refused = [
        (foret_bound, subject, adaptive, {}, "use kwon_bound"),
        (foret_bound, subject, cube, {}, "the worst case in an L2 ball"),
        (kwon_bound, subject, cube, {}, "the worst case in an L2 ball"),
        (kwon_bound, subject, average_case(subject, 0.1, directions=1), {}, "the worst case in an L2 ball"),
        (foret_bound, subject, nowhere, {}, "some radius"),
        (foret_bound, two_weights(), worst, {}, "over 24 samples for a subject of 23"),
        (foret_bound, subject, worst, {"delta": 1.0}, "delta=1.0"),
        (kwon_bound, subject, adaptive, {"delta": math.nan}, "delta=nan"),
    ]
    for bound, of, sharpness, options, sentence in refused:
        with pytest.raises(ConfigurationError, match=sentence):
            bound(of, sharpness, **options)
