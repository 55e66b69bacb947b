"""How much each weight matters to a task: the diagonal of the Fisher information, by true labels.

``F_i = 1/n Σ_s (∂ L(x_s, y_s) / ∂ w_i)²`` over training samples, each by itself, with the loss of evaluation L: for
cross-entropy that is ``-log p(y|x)``, and F the diagonal of the *empirical* Fisher information. (J. Kirkpatrick et al.,
PNAS 2017, whose labels may also be drawn from the model; true labels as in most of what follows them.) Statistics of
BatchNorm are the running ones, and dropout is off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils._pytree import tree_map

from samnesia.data.problem import Batch
from samnesia.lifelong.config import EWC
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.consolidation import Anchor
from samnesia.train.measures import Criterion

CHUNK = 64
"""Samples whose gradients are held at once."""


def fisher_diagonal(model: nn.Module, criterion: Criterion, batches: Iterable[Batch]) -> dict[str, Tensor]:
    """Return the mean over samples of the squared gradient of each weight that is trained, by its name.

    Args:
        model: in evaluation mode; it is left as it is.
        criterion: (output, target) -> scalar, a mean over samples.
        batches: inputs and targets, samples first, on the device of the model.

    Raises:
        ConfigurationError: for a model whose gradients cannot be taken sample by sample, and for no samples.
    """
    weights = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}

    def loss(values: Mapping[str, Tensor], inputs: Any, target: Tensor) -> Tensor:
        one = tree_map(lambda part: part[None], inputs)
        return criterion(functional_call(model, dict(values), (one,)), target[None])

    of_samples = vmap(grad(loss), in_dims=(None, 0, 0), chunk_size=CHUNK)
    totals = {name: torch.zeros_like(p) for name, p in weights.items()}
    samples = 0
    for inputs, targets in batches:
        try:
            gradients = of_samples(weights, inputs, targets)
        except RuntimeError as error:
            raise ConfigurationError(
                "cannot estimate importances for this model, because its gradients cannot be taken sample by sample "
                f"({' '.join(str(error).split())}); use another model, or replay in place of EWC"
            ) from error
        for name, gradient in gradients.items():
            totals[name] += gradient.square().sum(0)
        samples += len(targets)
    if not samples:
        raise ConfigurationError("cannot estimate importances without samples, because they are a mean; give some")
    return {name: total / samples for name, total in totals.items()}


def anchors_with(
    before: Sequence[Anchor], model: nn.Module, importance: Mapping[str, Tensor], ewc: EWC
) -> list[Anchor]:
    """Return the anchors of the next task: those before and the model as it stands, or one for all with a decay."""
    weights = {name: p.detach().clone() for name, p in model.named_parameters() if name in importance}
    if ewc.decay is None or not before:
        return [*before, Anchor(weights, dict(importance))]
    decayed = {name: ewc.decay * before[-1].importance[name].to(value) + value for name, value in importance.items()}
    return [Anchor(weights, decayed)]
