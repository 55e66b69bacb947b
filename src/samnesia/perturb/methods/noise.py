"""Random weight perturbation."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import nn

from samnesia.perturb.flow.options import StepOptions
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.parts.ascents import UnitNoiseAscent
from samnesia.perturb.parts.rules import Mixture
from samnesia.perturb.parts.schedules import Radius


def rwp(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.01,
    *,
    share: float = 0.5,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """Random weight perturbation, RWP (Li et al., TMLR 2024).

    Steps ``share · ∇L(w + z) + (1 - share) ∇L(w)`` with Gaussian noise z of standard deviation ``ρ ‖f‖₂ / √(entries of
    f)`` on each output unit f (a filter, a neuron's weights, a whole bias), so that its expected length there is about
    ``ρ ‖f‖₂``. Two gradient evaluations, neither of which waits for the other (here they run one after the other), and
    one copy of the gradient more than SAM. The defaults are unverified, and what a unit is in tensors that are no
    convolutions is our reading.
    """
    return PerturbedGradient(model, optimizer, rho=rho, ascent=UnitNoiseAscent(), rule=Mixture(share=share), **options)
