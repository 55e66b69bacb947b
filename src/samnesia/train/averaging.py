"""An average of the weights along training: kept beside them, and put in their place to be evaluated or saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from samnesia.perturb.tensors import local
from samnesia.train.parts.averages import Average


class AveragedWeights:
    """The average of a module's weights and buffers; of a module in parts, of this process's part."""

    def __init__(self, module: nn.Module, course: Average, steps_per_epoch: int) -> None:
        self.seen = 0
        self._module, self.course, self._steps_per_epoch = module, course, steps_per_epoch
        self._values: list[Tensor] = []

    @property
    def statistics_anew(self) -> bool:
        """Whether BatchNorm's statistics have to be estimated for the average."""
        return self.course.statistics_anew

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the weights in after ``step``, counted from 0 over the run, if the course of the average says so."""
        share = self.course.share(step, steps_per_epoch=self._steps_per_epoch, seen=self.seen)
        if share is None:
            return
        if not self.seen:
            self.take_over()
        else:
            for average, value in zip(self._values, self._tensors(), strict=True):
                if average.is_floating_point():
                    average.lerp_(value, share)
                else:
                    average.copy_(value)
        self.seen += 1

    @torch.no_grad()
    def take_over(self) -> None:
        """Let the average be what the module holds now."""
        self._values = [value.clone() for value in self._tensors()]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The average in the module's place; afterwards its weights and buffers are back, bit by bit."""
        kept = [value.clone() for value in self._tensors()]
        self._assign(self._values)
        try:
            yield
        finally:
            self._assign(kept)

    @torch.no_grad()
    def _assign(self, values: list[Tensor]) -> None:
        for tensor, value in zip(self._tensors(), values, strict=True):
            tensor.copy_(value)

    def _tensors(self) -> list[Tensor]:
        return [local(tensor.detach()) for tensor in (*self._module.parameters(), *self._module.buffers())]
