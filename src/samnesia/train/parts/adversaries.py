"""Adversarial training: the images of a batch are attacked before the method's passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from samnesia.train.parts.checks import check_positive, require
from samnesia.train.parts.when import Perturbed, Window

if TYPE_CHECKING:
    from samnesia.adversaries.attack import Attack


@dataclass(frozen=True)
class Adversary:
    """Train on images attacked by PGD (Madry et al., ICLR 2018), all along or from an epoch on (Zhou et al., 2025)."""

    norm: Literal["linf", "l2"] = "linf"
    """How large a change is: by its largest change of a pixel, or by its Euclidean length."""
    eps: float = 8 / 255
    """Largest size of the change, in pixels of 0 to 1."""
    step: float = 2 / 255
    """Size of a step, in the same unit."""
    steps: int = 10
    """Steps, each of which costs a gradient evaluation."""
    random_start: bool = True
    """Begin somewhere in the ball, and not at the image; which place is a function of seed, epoch and sample."""
    start_epoch: float = 0.0
    """First epoch with attacks; may lie between two epochs."""
    stop_epoch: float | None = None
    """Epoch from which on there are none any more; None is never."""

    def __post_init__(self) -> None:
        for name in ("eps", "step"):
            check_positive(getattr(self, name), f"attack training images with {name}", "8/255, say")
        require(
            self.steps >= 1, f"cannot attack training images with {self.steps} steps, because 1 is the least; change it"
        )
        self._when  # noqa: B018 - its own check of the epochs

    def window(self, steps_per_epoch: int) -> Window:
        """Return the optimizer steps whose batches are attacked."""
        return self._when.window(steps_per_epoch)

    def gradient_evaluations(self, total_steps: int, steps_per_epoch: int) -> int:
        """Return how many it takes over so many optimizer steps, in batches."""
        return self.steps * self.window(steps_per_epoch).count(total_steps)

    def attack(self) -> Attack:
        """Return the attack."""
        from samnesia.adversaries.attack import Attack
        from samnesia.adversaries.norms import NORMS

        return Attack(NORMS[self.norm], self.eps, self.step, self.steps, self.random_start)

    @property
    def _when(self) -> Perturbed:
        return Perturbed(self.start_epoch, self.stop_epoch)
