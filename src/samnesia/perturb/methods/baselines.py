"""Methods without a perturbation that any claim for one has to beat.

Others are PyTorch's own: label smoothing (``F.cross_entropy(label_smoothing=...)``), and averages of the weights, SWA
and EMA (``torch.optim.swa_utils``). All of them combine with any method.
"""

from __future__ import annotations

from typing import Unpack

import torch
from torch import nn

from samnesia.perturb.flow.options import StepOptions, put_first
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.methods.sam import unperturbed
from samnesia.perturb.parts.updates import Lookahead, ShrinkAndPerturb


def lookahead(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    k: int = 5,
    alpha: float = 0.5,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """Lookahead (Zhang et al., NeurIPS 2019, arXiv 1907.08610) over the base optimizer: see `Lookahead`.

    One gradient evaluation and one copy of the weights. k = 5 and alpha = 0.5 are the paper's defaults (unverified).
    Over another method: ``samnesia.sam(…, updates=[samnesia.Lookahead()])``.
    """
    put_first(Lookahead(k=k, alpha=alpha), options)
    return unperturbed(model, optimizer, **options)


def shrink_and_perturb(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    share: float = 1e-5,
    base_lr: float | None = None,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """Shrink-and-perturb as Vani et al. (ICML 2024) run it, over the base optimizer: see `ShrinkAndPerturb`.

    One gradient evaluation and one copy of the weights. share = 1e-5 is theirs, at the learning rate `base_lr`. Over
    another method: ``samnesia.sam(…, updates=[samnesia.ShrinkAndPerturb()])``.
    """
    put_first(ShrinkAndPerturb(share=share, base_lr=base_lr), options)
    return unperturbed(model, optimizer, **options)
