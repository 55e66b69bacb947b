"""A net with a head for each of several tasks."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MultiHead(nn.Module):
    """A net whose last layer has the outputs of all heads; each sample is answered by the head that it names.

    What other heads say of a sample is not part of the output, so that their weights get no gradient of it.

    Args:
        net: puts out ``heads * outputs`` numbers per sample, those of the first head first.
        outputs: numbers that a head puts out.
    """

    def __init__(self, net: nn.Module, outputs: int) -> None:
        super().__init__()
        self.net, self._outputs = net, outputs

    def forward(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        """Return shape ``[n, outputs]`` of inputs of shape ``[n, ...]`` and their heads, int64 of shape ``[n]``."""
        samples, heads = inputs
        columns = heads[:, None] * self._outputs + torch.arange(self._outputs, device=heads.device)
        return self.net(samples).gather(1, columns)  # type: ignore[no-any-return]
