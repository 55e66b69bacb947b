"""What rows are held against: the passes and base steps that a method cannot do without, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .bench import Bench

Step = Callable[[], Any]


@dataclass(frozen=True)
class Floor:
    """One step of nothing but passes and base steps.

    gradients: forward-backward passes. forwards: forward passes beside. last_share: share of the samples in the last
    pass. base_steps: steps of the base optimizer, after equally many passes each.
    """

    name: str
    gradients: int
    forwards: int = 0
    last_share: float = 1.0
    base_steps: int = 1

    def build(self, bench: Bench) -> Step:
        """That step on `bench`."""
        optimizer = bench.base()
        samples = math.ceil(self.last_share * len(bench.x))
        part = (bench.x[:samples], bench.y[:samples])
        steps = [(index + 1) * self.gradients // self.base_steps for index in range(self.base_steps)]

        def step() -> None:
            for _ in range(self.forwards):
                bench.forward_backward(backward=False)
            for index in range(1, self.gradients + 1):
                optimizer.zero_grad(set_to_none=True)
                bench.forward_backward(batch=part if index == self.gradients else None)
                if index in steps:
                    bench.step(optimizer)

        return step


@dataclass(frozen=True)
class Row:
    """A way to take a step.

    floors: what its steps are held against, told apart by their gradient evaluations. cycle: after how many steps its
    work repeats itself.
    """

    name: str
    kind: str
    floors: tuple[Floor, ...]
    build: Callable[[Bench], Step]
    cycle: int = 1

    def on(self, bench: Bench) -> Step:
        """Build optimizer and method on `bench`."""
        step = self.build(bench)
        bench.ready()
        return step

    @property
    def preset(self) -> str:
        """The name without the settings behind it."""
        return self.name.partition(",")[0]

    def floor(self, gradients: int) -> Floor:
        """What a step with so many gradient evaluations is held against."""
        return next(floor for floor in self.floors if floor.gradients == gradients)


TWO = Floor("floor, 2 passes", 2)
ONE = Floor("floor, 1 pass", 1)
THREE = Floor("floor, 3 passes", 3)
TAUGHT = Floor("floor, 1 pass and a forward", 1, forwards=1)
SELECTED = Floor("floor, 2 passes, one of half the samples, and a forward", 2, forwards=1, last_share=0.5)
INNER = Floor("floor, 4 passes, 2 base steps", 4, base_steps=2)
INNER_REUSED = Floor("floor, 3 passes, 2 base steps", 3, base_steps=2)


def rows_of(floors: Sequence[Floor], *, again: bool = False) -> tuple[Row, ...]:
    """A row for each floor, or a second one, for what the machine makes of two equal rows."""
    suffix = ", again" if again else ""
    return tuple(Row(floor.name + suffix, "floor", (floor,), floor.build) for floor in floors)
