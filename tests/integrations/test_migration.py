"""What docs/migration.md says of other implementations: by their formulas, or beside the package itself."""

import pytest
import torch
import torch.nn.functional as F
from pytorch_optimizer.lr_scheduler.proportion import ProportionScheduler
from pytorch_optimizer.optimizer import sam as other

import samnesia
from tests.problems import batches, flat, network, sgd, weights

DECAY = 5e-4


def gradient(model, x, y, penalty=0.0):
    loss = F.cross_entropy(model(x), y) + 0.5 * penalty * sum(p.square().sum() for p in model.parameters())
    return torch.autograd.grad(loss, list(model.parameters()))


def norm(tensors):
    return torch.sqrt(sum(t.square().sum() for t in tensors))


@torch.no_grad()
def move(model, direction):
    for p, d in zip(model.parameters(), direction, strict=True):
        p += d


def formula(ascend, *, steps=5, penalty=0.0):
    """SGD with momentum 0.9, learning rate 0.1 and the gradient at `w + ascend(model, g)`, written out."""
    model = network()
    velocity = [torch.zeros_like(p) for p in model.parameters()]
    for number, (x, y) in enumerate(batches(steps)):
        start = [p.detach().clone() for p in model.parameters()]
        for perturbation in ascend(model, lambda x=x, y=y: gradient(model, x, y, penalty), number):
            move(model, perturbation)
        final = gradient(model, x, y, penalty)
        velocity = [0.9 * v + g for v, g in zip(velocity, final, strict=True)]
        with torch.no_grad():
            for p, s, v in zip(model.parameters(), start, velocity, strict=True):
                p.copy_(s - 0.1 * v)
    return flat(weights(model))


def ours(build, *, steps=5, penalty=0.0):
    model = network()
    method = build(model, sgd(model))
    for x, y in batches(steps):
        for _ in method.passes():
            loss = F.cross_entropy(model(x), y)
            (loss + 0.5 * penalty * sum(p.square().sum() for p in model.parameters())).backward()
        method.optimizer.step()
        method.optimizer.zero_grad()
    return flat(weights(model))


def sam_step(rho):
    def ascend(model, differentiate, number):
        g = differentiate()
        yield [rho * t / (norm(g) + 1e-12) for t in g]

    return ascend


def adaptive_step(rho):
    def ascend(model, differentiate, number):
        g = differentiate()
        scaled = norm([p.detach().abs() * t for p, t in zip(model.parameters(), g, strict=True)]) + 1e-12
        yield [rho * p.detach().square() * t / scaled for p, t in zip(model.parameters(), g, strict=True)]

    return ascend


def with_interval(k, step):
    def ascend(model, differentiate, number):
        if (number + 1) % k == 0:
            yield from step(model, differentiate, number)

    return ascend


def with_period(sync_period, rho):
    def ascend(model, differentiate, number):
        for _ in range(sync_period - 1):
            g = differentiate()
            yield [rho * t / norm(g) for t in g]

    return ascend


def samsung_step(rho, eta):
    def ascend(model, differentiate, number):
        g = differentiate()
        factors = [p.detach().abs() + eta if "weight" in name else 1.0 for name, p in model.named_parameters()]
        scaled = norm([t * f for t, f in zip(g, factors, strict=True)]) + 1e-12
        yield [rho * f * f * t / scaled for t, f in zip(g, factors, strict=True)]

    return ascend


CLAIMS = {
    "davda54/sam": (sam_step(0.1), lambda m, o: samnesia.sam(m, o, rho=0.1)),
    "davda54/sam adaptive": (adaptive_step(1.0), lambda m, o: samnesia.asam(m, o, rho=1.0, eta=0.0, scaled="all")),
    "SamsungLabs/ASAM": (samsung_step(0.5, 0.01), lambda m, o: samnesia.asam(m, o, rho=0.5, eta=0.01)),
    "Composer": (
        with_interval(3, sam_step(0.1)),
        lambda m, o: samnesia.sam(m, o, rho=0.1, when=samnesia.every(3, phase=2)),
    ),
    # which divides by bare norms
    "optax, period 2": (with_period(2, 0.1), lambda m, o: samnesia.sam(m, o, rho=0.1, epsilon=1e-30)),
    "optax, period 4": (with_period(4, 0.05), lambda m, o: samnesia.sam(m, o, rho=0.15, steps=3, epsilon=1e-30)),
}


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_the_formula_of_the_other_side(claim):
    theirs, build = claim
    torch.testing.assert_close(ours(build), formula(theirs), rtol=1e-12, atol=1e-14)


