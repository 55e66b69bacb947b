"""How logits become probabilities of the classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor


class Link(ABC):
    """From logits ``[n, K]`` to probabilities, with the loss that belongs to it."""

    @abstractmethod
    def probabilities(self, logits: Tensor) -> Tensor:
        """Of each class, ``[n, K]``."""

    @abstractmethod
    def loss_of_samples(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The negative log-likelihood of each sample in nats, ``[n]``."""

    @abstractmethod
    def log_outcomes(self, logits: Tensor) -> Tensor:
        """Log-probabilities of all that a prediction may come out as, ``[n, outcomes]``."""


@final
@dataclass(frozen=True, slots=True)
class Softmax(Link):
    """Probabilities that sum to one: models trained by cross-entropy."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """``exp(x_k) / Σ_j exp(x_j)``."""
        return logits.softmax(1)

    def loss_of_samples(self, logits: Tensor, targets: Tensor) -> Tensor:
        """``-log p_y``."""
        return F.cross_entropy(logits, targets, reduction="none")

    def log_outcomes(self, logits: Tensor) -> Tensor:
        """One of the K classes."""
        return F.log_softmax(logits, dim=1)


@final
@dataclass(frozen=True, slots=True)
class Sigmoid(Link):
    """K independent probabilities: models trained by binary cross-entropy (the ViT runs of Vani et al., ICML 2024)."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """``1 / (1 + exp(-x_k))``."""
        return logits.sigmoid()

    def loss_of_samples(self, logits: Tensor, targets: Tensor) -> Tensor:
        """``-log p_y - Σ_{k≠y} log(1 - p_k)``."""
        labels = F.one_hot(targets, logits.shape[1]).to(logits.dtype)
        values: Tensor = F.binary_cross_entropy_with_logits(logits, labels, reduction="none").sum(1)
        return values

    def log_outcomes(self, logits: Tensor) -> Tensor:
        """K answers yes, then K answers no: a Bernoulli draw for each class."""
        return torch.cat([F.logsigmoid(logits), F.logsigmoid(-logits)], dim=1)


def gathered(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rows of all processes behind each other, in the order of their ranks."""
    import torch.distributed as dist

    parts: list[dict[str, Tensor]] = [{}] * dist.get_world_size()
    dist.all_gather_object(parts, values)
    return {name: torch.cat([part[name] for part in parts]) for name in values}
