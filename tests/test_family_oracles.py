"""The oracles of the family as a whole: frame, limits, mutations. By hand: tests/family/test_*.py."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import mutations as single
from tests import oracles as o
from tests.family import cheaper as c
from tests.family import directions as d
from tests.family import mutations, table, wrong
from tests.family import rules as r
from tests.family import stepping as s
from tests.family.driver import Method, nothing, train
from tests.family.settings import MLP, PLAIN, SAM, distance, setting, trajectory
from tests.family.table import DRAWS, ORACLES, PROBLEMS, UNVERIFIED

FAMILY = Path(__file__).parent / "family"
MODULES = {
    "driver",
    "networks",
    "stepping",
    "cheaper",
    "directions",
    "rules",
    "table",
    "wrong",
    "mutations",
    "settings",
}


def test_oracles_stand_on_numpy_alone():
    """Agreement with the library means something only as long as they share no code."""
    allowed = {"__future__", "collections.abc", "dataclasses", "functools", "typing", "numpy", "tests", "tests.family"}
    allowed |= {"tests.oracles", "tests.mutations"} | {f"tests.family.{module}" for module in MODULES}
    for module in MODULES:
        nodes = list(ast.walk(ast.parse((FAMILY / f"{module}.py").read_text())))
        imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        imported |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        assert imported <= allowed, module
        ours = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module in ("tests", "tests.family")]
        assert {alias.name for node in ours for alias in node.names} <= MODULES | {"oracles", "mutations"}, module


def test_gradient_with_a_normalization_agrees_with_torch():
    problem, random = table.NORMALIZED, np.random.default_rng(6)
    w, x, y = random.normal(size=problem.size), random.normal(size=(6, 4)), random.integers(0, 3, 6)
    w1, b1, scale, shift, w2, b2 = leaves = [torch.tensor(part, requires_grad=True) for part in problem.tensors(w)]
    inner = torch.nn.functional.layer_norm(torch.tensor(x) @ w1.T + b1, (5,), scale, shift)
    logits = torch.tanh(inner) @ w2.T + b2
    torch.nn.functional.cross_entropy(logits, torch.tensor(y)).backward()
    assert distance(problem.forward(w, x)[1], logits.detach().numpy()) < 1e-13
    expected = np.concatenate([leaf.grad.numpy().ravel() for leaf in leaves])
    assert distance(problem.gradient(w, o.cross_entropy, x, y), expected) < 1e-13


@pytest.mark.parametrize("optimizer", single.OPTIMIZERS)
def test_frame_as_it_stands_is_sam(optimizer):
    run = setting("", optimizer)
    known = o.train(
        MLP, run.start, run.batches, o.Method(rho=lambda lr: run.radii[0]), run.optimizer, lr=run.rates.__getitem__
    )
    assert distance(train(Method(), run), np.stack(known)) < 1e-15


ONES = (1.0, 1.0, 1.0)
LIMITS = {  # name: (what it becomes at an end of its settings, to what it must then be equal)
    "multi-step sam": ({"epsilon": s.several(1)}, SAM),
    "iterated obf": ({"epsilon": s.several(1, objective=o.cross_entropy)}, SAM),
    "lookbehind sam": ({"k": 1, "share": s.static(1.0)}, SAM),
    "lookbehind sam adaptive": ({"k": 1}, SAM),
    "lookbehind sam adaptive global": ({"k": 1}, SAM),
    "lookahead": ({"after": s.lookahead(3, 1.0)}, PLAIN),
    "shrink and perturb": ({"after": s.shrink(lambda lr: 0.0)}, PLAIN),
    "looksam": ({"epsilon": Method().epsilon, "combine": c.looksam(1, 0.7)}, SAM),
    "ae-sam": ({"epsilon": c.ae_sam(0.9, lambda step: -np.inf)}, SAM),
    "esam samples": ({"descent": c.sensitive_samples(1.0)}, SAM),
    "mesa": ({"descent": c.mesa(0.0, 5.0, 0)}, PLAIN),
    "saf": ({"descent": c.saf(0.0, 5.0, 1, 0)}, PLAIN),
    "friendly sam": ({"epsilon": d.friendly(0.0, 0.9)}, SAM),
    "vasso": ({"epsilon": d.vasso(1.0)}, SAM),
    "zsharp": ({"epsilon": d.following(d.outliers(1.0))}, SAM),
    "eigen-sam": ({"epsilon": d.eigen(0.0)}, SAM),
    "sparse sam": ({"epsilon": d.fisher_mask(0.0, 4)}, SAM),
    "sam-on": ({"epsilon": d.sam_on("")}, SAM),
    "le-sam": ({"epsilon": d.le_sam(np.inf)}, SAM),
    "rwp": ({"epsilon": nothing}, PLAIN),
    "wsam": ({"combine": r.wsam(0.5)}, SAM),
    "gradient-norm penalty": ({"combine": r.penalty(1.0)}, SAM),
    "imbsam": (wrong.classes(ONES), SAM),
    "focal-sam": (wrong.classes(r.focal_weights((0.5, 0.3, 0.2), 0.0)), SAM),
}


@pytest.mark.parametrize("name", LIMITS)
def test_at_an_end_of_its_settings_a_method_is_a_simpler_one(name):
    changes, simpler = LIMITS[name]
    run = setting(name, "adamw")
    assert distance(train(replace(ORACLES[name], **changes), run), train(simpler, run)) < 1e-13


def test_every_oracle_has_at_least_two_mutations():
    assert set(mutations.MUTATIONS) == set(ORACLES) >= set(PROBLEMS) | set(DRAWS) | set(UNVERIFIED)
    assert min(map(len, mutations.MUTATIONS.values())) >= 2


@pytest.mark.parametrize(
    ("name", "mutation"), [(name, mutation) for name in ORACLES for mutation in mutations.MUTATIONS[name]]
)
def test_a_mutation_changes_the_trajectory(name, mutation):
    mutated = train(mutations.mutate(name, mutation), setting(name))
    assert np.isfinite(mutated).all() and distance(mutated, trajectory(name)) > 1e-6
