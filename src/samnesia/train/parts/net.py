"""What all models of a run share: where their weights start."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from torch import nn

MOST_UNITS = 4096
MOST_LAYERS = 10_000


def check_rate(value: float | None, what: str) -> None:
    """Raise ConfigurationError for a probability outside of 0 to below 1; None is none."""
    require(
        value is None or 0.0 <= value < 1.0,
        f"cannot build a net with {what} {value}, because it is a probability; use a value from 0 to below 1",
    )


@dataclass(frozen=True, kw_only=True)
class Net(ABC):
    """What all models share: weights to start from."""

    weights: str | None = None
    """Start from the weights in this run or checkpoint directory, .safetensors or .pt file; None is at random."""
    new_head: bool = False
    """Do not take the last layer from there but start with a new one, as another number of classes needs."""

    def __post_init__(self) -> None:
        require(
            self.weights is not None or not self.new_head,
            "cannot start with a new head without weights, because all of such a model is new; give weights too",
        )

    def build(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Return the net for inputs of ``shape`` (images: channels, height, width), with its starting weights.

        Raises:
            ConfigurationError: for a shape that does not go with the net, and for weights that cannot be read or are
                those of another model.
        """
        net = self._new(shape, num_outputs)
        if self.weights is not None:
            from samnesia.models.weights import load_weights

            load_weights(net, self.weights, new_head=self.new_head)
        return net

    def at_random(self) -> Self:
        """Return the model without weights to start from: they need not be there where others are put in."""
        return replace(self, weights=None, new_head=False)

    @abstractmethod
    def _new(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """The net with random weights."""
