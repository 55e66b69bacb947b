"""A model with a head for each task."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from samnesia.train.parts.checks import require
from samnesia.train.parts.lenet import LeNet
from samnesia.train.parts.models import CNN, MLP, VGG, CifarResNet, PyramidNet, ShakeShake, Timm, WideResNet
from samnesia.train.parts.net import Net
from samnesia.train.parts.own import OwnModel
from samnesia.train.parts.transformer import Transformer

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Headed(Net):
    """A model with several heads, of which each sample names the one that answers for it: for tasks that are known."""

    net: (
        CNN | MLP | LeNet | CifarResNet | WideResNet | VGG | ShakeShake | PyramidNet | Timm | Transformer | OwnModel
    ) = field(default_factory=CNN)
    """The model; its last layer has the outputs of all heads."""
    heads: int = 5
    """Number of heads."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.heads >= 1, f"cannot build a model of {self.heads} heads, because there is one at least; use 5, say"
        )

    def at_random(self) -> Self:
        """Return the model without weights to start from."""
        return replace(self, net=self.net.at_random(), weights=None, new_head=False)

    def _new(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        from samnesia.models.heads import MultiHead

        return MultiHead(self.net.build(shape, self.heads * num_outputs), num_outputs)
