"""On which samples the last pass is computed: backward passes over fewer of them are cheaper."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import final

import torch.nn.functional as F
from torch import Tensor

from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.numbers import number
from samnesia.perturb.tensors import at_least

PerSample = Callable[[Tensor, Tensor], Tensor]


class Selection(ABC):
    """A choice among the samples of a batch, by their losses at the weights and at the perturbed weights.

    A method that selects asks for one forward pass more, at the perturbed weights, and for `p.batch` in every pass.
    """

    @abstractmethod
    def losses(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each sample, [N]."""

    @abstractmethod
    def choose(self, before: Tensor, after: Tensor) -> Tensor:
        """The indices of the chosen samples, from their losses [N] at the weights and at the perturbed ones."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LargestRise(Selection):
    """The ``max(1, ⌈share · N⌉)`` samples whose loss the perturbation raises most (ESAM's data selection).

    per_sample: ``(output, target) -> [N]``; the default is cross-entropy.
    """

    share: float = 0.5
    per_sample: PerSample = partial(F.cross_entropy, reduction="none")

    def __post_init__(self) -> None:
        if not 0.0 < number(self.share) <= 1.0:
            raise ConfigurationError(
                f"cannot select share={self.share!r} of the samples, because at least one has to be left and at most "
                "all are there; choose it in (0, 1]"
            )

    def losses(self, output: Tensor, target: Tensor) -> Tensor:
        """As `per_sample` says, averaged over what dimensions a sample has beside."""
        return self.per_sample(output, target).reshape(len(output), -1).mean(1)

    def choose(self, before: Tensor, after: Tensor) -> Tensor:
        """Those of the largest ``after - before``, in the order of the batch."""
        count = max(1, at_least(self.share, len(before)))
        return (after - before).topk(count).indices.sort().values
