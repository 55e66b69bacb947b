"""SAM that weighs or chooses entries by their Fisher information."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import nn

from samnesia.perturb.flow.options import StepOptions
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.parts.masks import MaskedAscent
from samnesia.perturb.parts.schedules import Radius
from samnesia.perturb.parts.sized import FisherAscent


def fisher_sam(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.005,
    *,
    damping: float = 0.01,
    steps: int = 1,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """Fisher SAM (Kim et al., ICML 2022; the formula is unverified).

    ``e = ρ F⁻¹ g / √(gᵀ F⁻¹ g)`` with the diagonal ``F = g² + damping`` of the batch's gradient: the ball of
    distributions that are equally near, in place of weights. 1 + `steps` gradient evaluations. The defaults are ours:
    where g² is well below the damping it is SAM with a radius of ``ρ / √damping``, here 0.05. damping has the unit of a
    squared gradient, so that a scaled loss must go through `p.loss`, where the scale is known.
    """
    ascent = FisherAscent(damping=damping, steps=steps)
    return PerturbedGradient(model, optimizer, rho=rho, ascent=ascent, **options)


def sparse_sam(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.05,
    *,
    sparsity: float = 0.5,
    refresh: int = 100,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """Sparse SAM by a Fisher mask, SSAM-F (Mi et al., NeurIPS 2022; the formula is unverified).

    ``e = ρ m ⊙ g / (‖g‖₂ + epsilon)``: m is 1 on the ``1 - sparsity`` share of all entries with the largest g², and is
    made anew every `refresh` steps of that step's gradient (our reading: the batch's squared gradient is the Fisher
    information; ties are kept). The norm is that of all of g. Two gradient evaluations: as coded here, like everywhere,
    it costs what SAM does, and one byte per weight. The defaults are unverified (the paper has sparsities of 0.5 to
    0.95).
    """
    ascent = MaskedAscent(sparsity=sparsity, refresh=refresh)
    return PerturbedGradient(model, optimizer, rho=rho, ascent=ascent, **options)
