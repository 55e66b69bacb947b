"""The perturbed direction at the length of the clean gradient."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import nn

from samnesia.perturb.flow.options import StepOptions
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.parts.ascents import GradientAscent
from samnesia.perturb.parts.rules import RescaledNorm
from samnesia.perturb.parts.schedules import Radius


def stable_sam(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.05,
    *,
    steps: int = 1,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """Norm-rescaled, "stable" SAM (JMLR 2025, there also "SSAM").

    Steps ``(‖g‖ / ‖g_p‖) g_p``, norms over all parameters jointly: where the perturbed gradient is larger than the
    clean one, as it is for large rho, the step is no longer than plain training's. Changes nothing under optimizers
    that do not see a gradient's scale but for their moving averages (Adam). 1 + `steps` gradient evaluations and one
    copy of the gradient more than SAM. rho = 0.05 is SAM's default.
    """
    ascent, rule = GradientAscent(steps=steps), RescaledNorm()
    return PerturbedGradient(model, optimizer, rho=rho, ascent=ascent, rule=rule, **options)
