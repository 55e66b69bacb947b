"""What a flow asks of its teacher, and what it adds to the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from samnesia.perturb.errors import PassesError, UnsupportedError
from samnesia.perturb.flow.criteria import Pass
from samnesia.perturb.parts.memory import Memory
from samnesia.perturb.parts.teachers import Teacher
from samnesia.perturb.tensors import Weights


@final
class Lesson:
    """What one flow has asked of its teacher: the old outputs, one for each call of `p.loss` in a pass."""

    def __init__(self, teacher: Teacher, memory: Memory, step: int) -> None:
        self._teacher = teacher
        self._memory = memory
        self._begun = step >= teacher.start
        self._told: list[Tensor | None] = []
        self._asked = 0
        self._complete = False

    def place(self, weights: Weights) -> Sequence[Tensor] | None:
        """Where the flow has to ask for the old outputs; None if nowhere."""
        return self._teacher.place(weights, self._memory) if self._begun else None

    def open(self) -> None:
        """Begin a pass."""
        self._complete, self._asked = self._complete or bool(self._told), 0

    def added(self, running: Pass, value: Tensor, output: Tensor, samples: Tensor | None, *, counts: bool) -> Tensor:
        """`value`, the criterion of `output`, plus the weighted divergence if that `counts` in this pass."""
        if not isinstance(output, Tensor) or output.ndim < 2:
            raise UnsupportedError(
                f"cannot compare an output of {type(output).__name__} with older ones, because the divergence is one "
                "of probabilities; give p.loss logits of shape [N, K, ...]"
            )
        with torch.no_grad():
            old = self._old(running, output.detach(), samples)
        if old is None or not counts or running.teacher or not self._begun:
            return value
        return value + self._teacher.weight * self._teacher.divergence(old, output)

    def _old(self, running: Pass, output: Tensor, samples: Tensor | None) -> Tensor | None:
        if not self._complete:
            self._told.append(output if running.teacher else self._teacher.recall(output, samples, self._memory))
        self._asked += 1
        if (
            self._asked > len(self._told)
            or (old := self._told[self._asked - 1]) is not None
            and old.shape != output.shape
        ):
            raise PassesError(
                "cannot hold outputs to those of another batch, because this pass calls p.loss for others than the "
                "pass before; compute the loss of the same batch in every pass"
            )
        return old
