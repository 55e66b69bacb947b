"""The data of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from samnesia.data.problem import Problem


@dataclass(frozen=True)
class Digits:
    """Scikit-learn's digits: 800 training, 200 validation and 797 test images."""

    flipped: float = 0.0
    """Share of training and validation labels moved to another class, 0 to 1."""
    shift: int = 0
    """Augmentation: shift every training image by up to so many pixels, anew each epoch."""

    def __post_init__(self) -> None:
        require(
            0.0 <= self.flipped <= 1.0,
            f"cannot flip a share of {self.flipped} of the labels, because a share lies between 0 and 1; "
            "use 0.4 for 40 %",
        )
        require(
            0 <= self.shift < 8,
            f"cannot shift images by {self.shift} pixels, because they are 8 pixels wide; use 0 to 7",
        )

    def load(self, seed: int) -> Problem:
        """Return the three splits of this seed."""
        from samnesia.data.digits import digits

        return digits(seed, flipped=self.flipped, shift=self.shift)


Data = Digits
