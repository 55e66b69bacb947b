"""Which samples a rank loads, in which order, and the processes that load them.

Samples are asked for by (epoch, index), so that loading is a function of the place in training alone. A run that goes
on in the middle of an epoch loads what it would have loaded; nothing of a loader has to be saved.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from samnesia.data.draws import SHUFFLE, permutation
from samnesia.data.problem import Batch, Mix, Problem, Split
from samnesia.data.workers import heed_only
from samnesia.perturb.errors import ConfigurationError, SamnesiaError


@dataclass(frozen=True)
class Plan:
    """How an epoch is cut into steps, perturbations and ranks.

    A batch of ``batch`` samples is cut into chunks of ``chunk`` (the last may be smaller), and the chunks are dealt to
    the ranks in order, as evenly as possible; with ``chunk`` None, the samples are. The end of an epoch may have fewer
    than there are ranks: a rank without any repeats those of the first, and they do not count. What a rank has of a
    batch is loaded in pieces of at most ``piece`` samples, but of whole chunks, so that a large batch is not one load.
    """

    samples: int
    batch: int
    chunk: int | None
    piece: int | None
    drop_last: bool
    seed: int
    ranks: int = 1

    def __post_init__(self) -> None:
        if self.samples < self.batch and self.drop_last:
            raise ConfigurationError(
                f"cannot train on {self.samples} samples with batches of {self.batch}, because only full batches are "
                f"used and there is not even one; use a batch_size of at most {self.samples}"
            )
        if self.batch < self.ranks:
            raise ConfigurationError(
                f"cannot share batches of {self.batch} samples among {self.ranks} processes, because each process "
                "needs one at least; use fewer processes, or a larger batch_size"
            )
        if self._pieces(self.batch) < self.ranks:
            raise ConfigurationError(
                f"cannot share batches of {self.batch} in perturbations of {self.chunk} samples among "
                f"{self.ranks} processes, because each process needs one at least; use a micro_batch of at most "
                f"{self.batch // self.ranks}, or fewer processes"
            )

    @property
    def steps(self) -> int:
        """Steps per epoch."""
        full, rest = divmod(self.samples, self.batch)
        return full + (not self.drop_last and rest > 0)

    def batch_of(self, epoch: int, step: int, order: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """The samples of a step, over all ranks."""
        order = self.order(epoch) if order is None else order
        return order[step * self.batch : (step + 1) * self.batch]

    def share(self, batch: NDArray[np.int64], rank: int) -> NDArray[np.int64]:
        """The samples of a batch that a rank trains on."""
        start, stop = self._edges(len(batch), rank)
        return batch[start:stop] if start < stop else self.share(batch, 0)

    def counts(self, step: int, rank: int) -> bool:
        """Whether a rank has samples of its own in a step."""
        start, stop = self._edges(self._size(step), rank)
        return start < stop

    def pieces(self, batch: NDArray[np.int64], rank: int) -> list[NDArray[np.int64]]:
        """A rank's samples of a batch as they are loaded."""
        share = self.share(batch, rank)
        if self.chunk is None:  # even ones, and where there are samples enough as many on every rank
            return [piece for piece in np.array_split(share, self._parts(len(batch))) if len(piece)]
        size = len(share) if self.piece is None else max(1, self.piece // self.chunk) * self.chunk
        return [share[i : i + size] for i in range(0, len(share), size)]

    def parts(self, step: int) -> int:
        """With ``chunk`` None, in how many pieces the rank with most samples loads a step."""
        return self._parts(self._size(step))

    def _size(self, step: int) -> int:
        return min(self.batch, self.samples - step * self.batch)

    def _parts(self, samples: int) -> int:
        return 1 if self.piece is None else math.ceil(math.ceil(samples / self.ranks) / self.piece)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The order of the samples in an epoch."""
        return permutation(self.samples, key=(self.seed, SHUFFLE, epoch))

    def _pieces(self, samples: int) -> int:
        return -(-samples // (self.chunk or 1))

    def _edges(self, samples: int, rank: int) -> tuple[int, int]:
        """Where the samples of a rank begin and end; the first rank, which logs, has no fewer than any other."""
        pieces, unit = self._pieces(samples), self.chunk or 1
        start, stop = (min(samples, unit * math.ceil(pieces * edge / self.ranks)) for edge in (rank, rank + 1))
        return start, stop


class TrainingKeys(Sampler[list[tuple[int, int]]]):
    """The keys (epoch, index) of the pieces of a rank's batches, from a step of the first epoch to the end of the last.

    Over all epochs at once, because processes that load are started once: each start copies this process.
    """

    def __init__(self, plan: Plan, rank: int, epochs: range, start: int = 0) -> None:
        self._plan, self._rank, self._epochs, self._start = plan, rank, epochs, start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for pieces in self.steps():
            yield from pieces

    def steps(self) -> Iterator[list[list[tuple[int, int]]]]:
        """The pieces of each step."""
        start = self._start
        for epoch in self._epochs:
            order = self._plan.order(epoch)
            for step in range(start, self._plan.steps):
                pieces = self._plan.pieces(self._plan.batch_of(epoch, step, order), self._rank)
                yield [[(epoch, int(index)) for index in piece] for piece in pieces]
            start = 0


class TrainingView(Dataset[Batch]):
    """A problem's training samples by their keys, mixed within the groups that share a perturbation."""

    def __init__(self, problem: Problem, group: int | None) -> None:
        self._split, self._mix, self._group = problem.train, problem.mix, group

    def __len__(self) -> int:
        return len(self._split)

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> Batch:
        """The piece of a batch with these keys, all of one epoch."""
        epoch = keys[0][0]
        indices = [index for _, index in keys]
        if self._mix is None:
            return self._split.batch(indices, epoch)
        size = self._group or len(indices)
        groups = [indices[i : i + size] for i in range(0, len(indices), size)]
        mixed = [self._mixed(group, epoch, self._mix) for group in groups]
        return mixed[0] if len(mixed) == 1 else (torch.cat([x for x, _ in mixed]), torch.cat([y for _, y in mixed]))

    def _mixed(self, indices: list[int], epoch: int, mix: Mix) -> Batch:
        inputs, targets = self._split.batch(indices, epoch)
        return mix(inputs, targets, epoch, [index for index in indices if index not in self._split.damaged])


class EvaluationView(Dataset[tuple[Batch, list[int]]]):
    """A split's samples as evaluation sees them, with their numbers."""

    def __init__(self, split: Split) -> None:
        self._split = split

    def __len__(self) -> int:
        return len(self._split)

    def __getitems__(self, indices: Sequence[int]) -> tuple[Batch, list[int]]:
        """The batch of these samples."""
        batch = self._split.batch(indices)
        return batch, [index for index in indices if index not in self._split.damaged]


class _Told(Dataset[Any]):
    """A view whose refusals are handed over, to be raised where training goes on and not in a loading process."""

    def __init__(self, view: TrainingView | EvaluationView) -> None:
        self._view = view

    def __len__(self) -> int:
        return len(self._view)

    def __getitems__(self, keys: Sequence[Any]) -> Any:
        """What the view has for these keys, or why it has nothing."""
        try:
            return self._view.__getitems__(keys)
        except SamnesiaError as error:
            return error


STALLED = 1800.0
"""Seconds after which a silent loading process is given up: better an error and a resumed run than a hang."""


def _as_it_is(batch: Any) -> Any:
    return batch


def _loaded(view: TrainingView | EvaluationView, batches: Any, *, workers: int, pin: bool) -> Iterator[Any]:
    loader = DataLoader(
        _Told(view),
        batch_sampler=batches,
        collate_fn=_as_it_is,
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=partial(heed_only, os.getpid()),
        timeout=STALLED if workers else 0,
        generator=torch.Generator(),  # its own: the global one belongs to the model
    )
    for item in loader:
        if isinstance(item, SamnesiaError):
            raise item
        yield item


def training_loader(view: TrainingView, keys: TrainingKeys, *, workers: int, pin: bool) -> Iterator[Batch]:
    """Load the keys. That draws no random numbers of this process.

    Raises:
        SamnesiaError: for what a split refuses, as it says it, also where other processes load.
    """
    return _loaded(view, keys, workers=workers, pin=pin)


def evaluation_loader(
    split: Split, *, batch: int, rank: int, ranks: int, workers: int, pin: bool
) -> Iterator[tuple[Batch, list[int]]]:
    """Load the samples rank, rank + ranks, …: each sample of the split on exactly one rank."""
    own = range(rank, len(split), ranks)
    batches = [list(own[i : i + batch]) for i in range(0, len(own), batch)]
    return _loaded(EvaluationView(split), batches, workers=min(workers, len(batches)), pin=pin)
