"""A batch cut into micro-batches that lie side by side."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from samnesia.perturb.errors import ConfigurationError

_KNOWN = (Tensor, bool, int, float, complex, str, type(None), torch.dtype, torch.device)


@dataclass(frozen=True, slots=True)
class Chunks:
    """`count` micro-batches of one size: leaves of [count, size, …], and how to make calls of them.

    `share` is each one's part of all samples.
    """

    count: int
    share: float
    batched: list[Tensor]
    _samples: Samples

    @property
    def size(self) -> int:
        """Samples of a micro-batch."""
        return self.batched[0].shape[1] if self.batched else 1

    def arguments(self, batched: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
        """Positional and keyword arguments of the model, and the target, for one micro-batch."""
        leaves = list(self._samples.leaves)
        for i, leaf in zip(self._samples.batched, batched, strict=True):
            leaves[i] = leaf
        inputs, target = tree_unflatten(leaves, self._samples.spec)
        if isinstance(inputs, dict):
            return (), inputs, target
        return (inputs if isinstance(inputs, tuple) else (inputs,)), {}, target


@dataclass(frozen=True, slots=True)
class Samples:
    """A batch as a flat list of leaves; `batched` are the indices of those that have a row per sample."""

    leaves: list[Any]
    spec: TreeSpec
    batched: list[int]
    count: int

    @classmethod
    def of(cls, inputs: Any, target: Any) -> Samples:
        """Raises ConfigurationError unless all tensors have equally many rows, and for what might hide tensors."""
        leaves, spec = tree_flatten((inputs, target))
        for leaf in leaves:
            if not isinstance(leaf, _KNOWN):
                raise ConfigurationError(
                    f"cannot cut a {type(leaf).__name__} into micro-batches, because rows are known of tensors in "
                    "tuples, lists and dicts alone; give those, such as dict(batch) or torch.as_tensor(array)"
                )
        batched = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf.ndim]
        counts = sorted({len(leaves[i]) for i in batched})
        if len(counts) != 1 or counts == [0]:
            raise ConfigurationError(
                f"cannot cut a batch into micro-batches whose tensors have {counts} rows, because the first dimension "
                "of each must be its samples, one or more; give inputs and targets of equal length"
            )
        return cls(leaves, spec, batched, counts[0])

    def cut(self, size: int, max_chunks: int | None) -> Generator[Chunks, None, None]:
        """All micro-batches in order: blocks of full ones, then the ragged last."""
        full, rest = divmod(self.count, size)
        begin = 0
        while begin < full:
            count = min(max_chunks or full, full - begin)
            yield self._chunks(begin * size, count, size)
            begin += count
        if rest:
            yield self._chunks(full * size, 1, rest)

    def _chunks(self, begin: int, count: int, size: int) -> Chunks:
        rows = [self.leaves[i][begin : begin + count * size].unflatten(0, (count, size)) for i in self.batched]
        return Chunks(count, size / self.count, rows, self)
