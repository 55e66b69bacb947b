"""Methods without a perturbation: the outputs of a step are held to older ones of the same model."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import nn

from samnesia.perturb.flow.options import StepOptions
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.parts.teachers import AverageTeacher, PastTeacher


def mesa(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    weight: float = 0.8,
    temperature: float = 5.0,
    decay: float = 0.995,
    start: int = 0,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """MESA (Du et al., NeurIPS 2022): ``L + weight · KL(softmax(old / τ) ‖ softmax(now / τ))``, old by average weights.

    old are the logits of the same batch at a moving average of the weights (`AverageTeacher`), told by a forward pass
    that each flow begins with. One gradient evaluation per step and a forward: 1.15 times a plain step by the paper;
    one copy of the weights. weight 0.8 and temperature 5 are the paper's, which begins at epoch 5: give
    ``start=5 * steps_per_epoch``. That the average begins at the initial weights, BatchNorm's use of the batch for both
    and no factor τ² are our readings; decay 0.995 is unverified. Needs ``loss=``; composes with an ascent through
    ``PerturbedGradient(…, teacher=AverageTeacher(…))``. For SAM-like flatness where a second backward is too much.
    """
    options["teacher"] = AverageTeacher(weight=weight, temperature=temperature, decay=decay, start=start)
    return PerturbedGradient(model, optimizer, rho=0.0, ascent=None, **options)


def saf(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    num_samples: int,
    weight: float = 0.3,
    temperature: float = 5.0,
    epochs: int = 3,
    start: int = 0,
    **options: Unpack[StepOptions],
) -> PerturbedGradient:
    """SAF (Du et al., NeurIPS 2022): as `mesa`, with old the logits that the same sample had `epochs` epochs before.

    One gradient evaluation per step, no other pass; `epochs` · `num_samples` · K numbers of memory (`PastTeacher`).
    `p.loss` has to be told who the samples are, so that data loaders have to give their indices::

        for x, y, indices in loader:
            for p in method.passes():
                p.loss(model(x), y, samples=indices).backward()

    weight 0.3, temperature 5 and 2 to 3 epochs are the paper's, which begins at epoch 5 (``start=5 *
    steps_per_epoch``). An epoch is one visit of the sample, whose logits are those of the pass that trained on it: our
    readings. In one process, for data sets whose logits fit into memory several times; else use `mesa`.
    """
    options["teacher"] = PastTeacher(
        weight=weight, temperature=temperature, num_samples=num_samples, epochs=epochs, start=start
    )
    return PerturbedGradient(model, optimizer, rho=0.0, ascent=None, **options)
