"""E5: what is specific to each of several models, before and after they are perturbed."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor

from samnesia.measure.calibration.links import Sigmoid
from samnesia.measure.forgetting.corrections import PlugIn
from samnesia.measure.forgetting.ensemble import model_specific
from samnesia.perturb.errors import ConfigurationError


def models(count: int, spread: float, samples: int = 50, classes: int = 4, seed: int = 0) -> list[Tensor]:
    """Logits that share a part, and differ by one of this size."""
    generator = torch.Generator().manual_seed(seed)
    shared = 2.0 * torch.randn(samples, classes, generator=generator, dtype=torch.float64)
    return [
        shared + spread * torch.randn(samples, classes, generator=generator, dtype=torch.float64) for _ in range(count)
    ]


def test_models_that_say_the_same_have_nothing_specific_and_that_can_be_forgotten():
    apart = models(5, 1.0)
    same = [apart[0]] * 5
    assert model_specific(same, same)["log_variance_before"].value == pytest.approx(0.0, abs=1e-20)
    found = model_specific(apart, same)
    for name in ("log_variance", "which_model"):
        assert found[name].value == pytest.approx(found[f"{name}_before"].value, rel=1e-9)
        assert found[name].value > 0.0
    nothing = model_specific(apart, apart)
    assert nothing["log_variance"].value == nothing["which_model"].value == nothing["which_model"].error == 0.0


def test_models_without_doubt_that_never_agree_are_known_by_one_prediction():
    outputs = torch.eye(4, dtype=torch.float64)
    certain = [800.0 * outputs[(torch.arange(20) + model) % 4] for model in range(4)]
    found = model_specific(certain, [torch.zeros(20, 4)] * 4, correction=PlugIn())
    assert found["which_model"].value == pytest.approx(math.log(4.0), rel=1e-12)


def test_variance_is_that_of_log_probabilities_over_models():
    old, new = models(6, 1.0), models(6, 0.4)
    found = model_specific(old, new)
    wanted = [torch.stack(logits).log_softmax(2).var(0).mean() for logits in (old, new)]
    assert found["log_variance"].value == pytest.approx(float(wanted[0] - wanted[1]), rel=1e-12)


def test_the_error_is_that_over_models():
    claimed, values = [], []
    for seed in range(120):
        found = model_specific(models(6, 1.0, seed=seed), models(6, 0.5, seed=1000 + seed))["log_variance"]
        claimed.append(found.error)
        values.append(found.value)
    # samples are drawn anew as well, so that what is claimed for the models is a part of what is seen
    assert 0.4 < sum(claimed) / len(claimed) / float(torch.tensor(values).std()) < 1.6


def test_order_of_samples_and_models_groups_and_links():
    old, new = models(4, 1.0), models(4, 0.5)
    half = torch.arange(50) < 25
    for link in (None, Sigmoid()):
        options = {} if link is None else {"link": link}
        here = model_specific(old, new, groups={"half": half, "rest": ~half}, **options)
        order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
        turned = model_specific([x[order] for x in reversed(old)], [x[order] for x in reversed(new)], **options)
        for name in here.groups["all"]:
            assert turned[name].value == pytest.approx(here[name].value, rel=1e-9)
            both = [here.groups[group][name].value for group in ("half", "rest")]
            assert sum(both) / 2.0 == pytest.approx(here[name].value, rel=1e-9)
    plain = json.loads(json.dumps(here.as_dict(), allow_nan=False))
    assert plain["models"] == 4 and plain["samples"] == 50
    assert "4 models" in str(here)


def test_too_few_models_and_different_samples_are_refused():
    old = models(4, 1.0)
    with pytest.raises(ConfigurationError, match="3 or more"):
        model_specific(old[:2], old[:2])
    with pytest.raises(ConfigurationError, match="3 or more"):
        model_specific(old, old[:3])
    with pytest.raises(ConfigurationError, match="same samples"):
        model_specific(old, [*old[:3], old[3][:7]])
