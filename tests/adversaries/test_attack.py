"""FGSM and PGD, against what they are by hand."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from samnesia.adversaries import L2, NORMS, Attack, Linf, fgsm, pgd
from samnesia.adversaries.attack import gradient_of
from samnesia.perturb.errors import ConfigurationError

BOTH = pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)


def images(count=6, seed=0):
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def net(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(16, 12), torch.nn.Tanh(), torch.nn.Linear(12, 3)
    ).double()


def objective_of(model, targets):
    return lambda pixels: F.cross_entropy(model(pixels), targets, reduction="none")


def test_fgsm_is_one_step_along_the_signs():
    model, pixels, targets = net(), images(), torch.tensor([0, 1, 2, 0, 1, 2])
    wanted = pixels.clone().requires_grad_()
    F.cross_entropy(model(wanted), targets, reduction="sum").backward()
    by_hand = (pixels + 0.1 * wanted.grad.sign()).clamp(0, 1)
    found = fgsm(Linf(), 0.1).climb(objective_of(model, targets), pixels, pixels)
    assert found.allclose(by_hand, atol=1e-12)


@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
def test_pgd_is_the_recursion_of_the_paper(norm):
    model, pixels, targets = net(), images(), torch.tensor([0, 1, 2, 0, 1, 2])
    eps, step = {"linf": (0.1, 0.03), "l2": (0.5, 0.2)}[norm.name]
    here = pixels
    for _ in range(7):
        wanted = here.detach().clone().requires_grad_()
        F.cross_entropy(model(wanted), targets).backward()
        if norm.name == "linf":
            moved = here + step * wanted.grad.sign()
            moved = torch.minimum(torch.maximum(moved, pixels - eps), pixels + eps)
        else:
            moved = here + step * wanted.grad / wanted.grad.flatten(1).norm(dim=1)[:, None, None, None]
            change = moved - pixels
            length = change.flatten(1).norm(dim=1)[:, None, None, None]
            moved = pixels + torch.where(length > eps, change * eps / length, change)
        here = moved.clamp(0, 1)
    found = Attack(norm, eps, step, 7).climb(objective_of(model, targets), pixels, pixels)
    assert found.allclose(here, atol=1e-12)


@BOTH
def test_a_linear_loss_is_raised_to_its_maximum_over_the_ball(norm):
    """Far from black and white, that is the dual norm of the weights times the radius."""
    weights = torch.randn(16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    pixels = 0.5 + 0.1 * (images() - 0.5)
    gained = {"linf": weights.norm(p=1), "l2": weights.norm(p=2)}[norm.name]

    def objective(changed):
        return changed.flatten(1) @ weights

    attack = pgd(norm, 0.2, steps=50, step=0.2)
    start = attack.start(pixels, range(6), (0, 0))
    found = attack.climb(objective, pixels, start)
    assert (objective(found) - objective(pixels)).allclose(0.2 * gained, rtol=1e-6)
    if norm.name == "l2":
        assert (found - pixels).flatten(1).allclose((0.2 * weights / weights.norm()).expand(6, -1), atol=1e-6)


@BOTH
@pytest.mark.parametrize("eps", [0.01, 0.3, 5.0])
@pytest.mark.parametrize("random_start", [False, True])
def test_attacked_images_are_images_and_within_the_ball(norm, eps, random_start):
    model, targets = net(), torch.tensor([0, 1, 2, 0, 1, 2])
    pixels = images().round(decimals=1)  # some at the very edge
    attack = Attack(norm, eps, step=eps, steps=5, random_start=random_start)
    start = attack.start(pixels, range(6), (3, 0))
    for found in (start, attack.climb(objective_of(model, targets), pixels, start)):
        assert found.min() >= 0.0 and found.max() <= 1.0
        assert (norm.size(found - pixels) <= eps * (1 + 1e-12)).all()


@BOTH
def test_starts_do_not_depend_on_the_batch_but_on_seed_and_number(norm):
    attack, pixels = pgd(norm, 0.1), images()
    together = attack.start(pixels, [4, 9, 2, 7, 0, 5], (1, 0))
    assert together[[2, 0]].equal(attack.start(pixels[[2, 0]], [2, 4], (1, 0)))
    assert not together[:1].equal(attack.start(pixels[:1], [5], (1, 0)))
    assert not together.equal(attack.start(pixels, [4, 9, 2, 7, 0, 5], (2, 0)))
    assert not together.equal(attack.start(pixels, [4, 9, 2, 7, 0, 5], (1, 1)))
    assert replace(attack, random_start=False).start(pixels, range(6), (0,)) is pixels


@BOTH
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_gradients_that_are_no_numbers_or_zero_move_nothing(norm, bad):
    pixels = images(3)
    factor = torch.tensor([1.0, bad, 0.0], dtype=torch.float64)

    def objective(changed):
        return factor * changed.flatten(1).sum(1)

    assert gradient_of(objective, pixels).flatten(1).any(1).tolist() == [True, False, False]
    found = pgd(norm, 0.1, random_start=False).climb(objective, pixels, pixels)
    assert found[1:].equal(pixels[1:]) and (found[0] >= pixels[0]).all() and not found[0].equal(pixels[0])


def test_several_steps_find_more_than_one():
    model, pixels, targets = net(), images(40), torch.arange(40) % 3
    objective = objective_of(model, targets)
    one, many = (attack.climb(objective, pixels, pixels) for attack in
                 (fgsm(L2(), 1.0), pgd(L2(), 1.0, random_start=False)))  # fmt: skip
    assert objective(pixels).mean() < objective(one).mean() < objective(many).mean()


def test_under_no_grad_it_attacks_as_well():
    model, pixels = net(), images()
    with torch.no_grad():
        found = fgsm(Linf(), 0.1).climb(objective_of(model, torch.zeros(6, dtype=torch.int64)), pixels, pixels)
    assert not found.equal(pixels) and not found.requires_grad


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"eps": 0.0}, "cannot attack with eps 0.0, because"),
        ({"eps": math.nan}, "cannot attack with eps nan, because"),
        ({"step": -0.1}, "cannot attack with step -0.1, because"),
        ({"steps": 0}, "cannot attack with 0 steps, because 1 is the least; use 10, say"),
    ],
)
def test_what_is_no_attack_is_refused(change, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        Attack(**({"norm": Linf(), "eps": 0.1, "step": 0.1, "steps": 3} | change))
