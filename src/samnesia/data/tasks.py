"""A data set as a sequence of tasks: splits of splits, and which samples of earlier tasks are remembered.

A task is a :class:`~samnesia.data.problem.Problem` over some of the samples of another one. How a sample looks does not
change with that: augmentation, and what evaluation sees, are those of the data set, drawn by the sample's number there.

Sources: split and permuted tasks, J. Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS
2017 (permuted), F. Zenke et al., "Continual Learning Through Synaptic Intelligence", ICML 2017 (split).
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samnesia.data.draws import permutation, words
from samnesia.data.problem import Batch, Problem, SecondLabel, Split
from samnesia.perturb.errors import ConfigurationError

PIXELS, CLASSES, STREAM, SLOTS, KEPT = range(3000, 3005)
"""Second entry of a key, after the seed: what the draw is for."""


class Chosen(Split):
    """Some samples of a split, with classes that may be numbered anew and inputs whose places may be permuted.

    Args:
        split: of which they are.
        numbers: of the samples, int64 of shape ``[n]``.
        places: by which the new class of a sample is found, int64 of shape ``[classes]``: -1 for a class that the task
            does not have. None leaves them.
        order: where each value of an input comes from, int64 of shape ``[height * width]`` (all channels alike), or of
            as many as there are values where inputs are no images. None leaves them.
        head: which of several heads answers for these samples; inputs are then ``(input, head)``.

    Raises:
        ConfigurationError: for a split that does not tell its labels.
    """

    def __init__(
        self,
        split: Split,
        numbers: Tensor,
        *,
        places: Tensor | None = None,
        order: Tensor | None = None,
        head: int | None = None,
    ) -> None:
        self._split, self.numbers, self._places, self._order, self._head = split, numbers, places, order, head
        self.labels = self._renumbered(labels_of(split)[numbers])
        clean = split.clean_labels
        self.clean_labels = None if clean is None else self._renumbered(clean[numbers])
        self.second_labels = tuple(
            replace(second, classes=self._renumbered(second.classes[numbers])) for second in split.second_labels
        )

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def damaged(self) -> Set[int]:  # type: ignore[override]
        """Those that the split has found damaged."""
        if not self._split.damaged:
            return frozenset()
        return {place for place, number in enumerate(self.numbers.tolist()) if number in self._split.damaged}

    def batch(self, indices: Sequence[int], epoch: int | None = None) -> Batch:
        """Return samples as training sees them in ``epoch``, or, without one, as evaluation sees them."""
        inputs, labels = self._split.batch(self._numbers(indices), epoch)
        if self._order is not None:
            inputs = permuted(inputs, self._order)
        if self._head is not None:
            inputs = (inputs, torch.full((len(labels),), self._head))
        return inputs, self._renumbered(labels)

    def pixels(self, indices: Sequence[int]) -> Tensor | None:
        """Pixels of 0 to 1 of these samples, where what evaluation sees does not tell them; else None."""
        found = self._split.pixels(self._numbers(indices))
        return found if found is None or self._order is None else permuted(found, self._order)

    def _numbers(self, indices: Sequence[int]) -> list[int]:
        numbers: list[int] = self.numbers[torch.as_tensor(indices)].tolist()
        return numbers

    def _renumbered(self, labels: Tensor) -> Tensor:
        return labels if self._places is None else self._places[labels]


class Joined(Split):
    """The samples of several splits, one after the other."""

    def __init__(self, parts: Sequence[Split]) -> None:
        self._parts = list(parts)
        self._ends = torch.tensor([*accumulate(len(part) for part in parts)])
        self.labels = torch.cat([labels_of(part) for part in parts])
        clean = [part.clean_labels for part in parts]
        self.clean_labels = (
            None if any(one is None for one in clean) else torch.cat([one for one in clean if one is not None])
        )
        self.second_labels = _joined_seconds(parts)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def damaged(self) -> Set[int]:  # type: ignore[override]
        """Those that the splits have found damaged."""
        starts = [0, *self._ends.tolist()]
        return {start + one for start, part in zip(starts, self._parts, strict=False) for one in part.damaged}

    def batch(self, indices: Sequence[int], epoch: int | None = None) -> Batch:
        """Return samples as training sees them in ``epoch``, or, without one, as evaluation sees them."""
        whose, places = self._owners(indices)
        found: list[Batch] = []
        rows: list[int] = []
        for number, part in enumerate(self._parts):
            mine = [row for row, owner in enumerate(whose) if owner == number]
            if mine:
                found.append(part.batch([places[row] for row in mine], epoch))
                rows += [row for row in mine if places[row] not in part.damaged]
        back = torch.tensor(rows, dtype=torch.int64).argsort()
        return _rows([inputs for inputs, _ in found], back), _rows([labels for _, labels in found], back)

    def pixels(self, indices: Sequence[int]) -> Tensor | None:
        """Pixels of 0 to 1 of these samples, where what evaluation sees does not tell them; else None."""
        whose, places = self._owners(indices)
        found = [self._parts[owner].pixels([place]) for owner, place in zip(whose, places, strict=True)]
        there = [one for one in found if one is not None]
        return torch.cat(there) if there and len(there) == len(found) else None

    def _owners(self, indices: Sequence[int]) -> tuple[list[int], list[int]]:
        """Of each sample, which part has it, and as which number."""
        asked = torch.as_tensor(indices, dtype=torch.int64)
        whose = torch.searchsorted(self._ends, asked, right=True)
        starts = torch.cat((torch.zeros(1, dtype=torch.int64), self._ends[:-1]))
        return whose.tolist(), (asked - starts[whose]).tolist()


def labels_of(split: Split) -> Tensor:
    """The class of each sample, int64 of shape ``[n]``.

    Raises:
        ConfigurationError: if the split does not tell it, or samples have no class.
    """
    labels = getattr(split, "labels", None)
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.ndim != 1:
        raise ConfigurationError(
            f"cannot make tasks of a {type(split).__name__}, because that requires the class of every sample "
            "beforehand, as int64 in an attribute labels; return a Problem of TensorSplits, say"
        )
    return labels


def permuted(inputs: Any, order: Tensor) -> Tensor:
    """Inputs whose values have changed places: those of images by pixel, all channels alike.

    Args:
        inputs: shape ``[n, channels, height, width]``, or ``[n, values]``.
        order: where each value comes from.

    Raises:
        ConfigurationError: for inputs that are no such tensor.
    """
    if not isinstance(inputs, Tensor) or inputs.shape[inputs.ndim - (2 if inputs.ndim == 4 else 1) :].numel() != len(
        order
    ):
        raise ConfigurationError(
            "cannot permute the pixels of these inputs, because that requires a tensor of images or of features; "
            "divide them by classes"
        )
    flat = inputs.flatten(2) if inputs.ndim == 4 else inputs
    moved = flat[..., order].reshape(inputs.shape)
    return moved.contiguous(memory_format=torch.channels_last) if inputs.ndim == 4 else moved


def by_classes(problem: Problem, count: int, *, seed: int | None, known: bool) -> list[Problem]:
    """Divide the classes into ``count`` tasks of equally many.

    Args:
        problem: the data set.
        count: number of tasks.
        seed: draws which classes are in which task; None is in their order.
        known: whether the task of a sample is known when it is classified: classes are then counted from 0 in each task
            and inputs are ``(input, head)``.

    Raises:
        ConfigurationError: for a number of tasks that does not divide that of the classes, or a task without samples.
    """
    classes = problem.num_outputs
    if count < 1 or classes % count:
        divisors = [n for n in range(1, classes + 1) if classes % n == 0]
        raise ConfigurationError(
            f"cannot divide {classes} classes into {count} tasks, because each task has as many; use one of "
            f"{', '.join(map(str, divisors))}"
        )
    order = torch.arange(classes) if seed is None else torch.from_numpy(permutation(classes, key=(seed, CLASSES)))
    tasks = []
    for head, own in enumerate(order.view(count, -1)):
        places = None
        if known:
            places = torch.full((classes,), -1)
            places[own] = torch.arange(len(own))

        def of(
            split: Split | None, own: Tensor = own, places: Tensor | None = places, head: int = head
        ) -> Split | None:
            if split is None:
                return None
            numbers = torch.isin(labels_of(split), own).nonzero().flatten()
            if not len(numbers):
                raise ConfigurationError(
                    f"cannot make a task of the classes {', '.join(map(str, own.tolist()))}, because a split has none "
                    "of their samples; use fewer tasks, or more data"
                )
            return Chosen(split, numbers, places=places, head=head if known else None)

        tasks.append(_task(problem, of, num_outputs=classes // count if known else classes, known=known))
    return tasks


def by_order(problem: Problem, count: int, *, seed: int, known: bool) -> list[Problem]:
    """All samples in each of ``count`` tasks, their pixels in another order by seed; in the first as they are.

    Args:
        problem: the data set.
        count: number of tasks.
        seed: draws the orders.
        known: whether the task of a sample is known when it is classified: inputs are then ``(input, head)``.

    Raises:
        ConfigurationError: for fewer than one task.
    """
    if count < 1:
        raise ConfigurationError(f"cannot make {count} tasks, because there is one at least; use 5, say")
    shape = problem.shape
    values = int(np.prod(shape[1:] if len(shape) == 3 else shape))
    tasks = []
    for task in range(count):
        order = None if task == 0 else torch.from_numpy(permutation(values, key=(seed, PIXELS, task)))

        def of(split: Split | None, order: Tensor | None = order, task: int = task) -> Split | None:
            if split is None:
                return None
            return Chosen(split, torch.arange(len(split)), order=order, head=task if known else None)

        tasks.append(_task(problem, of, num_outputs=problem.num_outputs, known=known))
    return tasks


def joined(tasks: Sequence[Problem]) -> Problem:
    """All tasks as one."""

    def whole(name: str) -> Split | None:
        parts = [getattr(task, name) for task in tasks]
        return None if None in parts else Joined(parts)

    train = Joined([task.train for task in tasks])
    return replace(tasks[0], train=train, validation=whole("validation"), test=whole("test"))


def with_memory(task: Problem, kept: Sequence[Split], times: int) -> Problem:
    """The task whose training samples are joined by those that are remembered, each ``times`` times in an epoch."""
    there = [split for split in kept if len(split)]
    return replace(task, train=Joined([task.train, *there * times])) if there else task


def reservoir(counts: Sequence[int], size: int, *, seed: int) -> list[list[int]]:
    """Which samples of a stream are kept, so that each has had the same chance: its numbers by task, in order.

    The stream is that of the tasks, each once through in an order by seed. Algorithm R (J. S. Vitter, "Random Sampling
    with a Reservoir", ACM TOMS 1985): the i-th sample, counted from 1, takes a random one of ``size`` slots with
    probability ``size / i``.

    Args:
        counts: samples of each task.
        size: number of slots.
        seed: draws order and slots.
    """
    slots: list[tuple[int, int]] = []
    seen = 0
    for task, count in enumerate(counts):
        order = permutation(count, key=(seed, STREAM, task)).tolist()
        draws = words(count, key=(seed, SLOTS, task)).tolist()
        for number, word in zip(order, draws, strict=True):
            seen += 1
            place = len(slots) if len(slots) < size else word % seen
            if place == len(slots) < size:
                slots.append((task, number))
            elif place < size:
                slots[place] = (task, number)
    return [sorted(number for task, number in slots if task == own) for own in range(len(counts))]


def balanced(labels: Sequence[Tensor], size: int, *, seed: int) -> list[list[int]]:
    """Which samples are kept where each class of each task has as many slots: their numbers by task, in order.

    Of ``size`` slots and C classes so far, each class has ``size // C``, and the first ones a further one until all are
    given. What a class keeps later is among what it kept before.

    Args:
        labels: of the samples of each task, shape ``[n]``.
        size: number of slots.
        seed: draws which samples of a class.
    """
    classes = [(task, int(label)) for task, own in enumerate(labels) for label in own.unique()]
    share, rest = divmod(size, max(1, len(classes)))
    kept: list[list[int]] = [[] for _ in labels]
    for place, (task, label) in enumerate(classes):
        own = (labels[task] == label).nonzero().flatten()
        order = permutation(len(own), key=(seed, KEPT, task, label))
        kept[task] += own[torch.from_numpy(order)][: share + (place < rest)].tolist()
    return [sorted(numbers) for numbers in kept]


def _task(problem: Problem, of: Any, *, num_outputs: int, known: bool) -> Problem:
    if known and problem.mix is not None:
        raise ConfigurationError(
            "cannot mix samples of tasks that are known, because each sample belongs to a head of its own; leave "
            "mixing out, or let the task be unknown"
        )
    return replace(
        problem,
        train=of(problem.train),
        validation=of(problem.validation),
        test=of(problem.test),
        num_outputs=num_outputs,
        exposure=None if known else problem.exposure,  # inputs are more than an image there
    )


def _joined_seconds(parts: Sequence[Split]) -> tuple[SecondLabel, ...]:
    """The second labels that all parts have, under the same names."""
    alike = zip(*(part.second_labels for part in parts), strict=False)
    return tuple(
        replace(same[0], classes=torch.cat([second.classes for second in same]))
        for same in alike
        if len({second.figures for second in same}) == 1
    )


def _rows(values: Sequence[Any], order: Tensor) -> Any:
    """Tensors, or tuples of them, one after the other, in this order."""
    if isinstance(values[0], Tensor):
        return torch.cat([*values])[order]
    return tuple(_rows(parts, order) for parts in zip(*values, strict=True))
