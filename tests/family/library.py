"""How the library trains what the oracles of table.py train: presets with the table's settings, and the loop around.

`train(name, optimizer)` is a hand-written loop on the training of settings.py. What the method drew at random on the
way is handed on to the oracle.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import samnesia
from samnesia import PerturbedGradient
from tests import mutations as single
from tests import oracles as o
from tests.family import table as t
from tests.family.driver import Run
from tests.family.settings import setting

OWN_RHO = 0.06  # of the second group, as in settings.py


class Draws(TorchDispatchMode):
    """Everything that is drawn at random under it, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Tensor] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if function.overloadpacket.__name__ in ("normal_", "randn"):
            self.found.append(result.clone())
        return result


Draw = Callable[[Sequence[Tensor], np.ndarray], np.ndarray]  # (what was drawn, epsilon) -> what the oracle draws


def nothing(drawn: Sequence[Tensor], moved: np.ndarray) -> np.ndarray:
    """The oracle reads no draw."""
    return np.full_like(moved, np.nan)


def numbers(drawn: Sequence[Tensor], moved: np.ndarray) -> np.ndarray:
    """The numbers as they were drawn, parameter by parameter: what was made of them is left to the oracle."""
    return torch.cat([tensor.flatten() for tensor in drawn]).numpy()


def mask(drawn: Sequence[Tensor], moved: np.ndarray) -> np.ndarray:
    """1 where the weights moved."""
    return (moved != 0).astype(float)


@dataclass(frozen=True)
class Row:
    """build: ``(model, optimizer, **options) -> PerturbedGradient``; draw: what the oracle gets as its draw."""

    build: Callable[..., PerturbedGradient]
    draw: Draw = nothing


def row(preset: Callable[..., PerturbedGradient], *, draw: Draw = nothing, **fixed: Any) -> Row:
    return Row(partial(preset, **{"rho": t.RHO, "loss": F.cross_entropy, **fixed}), draw)


def plain(preset: Callable[..., PerturbedGradient], **fixed: Any) -> Row:
    """Of a baseline without a radius."""
    return Row(partial(preset, loss=F.cross_entropy, **fixed))


ASAM = samnesia.Ball(scaling=samnesia.ElementScaling(eta=t.ETA))
lookbehind = partial(row, samnesia.lookbehind, k=t.INNER)


LIBRARY: dict[str, Row] = {
    "multi-step sam": row(samnesia.sam, steps=t.ASCENT_STEPS),
    "iterated obf": row(samnesia.obf, steps=t.ASCENT_STEPS),
    "lookbehind sam": lookbehind(alpha=t.SLOW),
    "lookbehind asam": lookbehind(alpha=t.SLOW, ball=ASAM),
    "lookbehind sam adaptive": lookbehind(),
    "lookbehind asam adaptive": lookbehind(ball=ASAM),
    "lookbehind sam adaptive global": row(
        PerturbedGradient, inner=samnesia.InnerSteps(steps=t.INNER, interpolation=samnesia.Aligned(per_tensor=False))
    ),
    "lookbehind sam reused": lookbehind(alpha=t.SLOW, reuse=True),
    "lookbehind asam reused": lookbehind(alpha=t.SLOW, ball=ASAM, reuse=True),
    "interval sam": row(samnesia.interval_sam, k=t.INTERVAL),
    "late sam": row(samnesia.late_sam, start=t.LATE),
    "looksam": row(samnesia.looksam, k=t.LOOK_EVERY, alpha=t.LOOK_SHARE),
    "ae-sam": row(samnesia.ae_sam, total_steps=t.STEPS, delta=t.AE_DELTA, lambda_1=t.AE_LAST, lambda_2=t.AE_FIRST),
    "esam weights": row(samnesia.esam, beta=t.BETA, share=1.0, draw=mask),
    "esam weights by tensor": row(samnesia.esam, beta=t.BETA, share=1.0, per="tensor", draw=mask),
    "esam samples": row(samnesia.esam, beta=1.0, share=t.SAMPLES_SHARE),
    "esam": row(samnesia.esam, beta=t.BETA, share=t.SAMPLES_SHARE, draw=mask),
    "msam": row(samnesia.momentum_sam),
    "mesa": plain(samnesia.mesa, weight=t.DISTILL, temperature=t.TAU, decay=t.MESA_DECAY, start=t.MESA_START),
    "saf": plain(
        samnesia.saf, num_samples=30, weight=t.DISTILL, temperature=t.TAU, epochs=t.SAF_VISITS, start=t.SAF_START
    ),
    "lookahead": plain(samnesia.lookahead, k=t.SYNC, alpha=t.SYNC_SHARE),
    "lookahead sam": row(samnesia.sam, updates=[samnesia.Lookahead(k=t.SYNC, alpha=t.SYNC_SHARE)]),
    "shrink and perturb": plain(samnesia.shrink_and_perturb, share=t.SHRINK),
    "shrink and perturb by rate": plain(samnesia.shrink_and_perturb, share=t.SHRINK, base_lr=t.SHRINK_RATE),
    "wsam": row(samnesia.wsam, gamma=t.GAMMA, decoupled=False),
    "wsam decoupled": row(samnesia.wsam, gamma=t.GAMMA),
    "stable sam": row(samnesia.stable_sam),
    "gradient-norm penalty": row(samnesia.gradient_norm_penalty, share=t.PENALTY),
    "functional sam": row(samnesia.functional_sam),
    "imbsam": row(samnesia.imbsam, tail=[k for k, weight in enumerate(t.TAIL) if weight], num_classes=len(t.TAIL)),
    "focal-sam": row(samnesia.focal_sam, class_shares=t.CLASS_SHARES, gamma=t.FOCAL_GAMMA, share=t.FOCAL_SHARE),
    "friendly sam": row(samnesia.friendly_sam, sigma=t.FRIENDLY_SIGMA, decay=t.FRIENDLY_DECAY),
    "vasso": row(samnesia.vasso, theta=t.THETA),
    "gcsam": row(samnesia.gcsam),
    "zsharp": row(samnesia.zsharp, share=t.OUTLIERS),
    "sparse sam": row(samnesia.sparse_sam, sparsity=t.SPARSITY, refresh=t.MASK_EVERY),
    "sam-on": row(samnesia.sam_on),
    "asam-on": row(samnesia.sam_on, eta=t.ETA),
    "fisher sam": row(samnesia.fisher_sam, damping=t.DAMPING),
    "le-sam": row(samnesia.le_sam, sigma=t.SIGMA),
    "layer ball": row(samnesia.layer_sam),
    "filter ball": row(samnesia.filter_sam),
    "linf": row(samnesia.linf_sam),
    "rwp": row(samnesia.rwp, share=t.RWP_SHARE, draw=numbers),
}


