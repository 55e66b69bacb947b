"""The worst of several starts; and the model is as it was."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from samnesia.adversaries import Attack, Linf, fgsm, pgd, worst
from samnesia.adversaries.worst import blind
from samnesia.data.pixels import Standardised

SEEN = Standardised((0.3,), (0.2,))


def losses(outputs, targets):
    return F.cross_entropy(outputs, targets, reduction="none")


@pytest.fixture
def batch():
    return torch.rand(20, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3)
    )
    made(torch.randn(30, 1, 4, 4))  # statistics of something
    return made.train()


def snapshot(model):
    return {
        "state": {name: value.clone() for name, value in model.state_dict().items()},
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "flags": [p.requires_grad for p in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "random": torch.get_rng_state(),
    }


def test_the_model_is_as_it_was(model, batch):
    pixels, targets = batch
    F.cross_entropy(model(SEEN.inputs(pixels)), targets).backward()
    model[0].weight.requires_grad_(False)
    model[1].eval()
    before = snapshot(model)
    worst(model, SEEN, losses, pixels, targets, pgd(Linf(), 0.1, steps=3), numbers=range(20), restarts=2)
    blind(model, SEEN, losses, pixels, targets)
    after = snapshot(model)
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert not pixels.requires_grad


def test_the_model_is_as_it_was_when_it_fails(model, batch):
    pixels, targets = batch
    before = snapshot(model)
    with pytest.raises(RuntimeError):
        worst(model, SEEN, losses, pixels[:, :, :3, :3], targets, fgsm(Linf(), 0.1), numbers=range(20))
    torch.testing.assert_close(snapshot(model), before, rtol=0, atol=0)


def test_pixels_are_attacked_as_the_model_sees_them(model, batch):
    """Through the exposure, so that the ball is one of pixels, in evaluation mode."""
    pixels, targets = batch
    found = worst(model, SEEN, losses, pixels, targets, fgsm(Linf(), 0.1), numbers=range(20))
    model.eval()
    wanted = SEEN.inputs(pixels).requires_grad_()
    F.cross_entropy(model(wanted), targets, reduction="sum").backward()
    by_hand = (pixels + 0.1 * wanted.grad.sign()).clamp(0, 1)
    assert found.pixels.allclose(by_hand, atol=1e-6)
    with torch.no_grad():
        outputs = model(SEEN.inputs(found.pixels))
    assert found.outputs.equal(outputs) and found.right.equal(outputs.argmax(1) == targets)
    assert found.loss.equal(losses(outputs, targets))


def test_of_several_starts_the_worst_counts(model, batch):
    pixels, targets = batch
    attack = Attack(Linf(), 0.3, step=0.05, steps=2, random_start=True)  # too few steps: starts matter

    def of(restarts):
        return worst(model, SEEN, losses, pixels, targets, attack, numbers=range(20), restarts=restarts, seed=1)

    one, three = of(1), of(3)
    assert not (three.right & ~one.right).any() and three.right.sum() <= one.right.sum()
    same = three.right == one.right
    assert (three.loss[same] >= one.loss[same]).all() and (three.loss > one.loss).any()
    assert of(3).pixels.equal(three.pixels)  # and it is the same each time


def test_a_sample_alone_is_attacked_as_in_a_batch(model, batch):
    pixels, targets = batch
    attack = pgd(Linf(), 0.1, steps=4)
    whole = worst(model.double(), SEEN, losses, pixels.double(), targets, attack, numbers=range(20), restarts=2)
    alone = worst(model, SEEN, losses, pixels[[7]].double(), targets[[7]], attack, numbers=[7], restarts=2)
    assert alone.pixels.allclose(whole.pixels[[7]], atol=1e-12)


def test_outputs_that_are_no_numbers_are_wrong_and_of_infinite_loss(batch):
    class Broken(nn.Module):
        def forward(self, x):
            return torch.full((len(x), 3), torch.nan) + x.sum()

    pixels, targets = batch
    found = worst(Broken(), SEEN, losses, pixels, targets, pgd(Linf(), 0.1), numbers=range(20), restarts=2)
    assert not found.right.any() and found.loss.isinf().all() and found.pixels.isfinite().all()


def test_where_the_gradient_vanishes_an_attack_is_blind(batch):
    pixels, targets = batch
    loud = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    with torch.no_grad():
        loud[1].weight.mul_(0.01)
        loud[1].bias.copy_(torch.tensor([200.0, 0.0, 0.0]))  # sure of class 0: no gradient where that is right
    assert blind(loud, SEEN, losses, pixels, targets).equal(targets == 0)


def test_wrong_comes_before_a_high_loss(batch):
    """A loss that is highest where the model is right: the start at which it is wrong counts all the same."""

    class Brightness(nn.Module):
        def forward(self, x):
            mean = SEEN.pixels(x).flatten(1).mean(1, keepdim=True)
            return torch.cat([mean, torch.full_like(mean, 0.5), torch.zeros_like(mean)], dim=1)

    pixels = torch.full((20, 1, 4, 4), 0.5)
    targets = torch.zeros(20, dtype=torch.int64)
    attack = Attack(Linf(), 0.4, step=1e-9, steps=1, random_start=True)  # it stays about where it starts

    def of(restarts):
        return worst(Brightness(), SEEN, lambda outputs, targets: outputs[:, 0], pixels, targets, attack,
                     numbers=range(20), restarts=restarts)  # fmt: skip

    assert of(1).right.any() and not of(1).right.all()
    assert not of(12).right.any()  # the chance of twelve bright starts is small


def test_random_numbers_that_a_model_draws_in_evaluation_are_given_back(batch):
    class Noisy(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :3] + torch.randn(len(x), 3)

    pixels, targets = batch
    before = torch.get_rng_state()
    worst(Noisy(), SEEN, losses, pixels, targets, fgsm(Linf(), 0.1), numbers=range(20))
    assert torch.get_rng_state().equal(before)
