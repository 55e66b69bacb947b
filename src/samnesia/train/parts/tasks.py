"""Data as a sequence of tasks, of which a run trains one; and what of earlier ones is trained along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from samnesia.train.parts.checks import require
from samnesia.train.parts.data import Digits, Images, Photographs, Table, Text
from samnesia.train.parts.own import OwnData

if TYPE_CHECKING:
    from torch import Tensor

    from samnesia.data.problem import Problem
    from samnesia.data.tasks import Chosen


@dataclass(frozen=True)
class Tasks:
    """What all ways to make tasks share: their number."""

    count: int = 5
    """Number of tasks."""

    def __post_init__(self) -> None:
        require(self.count >= 1, f"cannot make {self.count} tasks, because there is one at least; use 5, say")


@dataclass(frozen=True)
class ByClasses(Tasks):
    """Each task has classes of its own, equally many."""

    shuffled: bool = False
    """Draw by seed which classes are in which task; otherwise they come in their order."""

    @property
    def says(self) -> str:
        """How the tasks come about, for reports."""
        return f"{self.count} tasks of other classes"

    def of(self, problem: Problem, seed: int, *, known: bool) -> list[Problem]:
        """Return the tasks; with a head of its own for each, if it is known which one a sample is of."""
        from samnesia.data.tasks import by_classes

        return by_classes(problem, self.count, seed=seed if self.shuffled else None, known=known)


@dataclass(frozen=True)
class Permuted(Tasks):
    """Each task has all samples, with pixels in an order of its own by seed; the first as they are."""

    @property
    def says(self) -> str:
        """How the tasks come about, for reports."""
        return f"{self.count} tasks of permuted pixels"

    def of(self, problem: Problem, seed: int, *, known: bool) -> list[Problem]:
        """Return the tasks; with a head of its own for each, if it is known which one a sample is of."""
        from samnesia.data.tasks import by_order

        return by_order(problem, self.count, seed=seed, known=known)


@dataclass(frozen=True)
class _Memory:
    """What all memories share: how many samples, and how often they are seen."""

    size: int = 50
    """Samples that are kept, over all earlier tasks."""
    times: int = 1
    """How often each of them is seen in an epoch of a later task."""

    def __post_init__(self) -> None:
        for name in ("size", "times"):
            value = getattr(self, name)
            require(value >= 1, f"cannot replay with {name} {value}, because it must be 1 or more; change it")


@dataclass(frozen=True)
class Reservoir(_Memory):
    """Experience replay: every sample seen so far is kept with the same probability."""

    def kept(self, labels: Sequence[Tensor], seed: int) -> list[list[int]]:
        """Return the numbers of the samples that are kept, of each task so far."""
        from samnesia.data.tasks import reservoir

        return reservoir([len(own) for own in labels], self.size, seed=seed)


@dataclass(frozen=True)
class Balanced(_Memory):
    """Experience replay: of each class so far as many samples."""

    def kept(self, labels: Sequence[Tensor], seed: int) -> list[list[int]]:
        """Return the numbers of the samples that are kept, of each task so far."""
        from samnesia.data.tasks import balanced

        return balanced(labels, self.size, seed=seed)


@dataclass(frozen=True)
class Task:
    """One task of a sequence that is made of other data."""

    base: Digits | Photographs | Table | Images | Text | OwnData = field(default_factory=Digits)
    """The data."""
    tasks: ByClasses | Permuted = field(default_factory=ByClasses)
    """How tasks are made of them."""
    number: int | None = 0
    """Which one, counted from 0; None is all of them together."""
    known: bool = False
    """Whether the task of a sample is known when it is classified: by a head for each, the model being a Headed."""
    memory: Reservoir | Balanced | None = None
    """Which samples of earlier tasks are trained on as well; None is none."""
    seed: int | None = None
    """Of data, tasks and memory; None is that of the run."""

    def __post_init__(self) -> None:
        require(
            self.number is None or 0 <= self.number < self.tasks.count,
            f"cannot train task {self.number} of {self.tasks.count}, because they are counted from 0; use 0 to "
            f"{self.tasks.count - 1}, or None for all together",
        )

    @property
    def says(self) -> str:
        """What the data are, in a sentence or two, for reports."""
        which = "all together" if self.number is None else f"of them number {self.number}, counted from 0"
        base = getattr(self.base, "says", "Data of your own.")
        return f"{base} Made into {self.tasks.says}, {which}."

    def load(self, seed: int) -> Problem:
        """Return the three splits of this task."""
        from samnesia.data.tasks import joined, labels_of, with_memory

        seed = seed if self.seed is None else self.seed
        tasks = self.all(seed)
        if self.number is None:
            return joined(tasks) if len(tasks) > 1 else tasks[0]
        before = tasks[: self.number]
        if self.memory is None or not before:
            return tasks[self.number]
        kept = self.memory.kept([labels_of(task.train) for task in before], seed)
        return with_memory(tasks[self.number], _samples(before, kept), self.memory.times)

    def all(self, seed: int) -> list[Problem]:
        """Return every task of the sequence, without a memory."""
        return self.tasks.of(self.base.load(seed), seed, known=self.known)


def _samples(tasks: Sequence[Problem], kept: Sequence[Sequence[int]]) -> list[Chosen]:
    import torch

    from samnesia.data.tasks import Chosen

    return [
        Chosen(task.train, torch.tensor(numbers, dtype=torch.int64)) for task, numbers in zip(tasks, kept, strict=True)
    ]
