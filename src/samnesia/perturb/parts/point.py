"""What a part of a method may see and do while a step runs."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Protocol

import torch
from torch import Tensor

from samnesia.perturb.parts.ball import Ball
from samnesia.perturb.parts.memory import Memory
from samnesia.perturb.tensors import Direction, Weights


class Need(Enum):
    """What an ascent needs of a pass."""

    GRADIENT = auto()
    FORWARD = auto()


class Point(Protocol):
    """Where an ascent or a rule stands: the running step, as far as a part may see it."""

    @property
    def ball(self) -> Ball:
        """The geometry in which the radius is meant."""

    @property
    def epsilon(self) -> float:
        """The constant that keeps norms from dividing by zero."""

    @property
    def step(self) -> int:
        """Optimizer steps taken before this one."""

    @property
    def start(self) -> Weights:
        """The weights that the last pass differentiated, with their values before any move of this step."""

    @property
    def radii(self) -> Sequence[float]:
        """The radius of each weight: that of its parameter group."""

    @property
    def memory(self) -> Memory:
        """What earlier steps left, to be read and changed; kept only if the optimizer takes this step."""

    def generator(self, device: torch.device) -> torch.Generator:
        """A generator that depends on seed, step and micro-batch only (and, per rank, on the rank)."""

    def move(self, direction: Direction | Sequence[Tensor], fraction: float = 1.0) -> None:
        """Add `fraction` times each group's radius times `direction` to the weights; a list of tensors is one, too."""

    def loss_scale(self, unknown: float | None = None) -> Tensor:
        """By how much the backward calls of the last pass scaled the loss, averaged over ranks; a 0-d tensor.

        1 for a loss scaled by zero, whose gradient is none at any scale. Where the loss did not go through `p.loss`
        nobody knows: `unknown`, or a PassesError if that is None.
        """

    def optimizer_state(self, *names: str) -> list[Tensor] | None:
        """The first of these states that the base optimizer keeps for each weight; None if it keeps none yet."""
