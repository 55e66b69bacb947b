"""SAM in the space of the network's functions."""

from __future__ import annotations

from typing import Unpack

import torch
import torch.nn.functional as F
from torch import nn

from samnesia.perturb.flow.options import FlowOptions
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.parts.ascents import GradientAscent
from samnesia.perturb.parts.descent import FrozenDerivative
from samnesia.perturb.parts.objectives import Criterion
from samnesia.perturb.parts.schedules import Radius


def functional_sam(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.05,
    *,
    loss: Criterion = F.cross_entropy,
    steps: int = 1,
    **options: Unpack[FlowOptions],
) -> PerturbedGradient:
    """Functional SAM (Singh et al., ICML 2025).

    Steps ``J(w + e)ᵀ ∂L/∂x(w)``, x being the outputs: SAM's gradient with the loss derivative left where it was, so
    that only the network's Jacobian is regularized and not the confidence of its outputs. e is SAM's; the paper's
    preconditioned e is not here. 1 + `steps` gradient evaluations, and a copy of the outputs; each pass must compute
    its loss with ``p.loss(output, target)``, whose value in the last pass is no loss. Made for pretraining language
    models, where SAM's logit part dominates; no gain at equal compute was shown. rho = 0.05 is SAM's default.
    """
    ascent, descent = GradientAscent(steps=steps), FrozenDerivative()
    return PerturbedGradient(model, optimizer, rho=rho, ascent=ascent, loss=loss, descent=descent, **options)
