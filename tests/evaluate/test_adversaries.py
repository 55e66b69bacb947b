"""Accuracy under attack: against the attacks by themselves; by batches and samples; and what speaks against it."""

from dataclasses import replace

import pytest
import torch

from samnesia.adversaries import NORMS, Found, fgsm, pgd, worst
from samnesia.data.problem import TensorSplit
from samnesia.evaluate import adversaries
from samnesia.evaluate.adversaries import Robustness, Strength, UnderAttack, robustness
from samnesia.evaluate.predictions import Sampled, predict
from samnesia.measure.estimate import Estimate
from samnesia.perturb.errors import ConfigurationError, UnsupportedError

RADII = {"linf": (0.03, 0.1), "l2": (0.5,)}
SMALL = Sampled(count=120, seed=1, batch_size=50)
QUICK = Strength(steps=4, restarts=2)


@pytest.fixture(scope="module")
def found(loaded):
    return robustness(loaded, SMALL, radii=RADII, strength=QUICK, seed=3)


def test_it_is_the_attack_on_all_samples_at_once(loaded, found):
    said = predict(loaded, SMALL)
    rows = said.rows.tolist()
    pixels, targets = loaded.problem.pixels(loaded.problem.test, rows), said.targets
    right = said.outputs.argmax(1) == targets
    losses = loaded.config.loss.of_samples()
    assert found.clean.value == pytest.approx(float(right.double().mean())) and found.samples == 120
    for norm, sizes in RADII.items():
        for eps in sizes:
            for name, attack in {"fgsm": fgsm(NORMS[norm], eps), "pgd": pgd(NORMS[norm], eps, steps=4)}.items():
                by_hand = worst(loaded.model, loaded.problem.exposure, losses, pixels, targets, attack, numbers=rows,
                                seed=3, restarts=2)  # fmt: skip
                (mine,) = [one for one in found.of(norm, name) if one.eps == eps]
                share = float((right & by_hand.right).double().mean())
                assert mine.accuracy.value == pytest.approx(share, abs=1.01 / 120)  # rounding may turn one
                assert mine.loss == pytest.approx(float(by_hand.loss.mean()), rel=1e-3)


def test_it_never_rises_above_clean_and_falls_with_the_radius(found):
    assert found.of("linf", "pgd")[0].accuracy.value < found.clean.value
    for one in found.attacks:
        assert one.accuracy.value <= found.clean.value and one.loss > found.loss
    near, far = found.of("linf", "pgd")
    assert far.accuracy.value < near.accuracy.value and far.loss > near.loss
    assert list(found.doubts()) == []


def test_the_same_seed_says_the_same_and_another_batch_size_nearly(loaded, found):
    again = robustness(loaded, SMALL, radii=RADII, strength=QUICK, seed=3)
    assert again.as_dict() == found.as_dict()
    other = robustness(loaded, replace(SMALL, batch_size=32), radii=RADII, strength=QUICK, seed=3)
    for one, two in zip(found.attacks, other.attacks, strict=True):
        assert one.accuracy.value == pytest.approx(two.accuracy.value, abs=1.01 / 120)
        assert one.loss == pytest.approx(two.loss, rel=1e-3)


def test_it_goes_through_json(found):
    assert Robustness.from_dict(found.as_dict()) == found


def test_what_cannot_be_attacked_is_refused(loaded):
    with pytest.raises(ConfigurationError, match="cannot attack in the norm 'l1', because there is none"):
        robustness(loaded, SMALL, radii={"l1": (1.0,)})
    with pytest.raises(ConfigurationError, match="cannot attack with eps -1"):
        robustness(loaded, SMALL, radii={"l2": (-1.0,)})
    none = replace(loaded, problem=replace(loaded.problem, exposure=None))
    with pytest.raises(ConfigurationError, match="cannot look at the pixels of these data"):
        robustness(none, SMALL, radii=RADII)
    soft = TensorSplit(loaded.problem.test.inputs, torch.full((797, 10), 0.1))
    with pytest.raises(UnsupportedError, match="the targets are no classes"):
        robustness(replace(loaded, problem=replace(loaded.problem, test=soft)), SMALL, radii=RADII)


def test_what_speaks_against_the_numbers_is_said():
    def at(attack, eps, share):
        return UnderAttack(attack, "linf", eps, Estimate(share, 0.01, 100), 1.0)

    made = Robustness(
        "test",
        100,
        Estimate(0.9, 0.03, 100),
        0.3,
        0.2,
        (at("fgsm", 0.1, 0.4), at("pgd", 0.1, 0.5), at("fgsm", 0.2, 0.7), at("pgd", 0.2, 0.6)),
    )
    blind, rises, hidden = made.doubts()
    assert blind.startswith("of 20.0 % of the samples the gradient is zero")
    assert rises.startswith("accuracy under PGD in L∞ rises from 0.1 to 0.2")
    assert hidden.startswith("FGSM in L∞ at 0.1 finds more than PGD")


def test_a_sample_that_is_wrong_without_attack_stays_wrong(loaded, monkeypatch):
    """Whatever an attack makes of it: steps may overshoot."""

    def harmless(*arguments, **named):
        found = worst(*arguments, **named)
        return Found(found.pixels, found.outputs, found.loss, torch.ones_like(found.right))

    monkeypatch.setattr(adversaries, "worst", harmless)
    found = robustness(loaded, SMALL, radii=RADII, strength=QUICK)
    assert found.clean.value < 1.0
    assert {one.accuracy.value for one in found.attacks} == {found.clean.value}
