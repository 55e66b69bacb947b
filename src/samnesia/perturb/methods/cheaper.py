"""Methods that cost less than two full passes per step."""

from __future__ import annotations

from typing import Literal, Unpack

import torch
from torch import nn

from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.flow.options import StepOptions
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.parts.ascents import GradientAscent
from samnesia.perturb.parts.masks import PartialAscent
from samnesia.perturb.parts.numbers import number
from samnesia.perturb.parts.remembering import MomentumAscent, SteepEnough
from samnesia.perturb.parts.rules import ReusedDirection
from samnesia.perturb.parts.schedules import Radius, every
from samnesia.perturb.parts.schedules import after as from_step
from samnesia.perturb.parts.selection import LargestRise


def interval_sam(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.5,
    *,
    k: int = 10,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """SAM on steps 0, k, 2k, … and the base optimizer between: ``sam(…, when=every(k))``.

    1 + 1/k gradient evaluations per step. mosaicml/composer has this form (its k-th step comes last:
    ``when=every(k, phase=k - 1)``) and advises to scale rho with k; k = 10 with rho = 0.5 is its setting for ResNet-50
    on ImageNet (+.7 % accuracy, -7 % throughput, by its documentation). For when two gradients are too many; of no use,
    they say, where samples are seen only a few times, as in language modelling.
    """
    options.setdefault("when", every(k))
    return PerturbedGradient(model, optimizer, rho=rho, ascent=GradientAscent(), **options)


def late_sam(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.05,
    *,
    start: int,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """SAM from step `start` on (Zhou et al., ICLR 2025, arXiv 2410.10373): ``sam(…, when=after(start))``.

    One gradient evaluation per step before `start` and two from there. A few epochs of SAM at the end of training give
    nearly the test error of SAM throughout; 175 of 200 epochs is a setting of the paper. Here the momentum goes on over
    the switch; in the authors' code a second optimizer begins at zero. The first of these methods to try: no new
    hyper-parameter, 1.05 to 1.15 times the cost, and a large rho does not hinder the early phase.
    """
    options.setdefault("when", from_step(start))
    return PerturbedGradient(model, optimizer, rho=rho, ascent=GradientAscent(), **options)


def looksam(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.05,
    *,
    k: int = 5,
    alpha: float = 0.7,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """LookSAM (Liu et al., CVPR 2022): SAM on steps 0, k, 2k, …, whose direction serves the steps between.

    ``g_v = g_p - (⟨g, g_p⟩ / ‖g‖²) g`` is kept, and the others step ``g + α (‖g‖ / ‖g_v‖) g_v`` (`ReusedDirection`).
    1 + 1/k gradient evaluations per step and one copy of the gradient, kept. The projection is over all parameters
    jointly; released code projects tensor by tensor. k 5 to 10 and alpha 0.7 are the paper's; that step 0 is SAM's is
    our reading, and so is rho. For large batches, where g_v changes slowly. `when=` in place of `k` chooses the steps.
    """
    options.setdefault("when", every(k))
    rule = ReusedDirection(alpha=alpha)
    return PerturbedGradient(model, optimizer, rho=rho, ascent=GradientAscent(), rule=rule, **options)


def ae_sam(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.05,
    *,
    delta: float = 0.9,
    lambda_1: float = -1.0,
    lambda_2: float = 1.0,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """AE-SAM (Jiang et al., ICLR 2023): SAM where ``‖g‖² ≥ μ + c_t σ``, the base optimizer elsewhere (`SteepEnough`).

    μ and σ² are moving averages of ‖g‖² and of its squared distance to μ; c_t goes from `lambda_2` at step 0 to
    `lambda_1` at step `total_steps`, an option that this method needs. The first micro-batch of a step decides for all
    of them. One or two gradient evaluations per step, about 1.5 (unverified); a few numbers of memory. delta 0.9 and
    the lambdas ±1 are the paper's (unverified), and so is rho. That σ² is of the new μ, and that both begin at 0, is
    our reading. For when SAM's cost is to be spent where gradients are large; a step's cost is not known in advance.
    """
    total_steps = options.get("total_steps")
    if total_steps is None:
        raise ConfigurationError(
            "cannot lower the threshold of AE-SAM without total_steps=, because it goes from lambda_2 at the first "
            "step to lambda_1 at the last; give the run's number of optimizer steps"
        )
    ascent = SteepEnough(total_steps=total_steps, delta=delta, lambda_1=lambda_1, lambda_2=lambda_2)
    return PerturbedGradient(model, optimizer, rho=rho, ascent=ascent, **options)


def esam(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rho: float | Radius = 0.05,
    *,
    beta: float = 0.6,
    share: float = 0.5,
    per: Literal["entry", "tensor"] = "entry",
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """ESAM (Du et al., ICLR 2022): SAM along a random part of the gradient, stepped on the samples that it hurts most.

    ``e = (ρ / β) m ⊙ g / ‖g‖``, m ~ Bernoulli(β) (`PartialAscent`; `per` is what shares a draw: "entry" as in the
    formula, "tensor" as in the authors' code); then a forward over the batch at w + e, and the gradient there over the
    ``⌈share · N⌉`` samples of each micro-batch whose loss has risen most (`LargestRise`, here by cross-entropy; give
    `selection=` for another loss). Two gradient evaluations, the second on `share` of the samples, and one forward:
    1.4 to 1.6 times a plain step by the paper. share = 1 selects nothing and leaves out the forward. Needs ``loss=``,
    and `p.batch` in the loop::

        for p in method.passes():
            x_p, y_p = p.batch(x, y)
            loss = p.loss(model(x_p), y_p)
            if p.needs_gradient:
                loss.backward()

    beta 0.6 and share 0.5 are the paper's (unverified). Each rank selects among its own samples. For convolutional
    nets in which the backward pass dominates; BatchNorm normalizes the last pass by the selected samples alone.
    """
    if number(share) != 1.0:
        options.setdefault("selection", LargestRise(share=share))
    return PerturbedGradient(model, optimizer, rho=rho, ascent=PartialAscent(beta=beta, per=per), **options)


def momentum_sam(
    model: nn.Module, optimizer: torch.optim.Optimizer, rho: float | Radius = 3.0, **options: Unpack[StepOptions]
) -> PerturbedGradient:
    """Momentum-SAM (Becker et al., NeurIPS 2025, 2401.12033): the gradient at ``w - ρ v / ‖v‖`` (`MomentumAscent`).

    v is the momentum buffer of the base optimizer. One gradient evaluation per step and no memory that stays; the first
    step is a plain one. rho about 3 for SGD and AdamW where SAM has 0.2, by the paper. The cheapest of the family, if
    rho can be tuned; needs SGD with momentum, Adam or AdamW.
    """
    groups = optimizer.param_groups if isinstance(optimizer, torch.optim.Optimizer) else []
    if groups and all(group.get("momentum") == 0 for group in groups):
        raise ConfigurationError(
            "cannot perturb along the momentum of an optimizer with momentum=0, because it keeps none; use SGD with "
            "momentum > 0, Adam or AdamW"
        )
    return PerturbedGradient(model, optimizer, rho=rho, ascent=MomentumAscent(), **options)
