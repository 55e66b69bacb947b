"""Every method, trained, equals its NumPy oracle within 1e-12, and no longer when a rule of the oracle is wrong."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from tests import mutations as m
from tests import oracles as o

STEPS, SAMPLES, CLASSES = 10, 10, 3
OWN_RHO = 0.06  # of the second group
RATES = (0.005, 0.02, 0.1, 0.08, 0.06, 0.05, 0.04, 0.03, 0.02, 0.01)  # of the first group; the second has half
TOLERANCE = 1e-12

Factory = Callable[..., samnesia.PerturbedGradient]

LIBRARY: dict[str, Factory] = {
    "unperturbed": samnesia.unperturbed,
    "sam": lambda *two, **kw: samnesia.sam(*two, rho=m.RHO, **kw),
    "asam": lambda *two, **kw: samnesia.asam(*two, rho=m.RHO, **kw),
    "asam all": lambda *two, **kw: samnesia.asam(*two, rho=m.RHO, scaled="all", **kw),
    "asam filter": lambda *two, **kw: samnesia.asam(*two, rho=m.RHO, scaling="filter", **kw),
    "asam layer": lambda *two, **kw: samnesia.asam(*two, rho=m.RHO, scaling="layer", **kw),
    "gsam": lambda *two, **kw: samnesia.gsam(*two, rho=m.RHO, **kw),
    "gsam normalized": lambda *two, **kw: samnesia.gsam(*two, rho=m.RHO, backup="normalized", **kw),
    "obf": lambda *two, **kw: samnesia.obf(*two, rho=m.RHO, **kw),
    "obf sigmoid": lambda *two, **kw: samnesia.obf(*two, rho=m.RHO, link="sigmoid", **kw),
    "obf margin": lambda *two, **kw: samnesia.obf(*two, rho=m.RHO, gamma=0.5, threshold=0.2, **kw),
    "asam gsam obf": lambda *two, **kw: samnesia.PerturbedGradient(
        *two,
        rho=m.RHO,
        ball=samnesia.Ball(scaling=samnesia.ElementScaling(eta=m.ETA)),
        rule=samnesia.SurrogateGap(alpha=m.ALPHA),
        objective=samnesia.OutputBiasForgetting(),
        **kw,
    ),
    "random": lambda *two, **kw: samnesia.random_perturbation(*two, rho=m.RHO, **kw),
    "asam after norm": lambda *two, **kw: samnesia.asam_after_norm(*two, rho=m.RHO, **kw),
    "asam before norm": lambda *two, **kw: samnesia.asam_before_norm(*two, rho=m.RHO, **kw),
    "linf": lambda *two, **kw: samnesia.PerturbedGradient(
        *two, rho=m.RHO, ball=samnesia.Ball(norm=samnesia.Linf()), **kw
    ),
    "linf element": lambda *two, **kw: samnesia.PerturbedGradient(
        *two, rho=m.RHO, ball=samnesia.Ball(norm=samnesia.Linf(), scaling=samnesia.ElementScaling(eta=m.ETA)), **kw
    ),
    "sam three steps": lambda *two, **kw: samnesia.sam(*two, rho=m.RHO, steps=3, **kw),
    "asam three steps": lambda *two, **kw: samnesia.asam(*two, rho=m.RHO, steps=3, **kw),
    "sam chunks": lambda *two, **kw: samnesia.sam(*two, rho=m.RHO, **kw),
    "gsam normalized chunks": lambda *two, **kw: samnesia.gsam(*two, rho=m.RHO, backup="normalized", **kw),
    "sam proportional": lambda *two, **kw: samnesia.sam(
        *two, rho=samnesia.proportional_to_lr(*m.RHO_RANGE, *m.LR_RANGE), **kw
    ),
}


def binary_cross_entropy(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Summed over classes, mean over the batch."""
    labels = F.one_hot(target, CLASSES).to(output) if target.ndim == 1 else target
    return F.binary_cross_entropy_with_logits(output, labels, reduction="sum") / len(output)


@dataclass(frozen=True)
class Trained:
    """What the library did: the flat weights after each step, and the noise it drew, if it drew any."""

    trajectory: np.ndarray
    noise: list[np.ndarray]


def flat(model: nn.Module) -> np.ndarray:
    return torch.cat([p.detach().flatten() for p in model.parameters()]).numpy().copy()


def problem_of(name: str) -> o.Network:
    return o.convolution(filters=3, classes=CLASSES) if name == "asam filter" else o.mlp(4, 5, CLASSES)


def initial(problem: o.Problem) -> np.ndarray:
    return np.random.default_rng(1).normal(size=problem.size)


def network(problem: o.Problem) -> nn.Module:
    """The problem as a PyTorch model, with the same parameter names and the same weights."""
    if "conv.weight" in problem.names:
        filters = problem.shapes[0][0]
        layers = [("images", nn.Unflatten(1, (1, 2, 2))), ("conv", nn.Conv2d(1, filters, 2)), ("flat", nn.Flatten())]
        layers += [("tanh", nn.Tanh()), ("head", nn.Linear(filters, CLASSES))]
    else:
        (hidden, inputs), _, _, _ = problem.shapes
        layers = [("first", nn.Linear(inputs, hidden)), ("tanh", nn.Tanh()), ("second", nn.Linear(hidden, CLASSES))]
    model = nn.Sequential(OrderedDict(layers)).double()
    assert tuple(name for name, _ in model.named_parameters()) == problem.names
    nn.utils.vector_to_parameters(torch.tensor(initial(problem)), model.parameters())
    return model


