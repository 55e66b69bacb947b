r"""FGSM and PGD: steps uphill on the loss within a ball around each image.

::

    x_0 = x, or x + a change drawn uniformly from the ball, cut to [0, 1]
    x_k+1 = cut_[0, 1](x + project_ball(x_k + step * steepest(gradient of the loss at x_k) - x))

One step of the size of the ball from the image itself is the fast gradient sign method in the largest-change norm
(Goodfellow et al., ICLR 2015), and the fast gradient method in the Euclidean one; several steps are projected gradient
descent (Madry et al., ICLR 2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from samnesia.adversaries.norms import Norm
from samnesia.data.draws import ATTACK
from samnesia.perturb.errors import ConfigurationError

Objective = Callable[[Tensor], Tensor]
"""Pixels of 0 to 1 ``[n, channels, height, width]`` -> the loss of each sample ``[n]``, or their sum or mean."""


@dataclass(frozen=True)
class Attack:
    """Projected gradient ascent of the loss over pixels.

    Attributes:
        norm: in which the change is small.
        eps: the largest size of it, in units of pixels of 0 to 1.
        step: the size of a step, in the same unit.
        steps: how many; each takes one gradient.
        random_start: whether it begins somewhere in the ball, or at the image.

    Raises:
        ConfigurationError: for sizes that are not positive, or no step.
    """

    norm: Norm
    eps: float
    step: float
    steps: int
    random_start: bool = False

    def __post_init__(self) -> None:
        for name in ("eps", "step"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ConfigurationError(
                    f"cannot attack with {name} {getattr(self, name)}, because it is a size in pixels of 0 to 1 and "
                    "must be positive; use 8/255, say"
                )
        if self.steps < 1:
            raise ConfigurationError(f"cannot attack with {self.steps} steps, because 1 is the least; use 10, say")

    def start(self, pixels: Tensor, numbers: Sequence[int], key: tuple[int, ...]) -> Tensor:
        """Where it begins: a function of key and number of each sample, whatever batch it is in.

        Args:
            pixels: of the images.
            numbers: of the samples, in their split.
            key: what else the draw depends on, the seed first.
        """
        if not self.random_start:
            return pixels
        entries = pixels[0].numel()
        first, *rest = key
        drawn = [self.norm.uniform(entries, key=(first, ATTACK, *rest, number)) for number in numbers]
        change = torch.from_numpy(np.stack(drawn)).to(pixels).view_as(pixels)
        return (pixels + self.eps * change).clamp(0.0, 1.0)

    def climb(self, objective: Objective, pixels: Tensor, start: Tensor) -> Tensor:
        """The images that the steps from ``start`` arrive at; nothing else is written to.

        A sample whose gradient is 0 or not finite stays where it is in that step.

        Args:
            objective: differentiable, a function of each sample alone: the model is in evaluation mode.
            pixels: of the images as they are.
            start: within the ball around them.
        """
        attacked = start
        for _ in range(self.steps):
            moved = attacked + self.step * self.norm.steepest(gradient_of(objective, attacked))
            change = self.norm.project(moved - pixels, self.eps)
            attacked = (pixels + change).clamp(0.0, 1.0)
        return attacked


def gradient_of(objective: Objective, pixels: Tensor) -> Tensor:
    """The gradient by pixels; 0 for samples where any of it is not finite. Weights get none."""
    with torch.enable_grad():
        wanted = pixels.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(objective(wanted).sum(), wanted)
    whole = gradient.flatten(1).isfinite().all(1)
    return torch.where(whole.view(-1, *(1,) * (gradient.ndim - 1)), gradient, 0.0)


def fgsm(norm: Norm, eps: float) -> Attack:
    """One step to the edge of the ball."""
    return Attack(norm, eps, step=eps, steps=1)


def pgd(norm: Norm, eps: float, *, steps: int = 20, step: float | None = None, random_start: bool = True) -> Attack:
    """Several steps; by default of ``2.5 eps / steps``: all of the ball can be reached (Madry et al.)."""
    return Attack(norm, eps, step=2.5 * eps / steps if step is None else step, steps=steps, random_start=random_start)
