"""Meters of one step: each is told where forward, loss, backward and base step begin and end, and takes the rest.

`Stopwatch` and `EventStopwatch` take the time of the rest, `Recorder` its operators, bytes and memory.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from statistics import median
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class Part(Enum):
    """What a step is made of; everything else is the price of the method."""

    FORWARD = auto()
    LOSS = auto()
    BACKWARD = auto()
    BASE_STEP = auto()


class Meter(Protocol):
    """What the parts of a step report to."""

    def enter(self, part: Part) -> None:
        """`part` begins."""

    def leave(self) -> None:
        """It has ended."""


@dataclass(frozen=True)
class Reading:
    """Seconds of one step, those of them outside of its parts, and the gradient evaluations of each step read."""

    seconds: float
    outside: float
    gradients: tuple[int, ...]


class Stopwatch:
    """Clock of a device that computes before it returns: the CPU."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._inside = self._since = 0.0
        self._gradients = 0

    def enter(self, part: Part) -> None:
        self._gradients += part is Part.BACKWARD
        self._since = self._clock()

    def leave(self) -> None:
        self._inside += self._clock() - self._since

    def read(self, step: Callable[[], Any], steps: int, cycle: int = 1) -> Reading:
        """Of one step: the median over steps.

        Where not all steps are alike it is the mean over them of the median of their like: those at the same place of
        a cycle of `cycle` steps, with as many gradient evaluations.
        """
        readings = [self._one(step) for _ in range(steps)]
        alike = defaultdict(list)
        for index, reading in enumerate(readings):
            alike[index % cycle, reading.gradients].append(reading)
        return Reading(
            sum(len(of) * median(one.seconds for one in of) for of in alike.values()) / steps,
            sum(len(of) * median(one.outside for one in of) for of in alike.values()) / steps,
            tuple(count for reading in readings for count in reading.gradients),
        )

    def _one(self, step: Callable[[], Any]) -> Reading:
        self._inside, self._gradients = 0.0, 0
        begun = self._clock()
        step()
        total = self._clock() - begun
        return Reading(total, total - self._inside, (self._gradients,))


class EventStopwatch:
    """CUDA: wall clock between synchronizations for the whole, events on the stream for the parts.

    Events stand between the kernels of the parts and those of the flow, so that work is counted where it was launched,
    not where the host waited for it. Time in which the device waits for the host counts where it waits.
    """

    def __init__(self) -> None:
        self._pool: list[torch.cuda.Event] = []
        self._used = self._gradients = 0

    def enter(self, part: Part) -> None:
        self._gradients += part is Part.BACKWARD
        self._record()

    def leave(self) -> None:
        self._record()

    def read(self, step: Callable[[], Any], steps: int, cycle: int = 1) -> Reading:
        """Of one step: the mean over `steps` steps, which are to be whole cycles.

        The steps follow one another without synchronization, as in training, so that the host may run ahead.
        """
        torch.cuda.synchronize()
        self._used = 0
        gradients = []
        begun = time.perf_counter()
        self._record()
        for _ in range(steps):
            self._gradients = 0
            step()
            gradients.append(self._gradients)
        self._record()
        torch.cuda.synchronize()
        total = time.perf_counter() - begun
        events = self._pool[: self._used]  # begin, enter, leave, enter, …, leave, end
        outside = sum(left.elapsed_time(entered) for left, entered in zip(events[::2], events[1::2], strict=True))
        return Reading(total / steps, outside / 1e3 / steps, tuple(gradients))

    def _record(self) -> None:
        if self._used == len(self._pool):
            self._pool.append(torch.cuda.Event(enable_timing=True))
        self._pool[self._used].record()
        self._used += 1


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


def stopwatch(device: torch.device, clock: str) -> Stopwatch | EventStopwatch:
    """The one that is right for `device`."""
    return EventStopwatch() if device.type == "cuda" else Stopwatch(CLOCKS[clock])


@dataclass
class Counts:
    """What one step did outside of its parts, and how often it went forward and backward.

    operators: calls that compute or move data (no views, no bare allocations). host_reads: those that hand a value to
    Python, for which a GPU must be waited for. bytes_moved: what the operators read and write at least.
    live_bytes, peak_bytes: memory alive before the last forward; the most that was alive between a backward or a base
    step and what follows it.
    """

    forwards: int = 0
    gradients: int = 0
    operators: int = 0
    host_reads: int = 0
    bytes_moved: int = 0
    live_bytes: int = 0
    peak_bytes: int = 0
    by_operator: dict[str, list[int]] = field(default_factory=dict)