@cache
def batches(soft: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(2)
    targets = (
        (lambda: random.dirichlet(np.ones(CLASSES), SAMPLES)) if soft else (lambda: random.integers(0, 3, SAMPLES))
    )
    return [(random.normal(size=(SAMPLES, 4)), targets()) for _ in range(STEPS)]


def by_group(problem: o.Problem, first: float, second: float) -> np.ndarray:
    """One value per entry: the first two parameters are the first group."""
    return np.where(np.arange(problem.size) < problem.slices[1].stop, first, second)


def base_optimizer(name: str, model: nn.Module, own_rho: bool) -> torch.optim.Optimizer:
    parameters = list(model.parameters())
    groups: list[dict[str, object]] = [{"params": parameters[:2]}, {"params": parameters[2:]}]
    if own_rho:
        groups[1]["rho"] = OWN_RHO
    if name == "sgd":
        return torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=m.DECAY)
    return torch.optim.AdamW(groups, betas=m.ADAM_BETAS, weight_decay=m.DECAY)


def train_library(
    factory: Factory,
    problem: o.Problem,
    optimizer_name: str,
    *,
    loss: Callable[..., torch.Tensor] = F.cross_entropy,
    chunk: int = SAMPLES,
    accumulate: int = SAMPLES,
    soft: bool = False,
    own_rho: bool = True,
    steps: int = STEPS,
    **options: object,
) -> Trained:
    """A hand-written loop. Micro-batches weighted by their share: of `chunk` samples around the passes, each with its
    own perturbation, or of `accumulate` samples inside of each pass, under one perturbation.
    """
    model = network(problem)
    optimizer = base_optimizer(optimizer_name, model, own_rho)
    method = factory(model, optimizer, loss=loss, **options)
    rho = by_group(problem, m.RHO, OWN_RHO)
    trajectory, noise = [], []
    for rate, (x, y) in zip(RATES[:steps], batches(soft), strict=False):
        optimizer.param_groups[0]["lr"], optimizer.param_groups[1]["lr"] = rate, rate / 2
        start = flat(model)
        for rows in torch.arange(SAMPLES).split(chunk):
            for p in method.passes():
                if p.last:
                    noise.append((flat(model) - start) / rho)
                for part in rows.split(accumulate):
                    share = len(part) / SAMPLES
                    (share * p.loss(model(torch.tensor(x)[part]), torch.tensor(y)[part])).backward()
            assert np.array_equal(flat(model), start)
        optimizer.step()
        optimizer.zero_grad()
        trajectory.append(flat(model))
    return Trained(np.stack(trajectory), noise)


def train_oracle(
    method: o.Method,
    problem: o.Problem,
    optimizer: o.Optimizer,
    *,
    loss: o.Criterion = o.cross_entropy,
    soft: bool = False,
    steps: int = STEPS,
) -> np.ndarray:
    rates = [by_group(problem, rate, rate / 2) for rate in RATES]
    data = batches(soft)[:steps]
    return np.stack(o.train(problem, initial(problem), data, method, optimizer, loss=loss, lr=rates.__getitem__))


