"""What a model says of samples, disturbed or as they are: the same on one process and on many.

Whole batches are dealt out to the processes, so that each batch is computed as one process computes it, and all
processes hold all that was said.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed
from torch.utils.data import DataLoader, Dataset

from samnesia.data.workers import heed_only
from samnesia.perturb.errors import ConfigurationError, SamnesiaError

if TYPE_CHECKING:
    from samnesia.data.problem import Problem, Split
    from samnesia.examine.bench import Look
    from samnesia.train.loaded import Loaded

Change = Callable[[Tensor, Sequence[int]], Tensor]
"""(pixels of 0 to 1 ``[n, channels, height, width]``, numbers of the samples in their split) -> changed pixels.

It depends on nothing else, and can be sent to a loading process.
"""
Rows = tuple[Any, Tensor, Tensor]
"""Inputs on the model's device, targets there, and the samples' numbers in their split."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says of the samples of a split.

    Attributes:
        outputs: of the model, ``[n, ...]``, on the CPU.
        targets: as the split has them, ``[n, ...]``.
        rows: the samples' numbers in the split, int64 ``[n]``, in ascending order.
    """

    outputs: Tensor
    targets: Tensor
    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Sampled:
    """Which samples of a split are looked at, and how many at a time."""

    split: str = "test"
    count: int | None = None
    """None is all of them."""
    seed: int = 0
    """Which are drawn."""
    batch_size: int | None = None
    """None is that of the run's evaluation."""

    def numbers(self, source: Split) -> list[int]:
        """The samples' numbers, in order."""
        total = len(source)
        if not total:
            raise ConfigurationError(f"cannot evaluate on the {self.split} split, because it is empty; choose another")
        if self.count is None or self.count >= total:
            return list(range(total))
        drawn = torch.randperm(total, generator=torch.Generator().manual_seed(self.seed))[: self.count]
        return sorted(drawn.tolist())


def sampled_by(look: Look) -> Sampled:
    """The samples that the options of a command name."""
    return Sampled(look.split, look.samples, look.seed, look.batch_size)


def batches(loaded: Loaded, sampled: Sampled, change: Change | None = None) -> Iterator[Rows]:
    """Yield this process's batches.

    Args:
        loaded: the run and its data.
        sampled: which samples.
        change: what is done to the pixels; None leaves the inputs as evaluation has them.

    Raises:
        ConfigurationError: for a split that is not there or empty, and for changes of what is no image.
    """
    yield from batches_of(loaded, loaded.split(sampled.split), sampled, change)


def batches_of(loaded: Loaded, source: Split, sampled: Sampled, change: Change | None = None) -> Iterator[Rows]:
    """Yield this process's batches of any split whose samples look as the run's do."""
    numbers, size = sampled.numbers(source), sampled.batch_size or loaded.config.evaluation.batch_size
    whole = [numbers[start : start + size] for start in range(0, len(numbers), size)]
    rank, ranks = place()
    own = whole[rank::ranks]
    weights = next(loaded.model.parameters())
    loader: DataLoader[Any] = DataLoader(
        _Changed(loaded.problem, source, change),
        batch_sampler=own,
        collate_fn=_as_it_is,
        num_workers=min(loaded.config.hardware.workers, len(own)),
        worker_init_fn=partial(heed_only, os.getpid()),
        generator=torch.Generator(),  # its own: the global one belongs to the model
    )
    for found in loader:
        if isinstance(found, SamnesiaError):
            raise found
        inputs, targets, rows = found
        if len(rows):
            yield _moved(inputs, weights), _moved(targets, weights), rows


@torch.no_grad()
def predict(loaded: Loaded, sampled: Sampled, change: Change | None = None) -> Predictions:
    """What the model says of samples of one of its run's splits; see :func:`batches`."""
    return predict_of(loaded, loaded.split(sampled.split), sampled, change)


@torch.no_grad()
def predict_of(loaded: Loaded, source: Split, sampled: Sampled, change: Change | None = None) -> Predictions:
    """What the model says of samples of any split whose samples look as the run's do."""
    found = batches_of(loaded, source, sampled, change)
    return together((loaded.model(inputs), targets, rows) for inputs, targets, rows in found)


def together(parts: Iterable[tuple[Tensor, Tensor, Tensor]]) -> Predictions:
    """Predictions of all processes, from this one's outputs, targets and numbers of each of its batches.

    What one process refuses is raised in all of them: none waits for one that does not come.
    """
    own: list[tuple[Tensor, ...]] = []
    refused: SamnesiaError | None = None
    try:
        own.extend(tuple(part.detach().cpu() for part in batch) for batch in parts)
    except SamnesiaError as error:
        refused = error
    everything = _of_all(own, refused)
    if not everything:
        raise ConfigurationError("cannot evaluate, because none of the samples can be read; see to their files")
    outputs, targets, rows = (torch.cat(column) for column in zip(*everything, strict=True))
    order = rows.argsort()
    return Predictions(outputs[order], targets[order], rows[order])


def place() -> tuple[int, int]:
    """Rank of this process, and how many there are."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _of_all(own: list[tuple[Tensor, ...]], refused: SamnesiaError | None) -> list[tuple[Tensor, ...]]:
    _, ranks = place()
    gathered: list[Any] = [(own, refused)] * ranks
    if ranks > 1:
        distributed.all_gather_object(gathered, (own, refused))
    for _, error in gathered:
        if error is not None:
            raise error
    return [batch for batches, _ in gathered for batch in batches]


class _Changed(Dataset[Any]):
    """Samples of a split, with changed pixels; a refusal is handed over, to be raised where evaluation goes on."""

    def __init__(self, problem: Problem, split: Split, change: Change | None) -> None:
        self._problem, self._split, self._change = problem, split, change

    def __len__(self) -> int:
        return len(self._split)

    def __getitems__(self, indices: Sequence[int]) -> Any:
        """Inputs, targets, and the numbers of those that are whole."""
        try:
            inputs, targets = self._split.batch(indices)
            rows = [index for index in indices if index not in self._split.damaged]
            if self._change is not None and rows:
                exposure = self._problem.exposure
                pixels = self._problem.pixels(self._split, rows)
                assert exposure is not None  # else there are no pixels
                inputs = exposure.inputs(self._change(pixels, rows))
        except SamnesiaError as error:
            return error
        return inputs, targets, torch.tensor(rows, dtype=torch.int64)


def seen(values: Any, loaded: Loaded) -> Any:
    """Inputs or targets on the model's device, in its precision."""
    return _moved(values, next(loaded.model.parameters()))


def _moved(values: Any, like: Tensor) -> Any:
    from torch.utils._pytree import tree_map

    def moved(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        return leaf.to(like.device, like.dtype if leaf.is_floating_point() else leaf.dtype)

    return tree_map(moved, values)


def _as_it_is(batch: Any) -> Any:
    return batch
