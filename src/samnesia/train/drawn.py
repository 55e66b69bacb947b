"""Samples of a split as evaluation sees them, gone through many times in the same order."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import DataLoader, Dataset, Subset

from samnesia.data.loader import EvaluationView
from samnesia.data.problem import Batch, Split
from samnesia.data.workers import heed_only
from samnesia.perturb.errors import ConfigurationError

IN_MEMORY = 2**30
"""Bytes of samples that are kept, so that files are read once and not in every pass."""


class Drawn:
    """Samples of a split, in the order of the data set; iterating gives batches (inputs, targets).

    They are read once here; where they fit into memory they stay there, on the model's device, else each pass reads
    them again.

    Attributes:
        split: the name of the split.
        rows: their numbers in it, int64 ``[n]``; damaged samples are left out.
        targets: as training sees them, ``[n]`` or ``[n, ...]``.
        groups: by name, which of them are in a group, bool ``[n]``: flipped and clean labels, say, or wrong and right
            marks. Groups without samples are left out.
        second_labels: by name, the other class that each speaks for, int64 ``[n]``: the true one, say, or its mark's.
        drawn: how they were drawn, for people.

    Raises:
        ConfigurationError: for a split without samples, or a count or batch size below one.
    """

    def __init__(
        self,
        source: Split,
        split: str,
        count: int | None,
        *,
        seed: int,
        batch_size: int,
        dtype: torch.dtype,
        device: torch.device,
        workers: int = 0,
    ) -> None:
        total = len(source)
        for what, value in (("samples", count), ("batch_size", batch_size)):
            if value is not None and value < 1:
                raise ConfigurationError(f"cannot look at {split} with {what} {value}, because 1 is the least; give 1")
        if not total:
            raise ConfigurationError(f"cannot look at the {split} split, because it is empty; choose another one")
        everything = count is None or count >= total
        numbers = torch.arange(total) if everything else _draw(total, count or total, seed)
        self.split, self._dtype, self._device = split, dtype, device
        self.drawn = f"all {total} in order" if everything else f"{count} of {total} by seed {seed}, in order"
        self._loader: DataLoader[Any] = DataLoader(
            Subset(_Rows(source), numbers.tolist()),
            batch_size=batch_size,
            collate_fn=_as_it_is,
            num_workers=workers,
            worker_init_fn=partial(heed_only, os.getpid()),
            generator=torch.Generator(),  # its own: none is drawn from, and the global one belongs to the model
        )
        self._kept: list[Batch] | None = None
        self._read()
        self.groups, self.second_labels = described(source, split, self.rows, self.targets)

    def __len__(self) -> int:
        """How many samples there are."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Batch]:
        """One pass."""
        if self._kept is not None:
            yield from self._kept
            return
        for batch, indices in self._loader:
            if indices:
                yield self._moved(batch)

    def _read(self) -> None:
        kept: list[Batch] | None = []
        rows: list[int] = []
        targets, size = [], 0
        for batch, indices in self._loader:
            if not indices:
                continue
            rows.extend(indices)
            targets.append(batch[1])
            size += sum(leaf.nbytes for leaf in tree_leaves(batch) if isinstance(leaf, Tensor))
            if size > IN_MEMORY:
                kept = None
            if kept is not None:
                kept.append(self._moved(batch))
        if not rows:
            raise ConfigurationError(
                f"cannot look at the {self.split} split, because none of its samples can be read; see to its files"
            )
        self._kept, self.rows, self.targets = kept, torch.tensor(rows), torch.cat(targets)

    def _moved(self, batch: Batch) -> Batch:
        def moved(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            return leaf.to(self._device, self._dtype if leaf.is_floating_point() else leaf.dtype)

        found: Batch = tree_map(moved, tuple(batch))
        return found


def described(source: Split, split: str, rows: Tensor, targets: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Groups and second labels of samples of a split, as :class:`Drawn` has them.

    Args:
        source: the split.
        split: its name.
        rows: the samples' numbers in it, int64 ``[n]``.
        targets: their labels.
    """
    groups: dict[str, Tensor] = {}
    seconds: dict[str, Tensor] = {}
    if source.clean_labels is not None:
        clean = source.clean_labels[rows]
        flipped = targets != clean
        if flipped.any():
            seconds["true"] = clean
            groups |= {"flipped": flipped, "clean": ~flipped}
    for number, second in enumerate(source.second_labels):
        other = second.classes[rows]
        name = _short(second.followed, split, "_followed") or f"second{number}"
        apart = _short(second.resisted, split, "_accuracy") or f"{name} is another"
        agreed = _short(second.agreed, split, "_accuracy") or f"{name} is the label"
        seconds[name] = other
        groups |= {apart: targets != other, agreed: targets == other}
    return {name: mask for name, mask in groups.items() if mask.any()}, seconds


class _Rows(Dataset[Any]):
    """A split by its numbers; what lies beside the batch are those that are whole."""

    def __init__(self, split: Split) -> None:
        self._view = EvaluationView(split)

    def __len__(self) -> int:
        return len(self._view)

    def __getitem__(self, index: int) -> Any:
        """One sample as a batch."""
        return self._view.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Any:
        """The batch of these samples."""
        return self._view.__getitems__(indices)


def _draw(total: int, count: int, seed: int) -> Tensor:
    """Which samples a seed draws, in order: those that a Subject with ``samples=count`` draws."""
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:count].sort().values


def _short(figure: str | None, split: str, ending: str) -> str:
    return "" if figure is None else figure.removeprefix(f"{split}_").removesuffix(ending).replace("_", " ")


def _as_it_is(batch: Any) -> Any:
    return batch
