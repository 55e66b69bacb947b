"""What is done to the weights after the base optimizer's step, beside what the gradient does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from samnesia.perturb.memory import Memory
from samnesia.perturb.tensors import Weights


class WeightUpdate(ABC):
    """A change of the weights that follows each step that the optimizer really takes.

    It runs inside ``optimizer.step()``, so that schedulers, averages and checkpoints see the weights after it.
    """

    @abstractmethod
    def apply(self, weights: Weights, rates: Sequence[float], step: int, memory: Memory) -> None:
        """Change `weights` in place.

        Args:
            weights: those that the optimizer holds; of sharded ones, this process's part.
            rates: the learning rate of each.
            step: how many steps the optimizer has taken, this one included.
            memory: what the method remembers; the update keeps its own tensors there.
        """
