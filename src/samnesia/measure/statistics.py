"""By what normalization layers normalize while a model is measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm

_KEEPING = (_BatchNorm, _InstanceNorm)


class Statistics(ABC):
    """A choice between the statistics that a normalization layer keeps and those of the batch at hand."""

    @abstractmethod
    def prepare(self, model: nn.Module) -> None:
        """Set the modes of a model that is in evaluation mode."""

    @abstractmethod
    def describe(self, model: nn.Module) -> str:
        """In words, for a result."""


@final
@dataclass(frozen=True, slots=True)
class RunningStatistics(Statistics):
    """Running averages: the model as it is used, and a loss that is a sum over samples."""

    def prepare(self, model: nn.Module) -> None:
        """Nothing: evaluation mode does so."""

    def describe(self, model: nn.Module) -> str:
        """In words, for a result."""
        return "running statistics" if normalizers(model) else "no layer keeps statistics"


@final
@dataclass(frozen=True, slots=True)
class BatchStatistics(Statistics):
    """The mean and variance of each batch, as in training (so Zhou et al., ICLR 2025, measured sharpness).

    The loss is then the mean over *these* batches: another batch size is another function. Running averages are put
    back after each measure.
    """

    def prepare(self, model: nn.Module) -> None:
        """Layers that keep statistics go into training mode, others stay in evaluation mode."""
        for module in normalizers(model):
            module.train()

    def describe(self, model: nn.Module) -> str:
        """In words, for a result."""
        return "statistics of each batch" if normalizers(model) else "no layer keeps statistics"


def normalizers(model: nn.Module) -> list[nn.Module]:
    """The layers that keep running statistics."""
    return [m for m in model.modules() if isinstance(m, _KEEPING) and m.track_running_stats]


def dropouts(model: nn.Module) -> list[nn.Module]:
    """The layers that drop something in training."""
    return [m for m in model.modules() if isinstance(m, _DropoutNd) and m.p > 0.0]
