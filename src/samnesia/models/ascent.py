"""Layers whose backward pass is random by itself, and what they do in the ascent pass of sharpness-aware training.

Shake-Shake and ShakeDrop weight their branches by one random number in the forward pass and by another one in the
backward pass, so that their "gradient" is that of no function. A gradient that is to point uphill must be a true one:
google-research/sam therefore uses the numbers of the forward pass in the backward pass of the ascent as well, and so
do these layers while :attr:`AscentAware.ascending` is set. A training loop sets it before every pass::

    layers = aware_layers(model)
    for p in method.passes():
        for layer in layers:
            layer.ascending = p.ascent
        p.loss(model(inputs), target).backward()
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AscentAware(nn.Module):
    """Base of layers whose backward pass draws numbers of its own, except in ascent passes."""

    ascending: bool = False
    """Whether the pass is an ascent pass: then forward and backward share their random numbers (true gradient)."""

    def realize(self, value: Tensor, surrogate: Tensor) -> Tensor:
        """Return ``value``, with its own gradient in an ascent pass and with that of ``surrogate`` otherwise.

        Subclasses draw the numbers of both in every pass, so that the random state is the same after an ascent pass
        as after any other, and a replayed second pass meets the same numbers in its forward.
        """
        return value if self.ascending else surrogate + (value - surrogate).detach()


def aware_layers(model: nn.Module) -> list[AscentAware]:
    """Return the layers of ``model``, wrapped or not, that have to be told which passes are ascent passes."""
    return [module for module in model.modules() if isinstance(module, AscentAware)]


def _per_image(images: Tensor) -> Tensor:
    """One number from U(0, 1) per image, of torch's global generator, shaped to multiply ``images``.

    Drawn in single precision whatever the images have: bfloat16 would know only a few hundred numbers.
    """
    return torch.rand((len(images),) + (1,) * (images.ndim - 1), device=images.device)


class Shake(AscentAware):
    """Random mean of two branches per image: "Shake-Shake-Image" (Gastaldi, 2017).

    Forward ``a x + (1 - a) y`` with a ~ U(0, 1), backward with another draw; in evaluation ``(x + y) / 2``.
    """

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Mix two tensors of shape [images, …]."""
        if not self.training:
            return (x + y) / 2
        forward, backward = _per_image(x).to(x.dtype), _per_image(x).to(x.dtype)
        return self.realize(torch.lerp(y, x, forward), torch.lerp(y, x, backward))


class ShakeDrop(AscentAware):
    """Random factor per image on a residual branch (Yamada et al., 2019, equation 6).

    Forward ``b + α - bα`` with b ~ Bernoulli(keep) and α ~ U(-1, 1): the branch itself with probability ``keep``, else
    α times it. Backward ``b + β - bβ`` with β ~ U(0, 1). In evaluation the expectation of the forward factor, ``keep``.

    Args:
        keep: probability of leaving the branch as it is, 0 to 1.
    """

    def __init__(self, keep: float) -> None:
        super().__init__()
        self.keep = keep

    def forward(self, branch: Tensor) -> Tensor:
        """Scale ``branch``, of shape [images, …]."""
        if not self.training:
            return self.keep * branch
        kept = _per_image(branch) < self.keep
        alpha, beta = 2 * _per_image(branch) - 1, _per_image(branch)
        forward, backward = (torch.where(kept, 1.0, draw).to(branch.dtype) for draw in (alpha, beta))
        return self.realize(forward * branch, backward * branch)

    def extra_repr(self) -> str:
        """Say the probability where the module is printed."""
        return f"keep={self.keep:.4g}"
