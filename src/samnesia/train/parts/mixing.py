"""How the images of a training batch are mixed with each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samnesia.train.parts.checks import check_share, require

if TYPE_CHECKING:
    from samnesia.data.problem import Mix


@dataclass(frozen=True)
class Mixing:
    """Mixup, CutMix, or either by chance; targets become shares of classes."""

    mixup: float = 0.0
    """Alpha of mixup: a sample's share in its mixture is Beta(alpha, alpha); 0 is no mixup."""
    cutmix: float = 0.0
    """Alpha of CutMix: the share of the image that stays is Beta(alpha, alpha); 0 is no CutMix."""
    switch: float = 0.5
    """Probability of CutMix, where both are used."""
    probability: float = 1.0
    """Probability that a sample is mixed at all."""

    def __post_init__(self) -> None:
        require(
            all(0.0 <= alpha < math.inf for alpha in (self.mixup, self.cutmix)) and self.mixup + self.cutmix > 0.0,
            f"cannot mix samples with mixup {self.mixup} and cutmix {self.cutmix}, because one alpha at least is "
            "positive and none negative; use mixup 0.2, say, or no mixing",
        )
        check_share(self.switch, "use CutMix for")
        check_share(self.probability, "mix")

    def mixer(self, num_classes: int, seed: int) -> Mix:
        """Return (inputs, targets, epoch, indices) -> (inputs, targets)."""
        from samnesia.data.mixing import Mixer

        return Mixer(num_classes, seed, self.mixup, self.cutmix, self.switch, self.probability)