def test_weight_decay_in_the_loss_is_ascended_and_in_the_optimizer_is_not():
    in_loss = ours(lambda m, o: samnesia.sam(m, o, rho=0.1), penalty=DECAY)
    torch.testing.assert_close(in_loss, formula(sam_step(0.1), penalty=DECAY), rtol=1e-12, atol=1e-14)

    def decayed(model, optimizer):
        optimizer.param_groups[0]["weight_decay"] = DECAY
        return samnesia.sam(model, optimizer, rho=0.1)

    assert (ours(decayed) - in_loss).abs().max() > 1e-9


def test_the_interval_of_the_other_phase_is_another_method():
    composer, build = CLAIMS["Composer"]
    assert not torch.allclose(ours(lambda m, o: samnesia.sam(m, o, rho=0.1, when=samnesia.every(3))), formula(composer))


# -- pytorch-optimizer -----------------------------------------------------------------------------------------------


@pytest.fixture
def double_norm(monkeypatch):
    """Its norm, which it rounds to single precision, in the precision of the weights."""

    def square(param_groups, device=None, *, weight_adaptive=False):
        squares = [
            (p.grad * p.abs() if weight_adaptive and group.get("adaptive") else p.grad).square().sum()
            for group in param_groups
            for p in group["params"]
        ]
        return torch.stack(squares).sum().reshape(1)

    monkeypatch.setattr(other, "get_global_gradient_norm", square)


def theirs(adaptive):
    model = network()
    optimizer = other.SAM(model.parameters(), torch.optim.SGD, rho=0.1, adaptive=adaptive, lr=0.1, momentum=0.9)
    for x, y in batches(5):

        def closure(x=x, y=y):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        closure()
        optimizer.step(closure)
    return flat(weights(model))


def same_here(adaptive):
    return ours(
        lambda m, o: samnesia.asam(m, o, rho=0.1, eta=0.0, scaled="all") if adaptive else samnesia.sam(m, o, rho=0.1)
    )


@pytest.mark.parametrize("adaptive", [False, True])
def test_pytorch_optimizer_as_it_is(adaptive):
    torch.testing.assert_close(same_here(adaptive), theirs(adaptive), rtol=1e-6, atol=1e-8)


@pytest.mark.usefixtures("double_norm")
@pytest.mark.parametrize("adaptive", [False, True])
def test_pytorch_optimizer_with_a_norm_in_double_precision(adaptive):
    torch.testing.assert_close(same_here(adaptive), theirs(adaptive), rtol=1e-12, atol=1e-14)


@pytest.mark.usefixtures("double_norm")
def test_surrogate_gap_of_pytorch_optimizer_with_its_schedule():
    def schedule(optimizer):
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)

    model = network()
    base = sgd(model)
    scheduler = schedule(base)
    rho = ProportionScheduler(scheduler, max_lr=0.1, min_lr=0.0, max_value=0.2, min_value=0.05)
    optimizer = other.GSAM(model.parameters(), base, model, rho, alpha=0.4)
    for x, y in batches(5):
        optimizer.set_closure(F.cross_entropy, x, y)
        optimizer.step()
        scheduler.step()
        optimizer.update_rho_t()

    here = network()
    method = samnesia.gsam(
        here, sgd(here), rho=samnesia.proportional_to_lr(0.05, 0.2, lr_min=0.0, lr_max=0.1), alpha=0.4
    )
    scheduler = schedule(method.optimizer)
    for x, y in batches(5):
        for _ in method.passes():
            F.cross_entropy(here(x), y).backward()
        method.optimizer.step()
        method.optimizer.zero_grad()
        scheduler.step()
    # it adds its stabilizer to more denominators
    torch.testing.assert_close(flat(weights(here)), flat(weights(model)), rtol=1e-9, atol=1e-11)
