"""The table of methods that every property is tested on: a new method is a new row.

A row is a name and a builder ``(model, optimizer, **options) -> PerturbedGradient`` with radii large enough to matter
on the small problems of the tests. `passes` is the number of passes of a perturbed step, `gradients` how many of them
need a gradient. Rows after the presets are combinations that no paper names: the parts are orthogonal.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F

import samnesia
from samnesia import PerturbedGradient


@dataclass(frozen=True)
class Row:
    name: str
    build: Callable[..., PerturbedGradient]
    passes: int = 2
    gradients: int = 2
    # False: rho = 0 is not the base optimizer, by the method's own formula
    zero_radius_is_base: bool = True
    # copies of the parameters that are alive while the last pass runs
    copies: int = 1

    def __call__(self, model, optimizer, **options: Any) -> PerturbedGradient:
        return self.build(model, optimizer, **options)

    def __str__(self) -> str:
        return self.name


def row(name: str, preset: Callable[..., PerturbedGradient], rho: float, *, columns: dict | None = None, **fixed: Any):
    def build(model, optimizer, **options):
        return preset(model, optimizer, **{"rho": rho, "loss": F.cross_entropy, **fixed, **options})

    return Row(name, build, **(columns or {}))


def plain(model, optimizer, *, rho=0.0, **options):
    """`unperturbed` has no radius to override."""
    return samnesia.unperturbed(model, optimizer, **options)


def composed(**parts):
    def preset(model, optimizer, **options):
        return PerturbedGradient(model, optimizer, **{**parts, **options})

    return preset


OBF = samnesia.OutputBiasForgetting
GSAM = {"copies": 2}

PRESETS = [
    row("unperturbed", plain, 0.0, columns={"passes": 1, "gradients": 1, "copies": 0}),
    row("sam", samnesia.sam, 0.1),
    row("sam 3 steps", samnesia.sam, 0.2, steps=3, columns={"passes": 4, "gradients": 4}),
    row("asam element", samnesia.asam, 0.5),
    row("asam filter", samnesia.asam, 0.3, scaling="filter"),
    row("asam layer", samnesia.asam, 0.1, scaling="layer"),
    row("asam all, eta 0", samnesia.asam, 1.0, scaled="all", eta=0.0),
    row("asam after norm", samnesia.asam_after_norm, 1.0),
    row("asam before norm", samnesia.asam_before_norm, 0.2),
    row("gsam", samnesia.gsam, 0.1, columns=GSAM),
    row("gsam normalized", samnesia.gsam, 0.1, backup="normalized", columns=GSAM),
    row("obf", samnesia.obf, 0.1),
    row("obf sigmoid", samnesia.obf, 0.1, link="sigmoid"),
    row("obf linear margin", samnesia.obf, 0.1, gamma=0.0),
    row("random", samnesia.random_perturbation, 0.1, columns={"passes": 1, "gradients": 1}),
    row(
        "random clean statistics",
        samnesia.random_perturbation,
        0.1,
        clean_statistics=True,
        columns={"passes": 2, "gradients": 1},
    ),
]

COMBINATIONS = [
    row("asam + obf", samnesia.asam, 0.5, objective=OBF()),
    row("gsam + obf", samnesia.gsam, 0.1, objective=OBF(), columns={**GSAM, "zero_radius_is_base": False}),
    row(
        "filter ball + obf + gap, 2 steps",
        composed(
            ball=samnesia.Ball(scaling=samnesia.FilterScaling()),
            ascent=samnesia.GradientAscent(steps=2),
            rule=samnesia.SurrogateGap(alpha=0.3),
            objective=OBF(link="sigmoid"),
        ),
        0.3,
        columns={"passes": 3, "gradients": 3, "zero_radius_is_base": False, "copies": 2},
    ),
    row("sign ascent", composed(ball=samnesia.Ball(norm=samnesia.Linf())), 0.01),
    row(
        "adaptive noise",
        composed(ball=samnesia.Ball(scaling=samnesia.ElementScaling()), ascent=samnesia.RandomAscent()),
        0.3,
        columns={"passes": 1, "gradients": 1},
    ),
]

METHODS = PRESETS + COMBINATIONS
PERTURBED = [method for method in METHODS if method.name != "unperturbed"]
BY_NAME = {method.name: method for method in METHODS}