class Ledger(TorchDispatchMode):
    """All memory made under it that is alive: storages by weak references, so that what counts is what is really alive.

    What a fused operator makes and frees inside is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def alive(self) -> int:
        """Bytes of storages that were made under it and still live."""
        self._alive = {key: made for key, made in self._alive.items() if not made[0].expired()}
        return sum(size for _, size in self._alive.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = {t.untyped_storage()._cdata for t in _tensors((args, kwargs))}  # of views, and of results in place
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            if storage._cdata not in given:
                self._alive[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        return result


class Recorder(Ledger):
    """Counts operators and bytes outside of the parts of a step, and follows memory.

    A fused operator counts once, as it is called once.
    """

    def __init__(self) -> None:
        super().__init__()
        self._inside, self._part = False, Part.BASE_STEP
        self.counts = Counts()

    def reset(self) -> None:
        """Begin a new step; memory made before stays known."""
        self.counts = Counts()

    def enter(self, part: Part) -> None:
        self._note_peak()
        self._inside, self._part = True, part
        self.counts.gradients += part is Part.BACKWARD
        if part is Part.FORWARD:
            self.counts.forwards += 1
            self.counts.live_bytes = self.alive()

    def leave(self) -> None:
        self._inside = False
        self._note_peak()

    def _note_peak(self) -> None:
        """Between forward and backward activations are alive, which are no matter of the method's."""
        if self._part in (Part.BACKWARD, Part.BASE_STEP):
            self.counts.peak_bytes = max(self.counts.peak_bytes, self.alive())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)
        if not self._inside:
            self._count(func, args, kwargs or {}, result)
        return result

    def _count(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        self._note_peak()
        if not computes(func):
            return
        moved = traffic(func, args, kwargs, result)
        self.counts.operators += 1
        self.counts.host_reads += func._schema.name in HOST_READS
        self.counts.bytes_moved += moved
        entry = self.counts.by_operator.setdefault(func._schema.name.removeprefix("aten::"), [0, 0])
        entry[0] += 1
        entry[1] += moved


HOST_READS = {"aten::_local_scalar_dense", "aten::equal", "aten::is_nonzero", "aten::nonzero"}
_ALLOCATIONS = {"aten::empty", "aten::empty_like", "aten::empty_strided", "aten::new_empty", "aten::new_empty_strided"}
_OVERWRITING = {
    "aten::copy_", "aten::_foreach_copy_", "aten::zero_", "aten::_foreach_zero_", "aten::fill_",
    "aten::normal_", "aten::uniform_", "aten::random_", "aten::bernoulli_",
}  # fmt: skip
_SHAPE_ONLY = ("_like", "::new_")
"""In the names of operators that take of their operand nothing but shape, type and device."""


def computes(func: Any) -> bool:
    """Whether an operator computes or moves data: it is no view, no bare allocation and no mark for a profiler."""
    schema = func._schema
    if func.namespace == "profiler":
        return False
    views = any(value.alias_info is not None and not value.alias_info.is_write for value in schema.returns)
    return not views and schema.name not in _ALLOCATIONS


def traffic(func: Any, args: Any, kwargs: Any, result: Any) -> int:
    """Bytes that an operator reads and writes at least: every tensor it is given, every one it changes or makes.

    What is overwritten without being looked at (`copy_`, `out=`) is written only; an operand that gives a shape
    (`zeros_like`) is neither.
    """
    schema = func._schema
    moved = 0
    looks = not any(part in schema.name for part in _SHAPE_ONLY)
    known: set[int] = set()
    for index, argument in enumerate(schema.arguments):
        value = args[index] if index < len(args) else kwargs.get(argument.name)
        written = argument.alias_info is not None and argument.alias_info.is_write
        read = looks and not (written and (schema.name in _OVERWRITING or argument.is_out))
        for tensor in _tensors(value):
            known.add(id(tensor))
            moved += _size(tensor) * (int(read) + int(written))
    changes = any(value.alias_info is not None for value in schema.returns)
    if not changes:
        moved += sum(_size(tensor) for tensor in _tensors(result) if id(tensor) not in known)
    return moved


def _size(tensor: Tensor) -> int:
    """Bytes of the entries; those that are one place in memory (stride 0) count once."""
    dimensions = zip(tensor.shape, tensor.stride(), strict=True)
    return math.prod(size for size, stride in dimensions if stride or not size) * tensor.element_size()


def _tensors(values: Any) -> Iterator[Tensor]:
    return (value for value in tree_iter(values) if isinstance(value, Tensor))
