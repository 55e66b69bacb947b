"""Elastic weight consolidation as a part of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from torch import nn

    from samnesia.train.measures import Criterion


@dataclass(frozen=True)
class Consolidation:
    """Hold the weights to those of earlier tasks, each by how much it mattered there (EWC)."""

    importance: str
    """A .safetensors file of anchors and importances, as samnesia.train.consolidation writes it."""
    strength: float = 100.0
    """The factor λ of the penalty λ/2 Σ F (w - w*)², which is added to the loss in every pass."""

    def __post_init__(self) -> None:
        require(
            0.0 <= self.strength < math.inf,
            f"cannot hold weights with strength {self.strength}, because a penalty is not negative; use 100, say",
        )

    def added(self, loss: Criterion, model: nn.Module) -> Criterion:
        """Return (output, target) -> the loss and the penalty of the weights as they stand when it is called."""
        from samnesia.train.consolidation import Consolidated, read_anchors

        return Consolidated(loss, model, read_anchors(self.importance), self.strength)
