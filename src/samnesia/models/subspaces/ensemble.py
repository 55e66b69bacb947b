"""Several nets that speak together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """The mean of the outputs of several nets.

    It predicts what the sum of their logits predicts, by which Wortsman et al. (ICML 2021) make ensembles; its
    probabilities are not sharper for being of many.
    """

    def __init__(self, nets: Sequence[nn.Module]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, *inputs: Any) -> Tensor:
        """The mean of what all say."""
        return torch.stack([net(*inputs) for net in self.nets]).mean(0)
