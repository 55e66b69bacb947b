"""Risk over coverage against its definition, written out."""

import itertools

import numpy as np
import pytest
from scipy.integrate import trapezoid

from samnesia.evaluate.selection import Selective, selective
from samnesia.perturb.errors import ConfigurationError


def by_definition(confidence, right):
    """Risks at 1/n, ..., n/n, the mean over all orders of equal confidences."""
    orders = [
        order
        for order in itertools.permutations(range(len(right)))
        if all(confidence[a] >= confidence[b] for a, b in itertools.pairwise(order))
    ]
    risks = [[np.mean([1 - right[i] for i in order[: k + 1]]) for k in range(len(order))] for order in orders]
    return np.mean(risks, axis=0)


@pytest.mark.parametrize("ties", [False, True])
def test_risks_are_those_of_the_definition(ties):
    generator = np.random.default_rng(3)
    confidence = generator.integers(0, 3, 7) / 3 if ties else generator.random(7)
    right = generator.integers(0, 2, 7).astype(float)
    found, expected = selective(confidence, right), by_definition(confidence, right)
    np.testing.assert_allclose(found.coverage, np.arange(1, 8) / 7)
    np.testing.assert_allclose(found.risk, expected, atol=1e-12)
    assert found.area == pytest.approx(expected.mean())
    best = by_definition(right, right)  # as if the confidence knew what is right
    assert found.excess == pytest.approx(expected.mean() - best.mean())
    assert found.accuracies[0.5] == pytest.approx(1 - expected[3])  # 4 of 7 are the least that is half of them
    assert selective(right, right).excess == pytest.approx(0.0)


def test_many_samples_are_kept_as_a_curve():
    generator = np.random.default_rng(0)
    confidence = generator.random(5000)
    right = (generator.random(5000) < confidence).astype(float)
    found = selective(confidence, right)
    assert (
        len(found.coverage) == 200 and found.coverage[-1] == 1.0 and found.risk[-1] == pytest.approx(1 - right.mean())
    )
    # right with probability c, answered from the surest on: risk at coverage x is x/2
    assert found.area == pytest.approx(trapezoid(found.risk, found.coverage), abs=0.01) == pytest.approx(0.25, abs=0.02)
    assert found.accuracies[0.5] == pytest.approx(0.75, abs=0.02)
    again = Selective.from_dict(found.as_dict())
    assert again.accuracies == found.accuracies and (again.risk == found.risk).all()


@pytest.mark.parametrize("confidence", [[], [0.5, float("nan")]])
def test_what_cannot_be_ordered_is_refused(confidence):
    with pytest.raises(ConfigurationError, match="a finite one"):
        selective(np.array(confidence), np.ones(len(confidence)))
