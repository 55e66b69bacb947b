"""A loss that does not change when all logits are multiplied."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from samnesia.perturb.errors import ConfigurationError

_SMALLEST = 1e-10


@final
@dataclass(frozen=True)
class NormalizedLogits:
    r"""A criterion of logits that are centred and brought to one length, sample by sample.

    .. math:: \tilde x = s\, \frac{x - \bar x}{\max(\lVert x - \bar x \rVert_2, 10^{-10})}

    with the mean and norm over classes. Scaling the logits, as longer training of a fitted model does, changes neither
    this loss nor its sharpness. With :math:`s = 1` it is what the released code of Andriushchenko et al. (ICML 2023)
    does; :math:`s = \sqrt K` divides by the standard deviation over the K classes instead.

    Give it to a Subject in place of the criterion: ``Subject(model, NormalizedLogits(nn.CrossEntropyLoss()), loader)``.

    Args:
        criterion: of the normalized logits, ``[samples, classes]``, and the targets.
        length: their 2-norm s.

    Raises:
        ConfigurationError: for a length that is not positive, or an output that has no logits per sample.
    """

    criterion: Callable[[Any, Tensor], Tensor]
    length: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.length < math.inf:
            raise ConfigurationError(
                f"cannot normalize logits to a length of {self.length}, because a norm is positive; give 1.0, or the "
                "root of the number of classes"
            )

    @property
    def __name__(self) -> str:
        """For results."""
        inner = getattr(self.criterion, "__name__", type(self.criterion).__name__)
        return f"{inner} of logits centred and of norm {self.length:g}"

    def __call__(self, output: Any, target: Tensor) -> Tensor:
        """The criterion at the normalized logits."""
        if not isinstance(output, Tensor) or output.ndim < 2 or output.shape[-1] < 2:
            raise ConfigurationError(
                "cannot normalize an output that is no tensor of two logits or more per sample, because their norm is "
                "over classes; give a model with one logit per class"
            )
        centred = output - output.mean(-1, keepdim=True)
        norm = torch.linalg.vector_norm(centred, dim=-1, keepdim=True).clamp_min(_SMALLEST)
        return self.criterion(self.length * centred / norm, target)
