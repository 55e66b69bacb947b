"""On which steps a method perturbs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from samnesia.train.parts.checks import MOST_EPOCHS, require


@dataclass(frozen=True)
class Perturbed:
    """On which steps the method perturbs; plain steps of the base optimizer otherwise."""

    start_epoch: float = 0.0
    """First epoch with perturbation; may lie between two epochs."""
    stop_epoch: float | None = None
    """Epoch from which on there is none any more; None is never."""
    interval_steps: int = 1
    """Perturb on every so many-th optimizer step, counted from the start of the run."""
    fresh_state: bool = False
    """Forget momentum and all other state of the optimizer on the first perturbed step, as late-phase SAM's authors."""

    def __post_init__(self) -> None:
        require(
            all(0.0 <= epoch <= MOST_EPOCHS for epoch in (self.start_epoch, self.stop_epoch or 0.0)),
            f"cannot perturb from epoch {self.start_epoch} to {self.stop_epoch}, because epochs are counted from 0 to "
            f"at most {MOST_EPOCHS}; use such values, and None for no end",
        )
        require(
            self.interval_steps >= 1,
            f"cannot perturb on every {self.interval_steps}-th step, because an interval is at least 1; "
            "use 1 for every step",
        )

    def window(self, steps_per_epoch: int) -> Window:
        """Return the schedule in optimizer steps."""
        stop = None if self.stop_epoch is None else _first_step(self.stop_epoch, steps_per_epoch)
        return Window(_first_step(self.start_epoch, steps_per_epoch), stop, self.interval_steps, steps_per_epoch)


def _first_step(epoch: float, steps_per_epoch: int) -> int:
    # 1.1 epochs of 10 steps are 11 steps, not the 11.000000000000002 of floating point
    return math.ceil(round(epoch * steps_per_epoch, 6))


@dataclass(frozen=True)
class Window:
    """Fires on the steps ``start <= step < stop`` that ``interval`` divides."""

    start: int
    stop: int | None
    interval: int
    steps_per_epoch: int

    def __call__(self, step: int) -> bool:
        """Whether the step is perturbed."""
        return step >= self.start and (self.stop is None or step < self.stop) and step % self.interval == 0

    def every(self, interval: int) -> Window:
        """Return those of its steps that ``interval`` divides as well."""
        return replace(self, interval=math.lcm(self.interval, interval))

    def after(self, share: float, total_steps: int) -> Window:
        """Return those of its steps before which this share of all steps has been taken."""
        return replace(self, start=max(self.start, math.ceil(round(share * total_steps, 6))))

    @property
    def first(self) -> int:
        """The first step on which it fires, if it ever does."""
        return -(-self.start // self.interval) * self.interval

    def count(self, total_steps: int) -> int:
        """Return on how many of the steps ``0, ..., total_steps - 1`` it fires."""
        stop = total_steps if self.stop is None else min(self.stop, total_steps)
        return len(range(self.first, stop, self.interval))

    def __str__(self) -> str:
        """Return the window in epochs, as in messages: ``a perturbation after 4 epochs, on every 2nd step``."""
        parts = [f"after {self._epochs(self.start)}"] if self.start else []
        parts += [] if self.stop is None else [f"before {self._epochs(self.stop)} are over"]
        parts += [f"on every step that {self.interval} divides"] if self.interval > 1 else []
        return " ".join(("a perturbation", ", ".join(parts) or "on every step"))

    def _epochs(self, steps: int) -> str:
        return f"{steps / self.steps_per_epoch:g} epoch{'' if steps == self.steps_per_epoch else 's'}"
