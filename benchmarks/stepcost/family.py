"""The rows of the whole family: every preset at its defaults, each held against the passes that it is made of."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

import samnesia

from .bench import Bench
from .floors import INNER, INNER_REUSED, ONE, SELECTED, TAUGHT, THREE, TWO, Row, rows_of
from .rows import OURS, ours

AE_STEPS = 20
"""Over which AE-SAM's threshold falls."""
LATE_CYCLE = 4
"""Late SAM's two parts, the plain three quarters of training and the perturbed last one, in a nutshell."""


def selecting(bench: Bench, method: samnesia.PerturbedGradient) -> None:
    """The loop of methods that select samples."""
    for p in method.passes():
        bench.forward_backward(p.loss, p.batch(bench.x, bench.y), backward=p.needs_gradient)
    bench.step(method.optimizer)
    method.optimizer.zero_grad(set_to_none=True)


def naming(bench: Bench, method: samnesia.PerturbedGradient) -> None:
    """The loop of methods that remember samples."""
    samples = torch.arange(len(bench.x), device=bench.x.device)
    for p in method.passes():
        bench.forward_backward(partial(p.loss, samples=samples), backward=p.needs_gradient)
    bench.step(method.optimizer)
    method.optimizer.zero_grad(set_to_none=True)


def stepping(bench: Bench, method: samnesia.PerturbedGradient) -> None:
    """The loop of methods that step the optimizer themselves."""
    for p in method.stepping():
        bench.forward_backward(p.loss, backward=p.needs_gradient)
    method.optimizer.zero_grad(set_to_none=True)


def normalizations(bench: Bench) -> dict[str, Any]:
    """The parameters of normalization layers, or the biases of a network that has none of these."""
    layers = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm)
    normalizes = any(isinstance(module, layers) for module in bench.model.modules())
    return {} if normalizes else {"names": [name for name, _ in bench.model.named_parameters() if "bias" in name]}


def tail(bench: Bench) -> dict[str, Any]:
    """The second half of the classes is rare."""
    classes = bench.num_classes
    return {"tail": range(classes // 2, classes), "num_classes": classes, "per_sample": PER_SAMPLE}


def shares(bench: Bench) -> dict[str, Any]:
    """All classes are as frequent."""
    return {"class_shares": [1.0] * bench.num_classes, "per_sample": PER_SAMPLE}


PER_SAMPLE = partial(F.cross_entropy, reduction="none")
FLOORS = rows_of([TWO, ONE, THREE, TAUGHT, SELECTED, INNER, INNER_REUSED])
AGAIN = rows_of([TWO, ONE], again=True)


def _two(name: str, preset: Any, **options: Any) -> Row:
    return Row(name, "samnesia", (TWO,), ours(preset, **options))


def _mixed(name: str, preset: Any, *, cycle: int, **options: Any) -> Row:
    return Row(name, "samnesia", (ONE, TWO), ours(preset, **options), cycle)


NEW = (
    Row("sam, steps=2", "samnesia", (THREE,), ours(samnesia.sam, steps=2)),
    Row("obf, steps=2", "samnesia", (THREE,), ours(samnesia.obf, rho=0.05, steps=2)),
    _two("asam_after_norm", samnesia.asam_after_norm),
    _two("asam_before_norm", samnesia.asam_before_norm),
    _two("linf_sam", samnesia.linf_sam),
    _two("layer_sam", samnesia.layer_sam),
    _two("filter_sam", samnesia.filter_sam),
    _two("sam_on", samnesia.sam_on, own=normalizations),
    _two("friendly_sam", samnesia.friendly_sam),
    _two("vasso", samnesia.vasso),
    _two("fisher_sam", samnesia.fisher_sam),
    _two("sparse_sam", samnesia.sparse_sam),
    _two("sparse_sam, refresh=1", samnesia.sparse_sam, refresh=1),
    _two("gcsam", samnesia.gcsam),
    _two("zsharp", samnesia.zsharp),
    _two("le_sam", samnesia.le_sam),
    _two("rwp", samnesia.rwp),
    _two("functional_sam", samnesia.functional_sam),
    _two("wsam", samnesia.wsam),
    _two("wsam, coupled", samnesia.wsam, decoupled=False),
    _two("stable_sam", samnesia.stable_sam),
    _two("gradient_norm_penalty", samnesia.gradient_norm_penalty),
    Row("imbsam", "samnesia", (THREE,), ours(samnesia.imbsam, own=tail)),
    Row("focal_sam", "samnesia", (THREE,), ours(samnesia.focal_sam, own=shares, gamma=1.0)),
    _mixed("interval_sam, k=10", samnesia.interval_sam, cycle=10),
    _mixed(
        "late_sam, last quarter", samnesia.late_sam, cycle=LATE_CYCLE, start=LATE_CYCLE - 1,
        when=samnesia.every(LATE_CYCLE, phase=LATE_CYCLE - 1),
    ),
    _mixed("looksam, k=5", samnesia.looksam, cycle=5),
    _mixed("ae_sam", samnesia.ae_sam, cycle=1, total_steps=AE_STEPS),
    Row("esam", "samnesia", (SELECTED,), ours(samnesia.esam, loop=selecting)),
    Row("momentum_sam", "samnesia", (ONE,), ours(samnesia.momentum_sam)),
    Row("mesa", "samnesia", (TAUGHT,), ours(samnesia.mesa)),
    Row("saf", "samnesia", (ONE,), ours(samnesia.saf, loop=naming, own=lambda bench: {"num_samples": len(bench.x)})),
    Row("lookbehind, k=2", "samnesia", (INNER,), ours(samnesia.lookbehind, loop=stepping)),
    Row("lookbehind, k=2, reuse", "samnesia", (INNER_REUSED,), ours(samnesia.lookbehind, loop=stepping, reuse=True)),
    Row("lookahead, k=5", "samnesia", (ONE,), ours(samnesia.lookahead), cycle=5),
    Row("shrink_and_perturb", "samnesia", (ONE,), ours(samnesia.shrink_and_perturb)),
)  # fmt: skip
FAMILY = OURS + NEW
FAMILY_ROWS = FLOORS + AGAIN + FAMILY