@dataclass(frozen=True)
class Trained:
    """The flat weights after each step, and what the oracle is to draw."""

    trajectory: np.ndarray
    draws: list[np.ndarray]


def flat(model: nn.Module) -> np.ndarray:
    return torch.cat([p.detach().flatten() for p in model.parameters()]).numpy().copy()


def network(problem: o.Problem, start: np.ndarray) -> nn.Module:
    """The problem as a PyTorch model, with the same parameter names and the weights `start`."""
    layers: list[tuple[str, nn.Module]] = []
    shapes = dict(zip(problem.names, problem.shapes, strict=True))
    modules = list(dict.fromkeys(name.split(".")[0] for name in problem.names))
    for module in modules:
        shape = shapes[f"{module}.weight"]
        if module == modules[-1]:
            layers.append(("tanh", nn.Tanh()))
        if len(shape) == 4:
            layers += [("images", nn.Unflatten(1, (1, 2, 2))), (module, nn.Conv2d(1, shape[0], 2))]
            layers.append(("flat", nn.Flatten()))
        else:
            layers.append((module, nn.LayerNorm(shape) if len(shape) == 1 else nn.Linear(shape[1], shape[0])))
    model = nn.Sequential(OrderedDict(layers)).double()
    assert tuple(name for name, _ in model.named_parameters()) == problem.names
    nn.utils.vector_to_parameters(torch.tensor(start), model.parameters())
    return model


def base_optimizer(name: str, model: nn.Module) -> torch.optim.Optimizer:
    """Two groups, the second with a radius of its own."""
    parameters = list(model.parameters())
    groups: list[dict[str, Any]] = [{"params": parameters[:2]}, {"params": parameters[2:], "rho": OWN_RHO}]
    if name == "sgd":
        return torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=single.DECAY)
    return torch.optim.AdamW(groups, betas=single.ADAM_BETAS, weight_decay=single.DECAY)


def step(method: PerturbedGradient, model: nn.Module, x: Tensor, y: Tensor, samples: Tensor) -> np.ndarray:
    """One optimizer step; how far the weights were moved in the last pass."""
    start = flat(model)
    for p in method.passes() if method.inner is None else method.stepping():
        moved = flat(model) - start
        chosen_x, chosen_y, chosen = p.batch(x, y, samples)
        loss = p.loss(model(chosen_x), chosen_y, samples=chosen)
        if p.needs_gradient:
            loss.backward()
    if method.inner is None:
        assert np.array_equal(flat(model), start)
        method.optimizer.step()
    method.optimizer.zero_grad()
    return moved


@cache
def train(name: str, optimizer_name: str) -> Trained:
    """The ten steps of `setting`."""
    run = setting(name, optimizer_name)
    model = network(run.problem, run.start)
    optimizer = base_optimizer(optimizer_name, model)
    method = LIBRARY[name].build(model, optimizer)
    trajectory, draws = [], []
    for (x, y), samples, rates in zip(run.batches, run.samples, run.rates, strict=True):
        optimizer.param_groups[0]["lr"], optimizer.param_groups[1]["lr"] = rates[0], rates[-1]
        with Draws() as drawn:
            moved = step(method, model, *map(torch.tensor, (x, y, samples)))
        trajectory.append(flat(model))
        draws.append(LIBRARY[name].draw(drawn.found, moved))
    return Trained(np.stack(trajectory), draws)


def run_of(name: str, optimizer_name: str) -> Run:
    """The same training, for the oracle, with what the library drew."""
    return replace(setting(name, optimizer_name), draws=train(name, optimizer_name).draws)
