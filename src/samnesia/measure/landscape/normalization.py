"""By what normalization layers normalize at a point of the landscape that no training has been at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from samnesia.measure.batches import Batch, count
from samnesia.measure.statistics import BatchStatistics, normalizers
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError


class PointStatistics(ABC):
    """What is done about running averages at each point, before anything is measured there."""

    @abstractmethod
    def at_point(self, subject: Subject) -> AbstractContextManager[None]:
        """For the weights as they stand now."""

    @abstractmethod
    def passes(self, subject: Subject) -> int:
        """How many passes over the subject's data it takes at each point."""

    @abstractmethod
    def describe(self, subject: Subject) -> str:
        """In words, for a result."""


@final
@dataclass(frozen=True, slots=True)
class KeptStatistics(PointStatistics):
    """Nothing: the subject's own statistics. Running averages are then those of the model as it was given."""

    def at_point(self, subject: Subject) -> AbstractContextManager[None]:
        """Nothing."""
        return nullcontext()

    def passes(self, subject: Subject) -> int:
        """None."""
        return 0

    def describe(self, subject: Subject) -> str:
        """In words, for a result."""
        return subject.statistics.describe(subject.model)


@final
@dataclass(frozen=True, slots=True)
class ReestimatedStatistics(PointStatistics):
    r"""Running averages estimated anew at each point, as in the evaluation of midpoints by Wortsman et al., ICML 2021.

    One pass with the layers that keep statistics in training mode and all others in evaluation mode (dropout is off).
    The estimate is the cumulative average :math:`\sum_b \frac{n_b}{N} s_b` of the statistics of batches of
    :math:`n_b` samples; for batches of one size that is PyTorch's ``momentum=None``. It depends on the batch size, as
    batches of few samples have other statistics. Afterwards the layers have their own averages again, bit by bit.

    Attributes:
        source: the samples to estimate from; None takes those that are measured. For held-out samples give the
            training samples, because the model that would be used had its statistics from them.
    """

    source: Subject | None = None

    @contextmanager
    def at_point(self, subject: Subject) -> Iterator[None]:
        """Estimate; raises ConfigurationError where an estimate would not be looked at."""
        source = self._source_of(subject)
        layers = normalizers(subject.model)
        if not layers:
            yield
            return
        with source.looking():
            _estimate(source, layers)
            yield

    def passes(self, subject: Subject) -> int:
        """One, if any layer keeps statistics."""
        return 1 if normalizers(subject.model) and self._source_of(subject) is subject else 0

    def describe(self, subject: Subject) -> str:
        """In words, for a result."""
        source = self._source_of(subject)
        if not normalizers(subject.model):
            return "no layer keeps statistics"
        return f"running statistics re-estimated at each point from {source.samples} samples"

    def _source_of(self, subject: Subject) -> Subject:
        source = self.source or subject
        if source.model is not subject.model:
            raise ConfigurationError(
                "cannot re-estimate statistics with a source of another model, because they belong to the layers of "
                "the one that is measured; build both subjects on the same model"
            )
        if isinstance(subject.statistics, BatchStatistics) or isinstance(source.statistics, BatchStatistics):
            raise ConfigurationError(
                "cannot re-estimate running statistics of a subject with BatchStatistics, because its layers normalize "
                "by each batch and never look at them; leave one of the two out"
            )
        return source


@torch.no_grad()
def _estimate(source: Subject, layers: list[nn.Module]) -> None:
    """Inside ``source.looking()``: leaves the averages of the present weights in the buffers."""
    momenta = [layer.momentum for layer in layers]
    seen = 0
    try:
        for layer in layers:
            layer.train()
            layer.reset_running_stats()  # type: ignore[operator]
        for batch in source.batches():
            seen += count(batch)
            for layer in layers:
                layer.momentum = count(batch) / seen  # type: ignore[assignment]
            _forward(source, batch)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
            layer.eval()
    _average(source, layers)


def _forward(source: Subject, batch: Batch) -> None:
    try:
        source.model(batch[0])
    except ValueError as error:  # PyTorch's for a variance of one value
        if count(batch) > 1:
            raise
        raise ConfigurationError(
            "cannot re-estimate statistics with a batch of one sample, because it has no variance; choose another "
            "batch size or number of samples"
        ) from error


def _average(source: Subject, layers: list[nn.Module]) -> None:
    """Over processes, by their numbers of samples."""
    if not source.distributed:
        return
    kept: list[Tensor] = [b for layer in layers for b in (layer.running_mean, layer.running_var)]  # type: ignore[misc]
    share = source.local_samples / source.samples
    for buffer, total in zip(kept, source.summed([b * share for b in kept]), strict=True):
        buffer.copy_(total)