def assert_equal(actual: np.ndarray, expected: np.ndarray) -> None:
    """Within 1e-12 of the norm of the weights, after every step."""
    error = np.linalg.norm(actual - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert error.max() < TOLERANCE, f"largest relative error {error.max():.1e}, by step {error}"


@cache
def library(name: str, optimizer: str) -> Trained:
    chunk = m.METHODS[name].chunk or SAMPLES
    loss = binary_cross_entropy if name == "obf sigmoid" else F.cross_entropy
    own_rho = name != "sam proportional"
    return train_library(LIBRARY[name], problem_of(name), optimizer, loss=loss, chunk=chunk, own_rho=own_rho)


def oracle(name: str, optimizer: o.Optimizer, method: o.Method, noise: list[np.ndarray]) -> np.ndarray:
    problem = problem_of(name)
    if name != "sam proportional":
        method = replace(method, rho=o.constant(by_group(problem, m.RHO, OWN_RHO)))
    if method.noise is not None:
        # Of another length: what the oracle makes of it must not depend on that.
        method = replace(method, noise=[3 * direction for direction in noise])
    loss = o.binary_cross_entropy if name == "obf sigmoid" else o.cross_entropy
    return train_oracle(method, problem, optimizer, loss=loss)


def test_every_method_of_the_oracles_is_compared():
    assert set(LIBRARY) == set(m.METHODS)


@pytest.mark.parametrize("optimizer", m.OPTIMIZERS)
@pytest.mark.parametrize("name", m.METHODS)
def test_method_equals_its_oracle(name, optimizer):
    """Ten steps, two groups with their own learning rate and radius, momentum or adaptive moments, weight decay."""
    trained = library(name, optimizer)
    assert_equal(trained.trajectory, oracle(name, m.OPTIMIZERS[optimizer], m.METHODS[name], trained.noise))


@pytest.mark.parametrize(("name", "mutation"), [(name, wrong) for name in m.MUTATIONS for wrong in m.MUTATIONS[name]])
def test_comparison_fails_under_a_mutation_of_the_rule(name, mutation):
    trained = library(name, "sgd")
    wrong = oracle(name, m.OPTIMIZERS["sgd"], m.mutate(name, mutation), trained.noise)
    with pytest.raises(AssertionError, match="largest relative error"):
        assert_equal(trained.trajectory, wrong)


@pytest.mark.parametrize(
    ("optimizer", "mutation"), [(name, wrong) for name in m.OPTIMIZERS for wrong in m.OPTIMIZER_MUTATIONS[name]]
)
def test_comparison_fails_under_a_mutation_of_the_base_optimizer(optimizer, mutation):
    wrong = oracle("sam", m.OPTIMIZER_MUTATIONS[optimizer][mutation], m.METHODS["sam"], [])
    with pytest.raises(AssertionError, match="largest relative error"):
        assert_equal(library("sam", optimizer).trajectory, wrong)


BALLS = {
    "sam": (samnesia.Ball(), o.sam),
    "element": (samnesia.Ball(scaling=samnesia.ElementScaling(eta=m.ETA)), o.asam(eta=m.ETA)),
    "filter": (samnesia.Ball(scaling=samnesia.FilterScaling(eta=m.ETA)), o.asam(eta=m.ETA, scaling=o.filter_wise)),
    "linf": (samnesia.Ball(norm=samnesia.Linf()), o.linf()),
}
OBJECTIVES = {
    "loss": (None, None),
    "obf": (samnesia.OutputBiasForgetting(), o.obf()),
    "obf sigmoid": (samnesia.OutputBiasForgetting(link="sigmoid"), o.obf(link=o.sigmoid)),
}
RULES = {
    "plain": (None, o.perturbed),
    "gsam": (samnesia.SurrogateGap(alpha=m.ALPHA), o.gsam(alpha=m.ALPHA)),
    "gsam normalized": (
        samnesia.SurrogateGap(alpha=m.ALPHA, backup="normalized"),
        o.gsam(alpha=m.ALPHA, backup=o.normalized),
    ),
}


@pytest.mark.parametrize("chunk", [SAMPLES, 4], ids=["batch", "chunks"])
@pytest.mark.parametrize("ascent_steps", [1, 2])
@pytest.mark.parametrize(("ball", "objective", "rule"), list(product(BALLS, OBJECTIVES, RULES)))
def test_parts_combine(ball, objective, rule, ascent_steps, chunk):
    """Also what no paper names; soft labels throughout."""
    problem = o.convolution(filters=3, classes=CLASSES)

    def factory(model: nn.Module, optimizer: torch.optim.Optimizer, **kw: object) -> samnesia.PerturbedGradient:
        ascent = samnesia.GradientAscent(steps=ascent_steps)
        parts = {"ball": BALLS[ball][0], "objective": OBJECTIVES[objective][0], "rule": RULES[rule][0]}
        return samnesia.PerturbedGradient(model, optimizer, rho=m.RHO, ascent=ascent, **parts, **kw)

    method = o.Method(
        perturb=BALLS[ball][1],
        objective=OBJECTIVES[objective][1],
        combine=RULES[rule][1],
        rho=o.constant(by_group(problem, m.RHO, OWN_RHO)),
        steps=ascent_steps,
        chunk=chunk,
    )
    actual = train_library(factory, problem, "sgd", chunk=chunk, soft=True, steps=3).trajectory
    assert_equal(actual, train_oracle(method, problem, m.OPTIMIZERS["sgd"], soft=True, steps=3))


@pytest.mark.parametrize("name", ["sam", "obf", "gsam normalized", "asam gsam obf"])
def test_accumulation_inside_the_passes_is_the_whole_batch(name):
    """Ragged micro-batches under one perturbation."""
    problem = problem_of(name)
    actual = train_library(LIBRARY[name], problem, "sgd", accumulate=4).trajectory
    assert_equal(actual, oracle(name, m.OPTIMIZERS["sgd"], m.METHODS[name], []))


@pytest.mark.parametrize(
    ("when", "active"),
    [
        (samnesia.every(3), {0, 3, 6, 9}),
        (samnesia.after(7), {7, 8, 9}),
        (samnesia.before(2), {0, 1}),
    ],
)
def test_steps_that_are_not_perturbed_are_the_base_optimizer(when, active):
    problem = problem_of("gsam")
    method = replace(
        m.METHODS["gsam"], rho=o.constant(by_group(problem, m.RHO, OWN_RHO)), when=lambda step: step in active
    )
    actual = train_library(LIBRARY["gsam"], problem, "adamw", when=when).trajectory
    assert_equal(actual, train_oracle(method, problem, m.OPTIMIZERS["adamw"]))
