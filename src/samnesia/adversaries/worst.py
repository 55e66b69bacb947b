"""The worst that an attack with several starts finds for a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from samnesia.adversaries.attack import Attack, gradient_of
from samnesia.data.pixels import Exposure
from samnesia.perturb.modules import ModelState

Losses = Callable[[Tensor, Tensor], Tensor]
"""(outputs, targets) -> the loss of each sample ``[n]``."""
_EVALUATION = 1
"""Beside the seed in the key of a random start; training has 0."""


@dataclass(frozen=True, eq=False)
class Found:
    """What an attack has found of a batch.

    Attributes:
        pixels: the attacked images.
        outputs: what the model says of them, ``[n, classes]``.
        loss: of each, ``[n]``; infinite where it is not a number.
        right: whether the model is right of the attacked image, bool ``[n]``.
    """

    pixels: Tensor
    outputs: Tensor
    loss: Tensor
    right: Tensor


def worst(
    model: nn.Module,
    exposure: Exposure,
    losses: Losses,
    pixels: Tensor,
    targets: Tensor,
    attack: Attack,
    *,
    numbers: Sequence[int],
    seed: int = 0,
    restarts: int = 1,
) -> Found:
    """Attack a batch from several starts, and keep for each sample the worst: wrong before right, then by its loss.

    The model is looked at in evaluation mode; its modes, buffers, gradients and the random state are as before
    afterwards.

    Args:
        model: images as it sees them -> outputs ``[n, classes]``.
        exposure: how it sees pixels.
        losses: what is to rise, of each sample.
        pixels: of the images, 0 to 1.
        targets: their classes ``[n]``.
        attack: the steps.
        numbers: of the samples in their split, which decide where an attack begins.
        seed: decides it as well.
        restarts: how many starts; without random ones, one is all there are.
    """

    def objective(changed: Tensor) -> Tensor:
        return losses(model(exposure.inputs(changed)), targets)

    found: Found | None = None
    with evaluating(model, pixels.device):
        for restart in range(restarts if attack.random_start else 1):
            start = attack.start(pixels, numbers, (seed, _EVALUATION, restart))
            here = _found(model, exposure, losses, attack.climb(objective, pixels, start), targets)
            found = here if found is None else _worse(found, here)
    assert found is not None
    return found


def blind(model: nn.Module, exposure: Exposure, losses: Losses, pixels: Tensor, targets: Tensor) -> Tensor:
    """Whether an attack from the image itself sees no way uphill: its gradient is 0 or not finite; bool ``[n]``."""

    def objective(changed: Tensor) -> Tensor:
        return losses(model(exposure.inputs(changed)), targets)

    with evaluating(model, pixels.device):
        return ~gradient_of(objective, pixels).flatten(1).any(1)


@contextmanager
def evaluating(model: nn.Module, device: torch.device) -> Iterator[None]:
    """The model in evaluation mode; modes, buffers and random state are given back."""
    modes = [(module, module.training) for module in model.modules()]
    state = ModelState(model, {device})
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        state.restore_buffers()
        state.restore_random()


@torch.no_grad()
def _found(model: nn.Module, exposure: Exposure, losses: Losses, pixels: Tensor, targets: Tensor) -> Found:
    outputs = model(exposure.inputs(pixels))
    loss = losses(outputs, targets)
    loss = torch.where(loss.isnan(), torch.inf, loss)
    right = (outputs.argmax(1) == targets) & outputs.isfinite().all(1)
    return Found(pixels, outputs, loss, right)


def _worse(one: Found, other: Found) -> Found:
    """For each sample the worse of two."""
    better = (one.right & ~other.right) | ((one.right == other.right) & (other.loss > one.loss))

    def chosen(mine: Tensor, theirs: Tensor) -> Tensor:
        return torch.where(better.view(-1, *(1,) * (mine.ndim - 1)), theirs, mine)

    return Found(
        chosen(one.pixels, other.pixels),
        chosen(one.outputs, other.outputs),
        chosen(one.loss, other.loss),
        chosen(one.right, other.right),
    )
