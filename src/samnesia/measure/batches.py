"""The samples of a measure: the same ones, in the same order, on every pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, SequentialSampler, Subset

from samnesia.measure.traceless import changed, on_device
from samnesia.perturb.errors import ConfigurationError

Batch = tuple[Any, Tensor]
_AHEAD = 2  # batches that are looked at twice before anything is computed
_PIECE = 1 << 20  # entries that are summed at a time: in double precision a batch of images would be large


class Batches:
    """Batches on a device, drawn by a seed if fewer samples are wanted; every pass must give those of the first.

    Raises:
        ConfigurationError: for no batches, one that is no pair (inputs, targets), more samples than there are, a
            target that is ``ignored``, or batches that differ from one pass to the next.
    """

    def __init__(
        self,
        source: Iterable[Batch],
        device: torch.device,
        *,
        samples: int | None,
        seed: int,
        ignored: int | None = None,
    ) -> None:
        if samples is not None and samples < 1:
            raise ConfigurationError(
                f"cannot measure {samples} samples, because a mean is over one at least; give samples >= 1, or None"
            )
        self._device = device
        self._rows: list[Tensor] | None = None
        self._source, self.drawn = source, "all, in order"
        self.chosen: Tensor | None = None
        if samples is None and shuffles(source):
            raise ConfigurationError(
                "cannot measure with a loader that shuffles, because every pass has to see the same batches; build it "
                "with shuffle=False, or give samples= to draw some by a seed"
            )
        self._marks: list[Mark] = []
        self.last: Batch | None = None  # until somebody has looked at it
        with own_generators_kept(source):
            if samples is not None:
                self._draw(source, samples, seed)
            self._look(ignored)
            self.first()

    def _look(self, ignored: int | None) -> None:
        for number, batch in enumerate(self._taken()):
            if ignored is not None and (left_out := int((batch[1] == ignored).sum())):
                raise ConfigurationError(
                    f"cannot measure with {left_out} targets of batch {number} that the criterion ignores "
                    f"(ignore_index={ignored}), because its value is then no mean over all samples; leave them out of "
                    "the data"
                )
            self._marks.append(mark(batch))
            self.last = batch
        self.count = len(self._marks)
        self.sizes = [size for size, _ in self._marks]
        self.samples = sum(self.sizes)
        if not self.samples:
            raise ConfigurationError(
                "cannot measure on an empty loader, because a mean is over one sample at least; look at what it loads, "
                "and whether it can be gone through more than once"
            )

    def __iter__(self) -> Iterator[Batch]:
        """One pass."""
        seen = 0
        with own_generators_kept(self._source):
            for batch in self._taken():
                self._compare(seen, batch)
                seen += 1
                yield batch
        if seen != self.count:
            raise _changing(f"{seen} batches after {self.count}")

    def first(self) -> Batch:
        """The first batch; the first ones are compared with those of the pass before."""
        found: Batch | None = None
        with own_generators_kept(self._source):
            for i, batch in enumerate(self._taken()):
                self._compare(i, batch)
                found = found or batch
                if i + 1 == _AHEAD:
                    break
        if found is None:
            raise _changing(f"no batch after {self.count}")
        return found

    def _compare(self, index: int, batch: Batch) -> None:
        if index >= self.count or mark(batch) != self._marks[index]:
            raise _changing(f"batch {index} is not what it was")

    def _taken(self) -> Iterator[Batch]:
        for index, item in enumerate(self._source):
            batch = on_device(pair(item), self._device)
            if self._rows is None:
                yield batch
            elif len(rows := self._rows[index]) == count(batch):
                yield batch
            elif len(rows):
                yield rows_of(batch, rows)

    def _draw(self, source: Iterable[Batch], samples: int, seed: int) -> None:
        loader = _indexed(source)
        sizes = [len(loader.dataset)] if loader else [count(pair(item)) for item in source]  # type: ignore[arg-type]
        total = sum(sizes)
        if samples > total:
            raise ConfigurationError(
                f"cannot draw {samples} samples, because there are {total}; give samples <= {total}, or None for all"
            )
        chosen = torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:samples].sort().values
        self.drawn, self.chosen = f"{samples} of {total} by seed {seed}, in order", chosen
        if loader:
            self._source = _loader_of(loader, chosen.tolist())
        else:
            starts = torch.tensor([0, *sizes]).cumsum(0).tolist()
            self._rows = [
                chosen[(chosen >= a) & (chosen < b)] - a for a, b in zip(starts[:-1], starts[1:], strict=True)
            ]


@contextmanager
def own_generators_kept(source: Any) -> Iterator[None]:
    """Leave the generators that a DataLoader or its samplers were given as they were found.

    They may be those of the loader that trains, which would go on in another order.
    """
    samplers = [getattr(source, name, None) for name in ("sampler", "batch_sampler")]
    parts = [source, *samplers, *(getattr(sampler, "sampler", None) for sampler in samplers)]
    found = [g for part in parts if isinstance(g := getattr(part, "generator", None), torch.Generator)]
    states = [g.get_state() for g in found]
    try:
        yield
    finally:
        for g, state in zip(found, states, strict=True):
            g.set_state(state)


def shuffles(source: Any) -> bool:
    """Whether a DataLoader says that it draws a new order for each pass."""
    return isinstance(source, DataLoader) and isinstance(source.sampler, RandomSampler)


def _indexed(source: Any) -> DataLoader[Any] | None:
    """A DataLoader over a dataset with indices, whose batches are cut in the usual way."""
    plain = (
        isinstance(source, DataLoader)
        and not isinstance(source.dataset, IterableDataset)
        and type(source.batch_sampler) is BatchSampler
        and isinstance(source.sampler, SequentialSampler | RandomSampler)
    )
    return source if plain else None


def _loader_of(loader: DataLoader[Any], chosen: list[int]) -> DataLoader[Any]:
    return DataLoader(
        Subset(loader.dataset, chosen),
        batch_size=loader.batch_size,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        prefetch_factor=loader.prefetch_factor,
    )


def pair(item: Any) -> Batch:
    """What a loader gave, as a batch; raises ConfigurationError for anything else."""
    if not isinstance(item, tuple | list) or len(item) != 2 or not isinstance(item[1], Tensor) or not item[1].ndim:
        raise ConfigurationError(
            f"cannot measure with a batch of type {type(item).__name__}, because it has to be a pair (inputs, targets) "
            "whose targets are a tensor with one entry or row per sample; wrap the loader"
        )
    return item[0], item[1]


def shapes(batch: Batch) -> str:
    """A batch in words, for messages: inputs float32 [80, 1, 8, 8], targets int64 [80]."""
    kinds = [f"{str(t.dtype).removeprefix('torch.')} {list(t.shape)}" for t in (*_tensors(batch[0]), batch[1])]
    return f"inputs {', '.join(kinds[:-1]) or 'without tensors'}, targets {kinds[-1]}"


def count(batch: Batch) -> int:
    """How many samples a batch has."""
    return len(batch[1])


Answered = tuple[Tensor, Tensor]
"""What a model put out for a batch, and the targets."""


def halves(answered: Answered) -> tuple[Answered, Answered] | None:
    """Two unequal parts of a batch; None where it cannot be cut."""
    output, targets = answered
    size = len(targets)
    if not isinstance(output, Tensor) or output.ndim == 0 or len(output) != size or size < 2:
        return None
    cut = max(1, size // 3)
    return (output[:cut], targets[:cut]), (output[cut:], targets[cut:])


def joined(left: Answered, right: Answered) -> Answered | None:
    """Two batches as one; None where they do not fit together."""
    for a, b in zip(left, right, strict=True):
        if not (isinstance(a, Tensor) and isinstance(b, Tensor)) or not a.ndim or a.shape[1:] != b.shape[1:]:
            return None
    return torch.cat([left[0], right[0]]), torch.cat([left[1], right[1]])


Mark = tuple[int, tuple[str, ...]]
"""By which a batch is known again."""


def mark(batch: Batch) -> Mark:
    """Size of a batch and sums of its entries, each times its place: other entries, or another order, have others.

    Plain sums would not see an image that is flipped, or samples of one class that change places.
    """
    return count(batch), tuple(_sum(t).hex() for t in (*_tensors(batch[0]), batch[1]))  # NaN equals NaN as text


def _sum(tensor: Tensor) -> float:
    entries = tensor.detach().to_dense().reshape(-1)
    entries = torch.view_as_real(entries).reshape(-1) if entries.is_complex() else entries
    places = torch.arange(1, min(len(entries), _PIECE) + 1, dtype=torch.float64, device=entries.device)
    pieces = enumerate(entries.split(_PIECE), start=1)
    return sum(number * float((piece * places[: len(piece)]).sum()) for number, piece in pieces)


def _tensors(item: Any) -> Iterator[Tensor]:
    if isinstance(item, Tensor):
        yield item
    elif isinstance(item, Mapping):
        for key in item:
            yield from _tensors(item[key])
    elif isinstance(item, tuple | list):
        for part in item:
            yield from _tensors(part)


def rows_of(batch: Batch, rows: Tensor) -> Batch:
    """The samples of a batch at these places (indices on any device): a smaller batch."""
    size = count(batch)

    def taken(tensor: Tensor) -> Tensor:
        return tensor[rows.to(tensor.device)] if tensor.ndim and len(tensor) == size else tensor

    return changed(batch[0], taken), taken(batch[1])


def _changing(how: str) -> ConfigurationError:
    return ConfigurationError(
        f"cannot measure with batches that change from one pass to the next ({how}), because every pass has to see the "
        "same samples in the same order; leave out shuffling and random augmentation"
    )
