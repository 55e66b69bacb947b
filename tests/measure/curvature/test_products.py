"""What eigenpairs cost: products, beside those of deflated power iteration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from samnesia.measure.curvature.power import power_iteration
from samnesia.measure.curvature.spectrum import eigenpairs
from tests.measure.curvature import cases

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results" / "eigenpairs.json"
NAMES = ["cnn, bce", "vit, cross-entropy", "vit, bce"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_five_pairs_take_at_most_a_third_of_the_products_and_the_first_no_more(name, seed):
    subject, matrix = cases.written(name)
    for k, share in ((5, 1.0 / 3.0), (1, 1.0)):
        ours = eigenpairs(subject, k, matrix=matrix, ends="magnitude", seed=seed)
        cap = int(ours.products / share) + 1
        theirs = power_iteration(subject, k, matrix=matrix, change=None, residual=1e-3, steps=cap, seed=seed)
        assert ours.converged and max(pair.residual for pair in ours.pairs) <= 1e-3
        assert ours.products <= share * theirs.products


def test_the_benchmark_says_so_of_three_trained_networks():
    content = json.loads(RESULTS.read_text())
    assert len(content["networks"]) == 3 and content["seeds"] >= 3 and content["tolerance"] == 1e-3
    for found in content["networks"].values():
        assert found["five_over_power"]["max"] <= 1.0 / 3.0
        assert found["first_over_power"]["max"] <= 1.0
        assert found["ratio_1_2"] > 1.0
        for run in found["runs"]:
            assert run["all_converged"] and run["certified"] <= 1e-3
            assert run["checked"] <= 1e-3  # by products of their own
