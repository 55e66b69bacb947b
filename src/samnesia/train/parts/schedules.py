"""The course of the learning rate: a factor of the optimizer's lr for every step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from samnesia.train.parts.checks import check_epochs, check_share, require


@dataclass(frozen=True)
class Warmup(ABC):
    """Linear warm-up from nearly 0, then the course of the subclass."""

    warmup_epochs: float = 0.0
    """Epochs of warm-up."""

    def __post_init__(self) -> None:
        check_epochs(self.warmup_epochs, "warm up")

    def factor(self, step: int, *, total_steps: int, warmup_steps: int) -> float:
        """Return what the learning rate is multiplied with at ``step``, counted from 0.

        During warm-up that is (step + 1) / warmup_steps; after it, the course over the rest of the run.
        """
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        return self.course((step - warmup_steps) / max(1, total_steps - warmup_steps))

    @abstractmethod
    def course(self, share: float) -> float:
        """The factor when this share of the steps after the warm-up is over."""

    @property
    @abstractmethod
    def lowest(self) -> float:
        """The factor at the end of the run, which radii proportional to the learning rate are scaled by."""


@dataclass(frozen=True)
class Cosine(Warmup):
    """Linear warm-up, then half a cosine down to the final factor at the end of the run."""

    final: float = 0.0
    """Factor at the end."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self.final, "end at")

    def course(self, share: float) -> float:
        """From 1 to the final factor along half a cosine."""
        return self.final + (1.0 - self.final) * (0.5 + 0.5 * math.cos(math.pi * share))

    @property
    def lowest(self) -> float:
        """The final factor."""
        return self.final


@dataclass(frozen=True)
class Linear(Warmup):
    """Linear warm-up, then straight down to the final factor at the end of the run."""

    final: float = 0.0
    """Factor at the end."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self.final, "end at")

    def course(self, share: float) -> float:
        """From 1 to the final factor along a line."""
        return 1.0 + (self.final - 1.0) * share

    @property
    def lowest(self) -> float:
        """The final factor."""
        return self.final


@dataclass(frozen=True)
class Constant(Warmup):
    """Linear warm-up, then a constant learning rate."""

    def course(self, share: float) -> float:
        """Always 1."""
        return 1.0

    @property
    def lowest(self) -> float:
        """1."""
        return 1.0


@dataclass(frozen=True)
class Steps(Warmup):
    """Linear warm-up, then a factor less at each milestone."""

    milestones: tuple[float, ...] = (0.25, 0.5, 0.75)
    """Shares of the steps after the warm-up at which the learning rate drops."""
    gamma: float = 0.1
    """What it is multiplied with there."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for milestone in self.milestones:
            check_share(milestone, "drop the learning rate after")
        require(
            0.0 < self.gamma <= 1.0,
            f"cannot multiply the learning rate with {self.gamma}, because it would vanish or grow; use 0.1, say",
        )

    def course(self, share: float) -> float:
        """Gamma to the number of milestones that are behind."""
        # a milestone meant to fall on a step must not miss it by rounding
        return self.gamma ** sum(share >= milestone - 1e-9 for milestone in self.milestones)

    @property
    def lowest(self) -> float:
        """Gamma to the number of milestones."""
        return float(self.gamma ** len(self.milestones))


Schedule = Cosine | Linear | Constant | Steps
