"""The table of methods that every property is tested on: a new method is a new row.

A row is a name and a builder ``(model, optimizer, **options) -> PerturbedGradient`` with radii large enough to matter
on the small problems of the tests; the columns say what may be relied on. Rows after the presets are combinations that
no paper names: the parts are orthogonal.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch.nn.functional as F
from torch import nn

import samnesia
from samnesia import PerturbedGradient
from tests.problems import CLASSES


@dataclass(frozen=True)
class Row:
    name: str
    build: Callable[..., PerturbedGradient]
    # the passes of a perturbed step: a gradient that shapes the perturbation (a), a forward on the way (s) or one that
    # compares losses (f), the gradient of a part of the loss at the weights (r), the gradient stepped (l)
    plan: str = "al"
    # whether steps have different numbers of passes by the method's own choice; `plan` is that of the first
    varies: bool = False
    # the first step that is perturbed; None if none is
    begins: int | None = 0
    # gradient evaluations of twelve steps: fewest, and most; None if each has those of the plan
    evaluations: tuple[int, int] | None = None
    # False: rho = 0 is not the base optimizer, by the method's own formula
    zero_radius_is_base: bool = True
    # copies of the parameters that are alive while the last pass runs, from the third step on
    copies: float = 1
    # those that wait for the optimizer's step, and those that stay after it
    waits: float = 0
    keeps: float = 0
    # whether a step depends on those before it, so that ranks and micro-batches cannot go by themselves
    remembers: bool = False
    # whether the number of all weights is in its formula, with or without a gradient
    counts: bool = False
    # whether it draws random numbers of its own, for each micro-batch others
    draws: bool = False
    # whether weights move also where they have no gradient
    blind: bool = False
    # whether weights move as far where their gradient is nothing but rounding
    abrupt: bool = False
    # whether p.batch gives other samples than the batch
    selects: bool = False
    # whether a loss may be scaled
    scales: bool = True
    # whether its micro-batches can run side by side (Vectorized)
    side_by_side: bool = True
    # whether it trains several processes as one
    spreads: bool = True
    # whether it stands for others in tests that take long
    quick: bool = False

    def __call__(self, model, optimizer, **options: Any) -> PerturbedGradient:
        return self.build(model, optimizer, **options)

    def __str__(self) -> str:
        return self.name

    @property
    def passes(self) -> int:
        return len(self.plan)

    @property
    def gradients(self) -> int:
        return sum(self.needs_gradient(index) for index in range(self.passes))

    def needs_gradient(self, index: int) -> bool:
        return self.plan[index] in "arl"

    @property
    def decides(self) -> bool:
        """Whether the data decide which steps are perturbed."""
        return self.evaluations is not None and self.evaluations[0] < self.evaluations[1]

    @property
    def starts_moved(self) -> bool:
        """Whether the first pass of a perturbed step is at the perturbed weights already."""
        return self.plan[0] == "l" and self.begins is not None

    def is_ascent(self, index: int) -> bool:
        return self.plan[index] in "as"


def row(name: str, preset: Callable[..., PerturbedGradient], rho: float, *, columns: dict | None = None, **fixed: Any):
    def build(model, optimizer, **options):
        return preset(model, optimizer, **{"rho": rho, "loss": F.cross_entropy, **fixed, **options})

    return Row(name, build, **(columns or {}))


def baseline(name: str, preset: Callable[..., PerturbedGradient], *, columns: dict, **fixed: Any):
    """Without a radius to override."""

    def build(model, optimizer, *, rho=0.0, **options):
        return preset(model, optimizer, **{"loss": F.cross_entropy, **fixed, **options})

    return Row(name, build, **{"plan": "l", "begins": None, "copies": 0, **columns})


def composed(**parts):
    def preset(model, optimizer, **options):
        return PerturbedGradient(model, optimizer, **{**parts, **options})

    return preset


def sam_on_part(model, optimizer, **options):
    """Few networks of the tests have a normalization: biases in its place, and a matrix where there is none."""
    held = {p for group in optimizer.param_groups for p in group["params"] if p.requires_grad}
    named = [(name, p.ndim) for name, p in model.named_parameters() if p in held]
    fewest = min((ndim for _, ndim in named), default=0)
    return samnesia.sam_on(model, optimizer, names=[name for name, ndim in named if ndim == fewest], **options)


def imbsam(model, optimizer, **options):
    return samnesia.imbsam(model, optimizer, tail=[1], num_classes=classes(model), **options)


def focal_sam(model, optimizer, **options):
    return samnesia.focal_sam(model, optimizer, class_shares=range(1, classes(model) + 1), gamma=2.0, **options)


def classes(model: nn.Module) -> int:
    return [CLASSES, *(m.out_features for m in model.modules() if isinstance(m, nn.Linear))][-1]


OBF = samnesia.OutputBiasForgetting
ELEMENTS = samnesia.Ball(scaling=samnesia.ElementScaling())
GSAM = {"copies": 2}
QUICK = {"quick": True}
ABRUPT = {"abrupt": True}
ALONE = {"side_by_side": False}
REMEMBERS = {**ALONE, "remembers": True, "copies": 3, "waits": 2, "keeps": 1}
MASK = {**ALONE, "remembers": True, "copies": 1.25, "waits": 0.25, "keeps": 0.125}  # of bytes, where weights have eight
KEPT = {"copies": 1, "waits": 1, "keeps": 1}
TEACHER = {**ALONE, "zero_radius_is_base": False}
MOMENTUM = {**ALONE, **QUICK, "plan": "l", "begins": 1, "blind": True}
MESA = {**TEACHER, **KEPT, "begins": None, "varies": True, "evaluations": (12, 12), **QUICK}
LOOKSAM = {**REMEMBERS, **QUICK}
AE_SAM = {**ALONE, "remembers": True, **QUICK}

PRESETS = [
    baseline("unperturbed", samnesia.unperturbed, columns=QUICK),
    row("sam", samnesia.sam, 0.1, columns=QUICK),
    row("sam 3 steps", samnesia.sam, 0.2, steps=3, columns={"plan": "aaal"}),
    row("asam element", samnesia.asam, 0.5),
    row("asam filter", samnesia.asam, 0.3, scaling="filter"),
    row("asam layer", samnesia.asam, 0.1, scaling="layer", columns=QUICK),
    row("asam all, eta 0", samnesia.asam, 1.0, scaled="all", eta=0.0),
    row("asam after norm", samnesia.asam_after_norm, 1.0),
    row("asam before norm", samnesia.asam_before_norm, 0.2),
    row("gsam", samnesia.gsam, 0.1, columns=GSAM),
    row("gsam normalized", samnesia.gsam, 0.1, backup="normalized", columns={**GSAM, **QUICK}),
    row("obf", samnesia.obf, 0.1, columns=QUICK),
    row("obf sigmoid", samnesia.obf, 0.1, link="sigmoid"),
    row("obf linear margin", samnesia.obf, 0.1, gamma=0.0),
    row("random", samnesia.random_perturbation, 0.1, columns={"plan": "l", "draws": True, "blind": True}),
    row(
        "random clean statistics",
        samnesia.random_perturbation,
        0.1,
        clean_statistics=True,
        columns={"plan": "sl", "draws": True, "blind": True, **QUICK},
    ),
]

FAMILY = [
    # several steps
    row("obf 3 steps", samnesia.obf, 0.2, steps=3, columns={"plan": "aaal"}),
    # cheaper
    row("interval sam", samnesia.interval_sam, 0.1, k=2, columns={"varies": True, "evaluations": (18, 18)}),
    row(
        "late sam",
        samnesia.late_sam,
        0.1,
        start=1,
        columns={"varies": True, "evaluations": (23, 23), "begins": 1, "plan": "l"},
    ),
    row("looksam", samnesia.looksam, 0.1, k=2, columns={**LOOKSAM, "varies": True, "evaluations": (18, 18)}),
    row("looksam every step", samnesia.looksam, 0.1, k=1, columns=LOOKSAM),
    row("ae-sam", samnesia.ae_sam, 0.1, total_steps=12, columns={**AE_SAM, "varies": True, "evaluations": (13, 23)}),
    row("ae-sam always", samnesia.ae_sam, 0.1, total_steps=12, lambda_1=-1e6, lambda_2=-1e6, columns=AE_SAM),
    row(
        "esam",
        samnesia.esam,
        0.1,
        columns={
            "plan": "afl",
            "draws": True,
            "selects": True,
            "spreads": False,
            **ALONE,
            "zero_radius_is_base": False,
            **QUICK,
        },
    ),
    row("esam weights", samnesia.esam, 0.1, share=1.0, per="tensor", beta=0.9, columns={"draws": True, **ALONE}),
    row("momentum sam", samnesia.momentum_sam, 0.3, columns=MOMENTUM),
    baseline("mesa", samnesia.mesa, decay=0.5, columns=MESA),
    baseline(
        "saf",
        samnesia.saf,
        num_samples=16,
        epochs=1,
        weight=5.0,
        columns={**TEACHER, "spreads": False, "copies": 0.12, "waits": 0.25, "keeps": 0.12},
    ),
    # other directions
    row("friendly sam", samnesia.friendly_sam, 0.1, columns={**REMEMBERS, **QUICK}),
    row("vasso", samnesia.vasso, 0.1, columns=REMEMBERS),
    row("fisher sam", samnesia.fisher_sam, 0.05),
    row("sparse sam", samnesia.sparse_sam, 0.1, refresh=2, columns={**MASK, "counts": True}),
    row("sam-on", sam_on_part, 0.3),
    row("asam-on", sam_on_part, 0.5, eta=0.01),
    row("rwp", samnesia.rwp, 0.2, columns={"draws": True, "blind": True, "copies": 2}),
    row("layer ball", samnesia.layer_sam, 0.05, columns=ABRUPT),
    row("filter ball", samnesia.filter_sam, 0.05, columns=ABRUPT),
    row("linf", samnesia.linf_sam, 0.01, columns=ABRUPT),
    row("gcsam", samnesia.gcsam, 0.1, columns={"zero_radius_is_base": False}),
    row("zsharp", samnesia.zsharp, 0.1, share=0.25),
    row("le-sam", samnesia.le_sam, 0.5, sigma=0.05),
    # other rules
    row("wsam", samnesia.wsam, 0.1, decoupled=False, columns=GSAM),
    row(
        "wsam decoupled",
        samnesia.wsam,
        0.1,
        columns={"copies": 2, "waits": 1, "remembers": True, "scales": False, **ALONE, **QUICK},
    ),
    row("stable sam", samnesia.stable_sam, 0.1, columns=GSAM),
    row("gradient-norm penalty", samnesia.gradient_norm_penalty, 0.1, columns=GSAM),
    row("imbsam", imbsam, 0.1, columns={"plan": "ral", "copies": 2, **ALONE, **QUICK}),
    row("focal sam", focal_sam, 0.1, columns={"plan": "ral", "copies": 2, **ALONE}),
    row("functional sam", samnesia.functional_sam, 0.1, columns=ALONE),
    # after the step
    baseline("lookahead", samnesia.lookahead, k=2, columns={"zero_radius_is_base": False, **KEPT}),
    baseline(
        "shrink and perturb",
        samnesia.shrink_and_perturb,
        share=0.01,
        columns={"zero_radius_is_base": False, **KEPT},
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
        columns={"plan": "aal", "zero_radius_is_base": False, "copies": 2, **QUICK},
    ),
    row("sign ascent", composed(ball=samnesia.Ball(norm=samnesia.Linf())), 0.01, columns=ABRUPT),
    row(
        "adaptive noise",
        composed(ball=samnesia.Ball(scaling=samnesia.ElementScaling()), ascent=samnesia.RandomAscent()),
        0.3,
        columns={"plan": "l", "draws": True, "blind": True},
    ),
]

# They step the optimizer between their passes: `method.stepping()` drives them, and there is no gradient to hand over.
DRIVING = [
    row("lookbehind", samnesia.lookbehind, 0.1, columns={"plan": "alal"}),
    row("lookbehind reused", samnesia.lookbehind, 0.1, k=2, alpha=0.3, reuse=True, columns={"plan": "all", **QUICK}),
    row("lookbehind asam", samnesia.lookbehind, 0.5, alpha=0.5, ball=ELEMENTS, columns={"plan": "alal"}),
]
METHODS = PRESETS + FAMILY + COMBINATIONS
PERTURBED = [method for method in METHODS if method.begins == 0]
STEADY = [method for method in METHODS if not method.varies]
BY_NAME = {method.name: method for method in METHODS + DRIVING}


def sparing(rows: list[Row]) -> list[Any]:
    """Parameters of a test that takes long: rows that stand for others now, all of them with the slow tests."""
    return [pytest.param(row, id=row.name, marks=() if row.quick else pytest.mark.slow) for row in rows]
