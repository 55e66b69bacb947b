"""The bias of informations from few samples: as predicted, and what the corrections leave of it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from samnesia.measure.forgetting.corrections import MillerMadow, PlugIn, SplitHalves
from samnesia.perturb.errors import ConfigurationError


def short(log_p: Tensor, samples: int, truth: float) -> dict[str, float]:
    """By correction: how far the mean over draws of so many samples is off. Draws are strata: each has its own mean."""
    strata = torch.arange(len(log_p)) // samples
    corrections = (PlugIn(), MillerMadow(), SplitHalves(splits=2))
    return {type(c).__name__: float(c.pointwise(log_p, strata).mean()) - truth for c in corrections}


def test_of_one_hot_predictions_it_is_that_of_miller_and_madow():
    classes = 4
    picked = torch.randint(classes, (96_000,), generator=torch.Generator().manual_seed(0))
    log_p = (800.0 * torch.nn.functional.one_hot(picked, classes).double()).log_softmax(1)
    off = {samples: short(log_p, samples, math.log(classes)) for samples in (10, 20, 40, 80)}
    for samples, by in off.items():
        assert by["PlugIn"] == pytest.approx(-(classes - 1) / (2 * samples), rel=0.15)
        assert abs(by["MillerMadow"]) < 0.15 * abs(by["PlugIn"])
        assert abs(by["SplitHalves"]) < 0.35 * abs(by["PlugIn"])
    slope = math.log(off[80]["PlugIn"] / off[10]["PlugIn"]) / math.log(8.0)
    assert slope == pytest.approx(-1.0, abs=0.1)


@pytest.mark.parametrize("size", [0.3, 1.5, 4.0])
def test_of_soft_predictions_it_is_half_their_relative_variance_over_n(size: float):
    generator = torch.Generator().manual_seed(1)
    logits = size * torch.randn(96_000, 5, generator=generator, dtype=torch.float64)
    log_p, p = logits.log_softmax(1), logits.softmax(1)
    truth = float(PlugIn().pointwise(log_p, torch.zeros(len(p), dtype=torch.long)).mean())
    factor = 0.5 * float((p.var(0) / p.mean(0)).sum())
    off = {samples: short(log_p, samples, truth) for samples in (16, 32, 64)}
    for samples, by in off.items():
        assert by["PlugIn"] == pytest.approx(-factor / samples, rel=0.08)
        assert abs(by["MillerMadow"]) < 0.1 * abs(by["PlugIn"])
        assert abs(by["SplitHalves"]) < 0.15 * abs(by["PlugIn"])
    slope = math.log(off[64]["PlugIn"] / off[16]["PlugIn"]) / math.log(4.0)
    assert slope == pytest.approx(-1.0, abs=0.06)
    assert factor < 0.5 * 4.0  # (K - 1) / 2 would correct too much


def test_a_group_has_its_own_share_of_the_correction():
    """Sums over the members, whose number is drawn with them, have the expectation that they have in the population."""
    samples, draws = 24, 8000
    generator = torch.Generator().manual_seed(2)
    member = torch.rand(samples * draws, generator=generator) < 0.3
    logits = torch.randn(samples * draws, 3, generator=generator, dtype=torch.float64)
    logits += torch.where(member[:, None], torch.tensor([2.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 0.5]))
    log_p, strata = logits.log_softmax(1), torch.arange(samples * draws) // samples
    whole = PlugIn().pointwise(log_p, torch.zeros_like(strata))
    for group in (member, ~member):
        off = {c: float((c.pointwise(log_p, strata) - whole)[group].mean()) for c in (PlugIn(), MillerMadow())}
        assert off[PlugIn()] < -0.008
        assert abs(off[MillerMadow()]) < 0.1 * abs(off[PlugIn()])


def test_a_stratum_of_one_sample_says_nothing():
    log_p = torch.randn(5, 3, dtype=torch.float64).log_softmax(1)
    strata = torch.tensor([0, 1, 1, 2, 2])
    for correction in (PlugIn(), MillerMadow(), SplitHalves()):
        assert float(correction.pointwise(log_p, strata)[0]) == 0.0


def test_halves_that_are_drawn_often_agree_with_each_other():
    log_p = torch.randn(60, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64).log_softmax(1)
    strata = torch.arange(60) % 2
    one, other = (float(SplitHalves(400, seed).pointwise(log_p, strata).mean()) for seed in (0, 1))
    assert one == pytest.approx(other, abs=2e-3)
    assert one > float(PlugIn().pointwise(log_p, strata).mean())
    with pytest.raises(ConfigurationError, match="splits=0"):
        SplitHalves(splits=0)
