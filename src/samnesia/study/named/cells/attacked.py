"""Accuracy of final weights under attack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samnesia.train.loaded import Loaded


@dataclass(frozen=True)
class Attacked:
    """What is measured of final weights: accuracy and loss under PGD and FGSM within the radius, and under PGD in L2.

    Values: ``robust.clean``, ``robust.pgd``, ``robust.fgsm`` and ``robust.l2``, shares in percent, and ``robust.loss``,
    that of PGD's images. PGD takes the worst of its starts, which are the same for all runs of a seed.
    """

    eps: float
    """Largest change of a pixel of 0 to 1."""
    l2: float
    """Largest Euclidean length of a change."""
    steps: int = 40
    """Of PGD."""
    restarts: int = 2
    """Random starts."""
    split: str = "test"
    """Whose samples."""

    def of(self, loaded: Loaded) -> tuple[dict[str, float | None], list[str]]:
        """The values, and what speaks against them."""
        from samnesia.evaluate.adversaries import Strength, robustness
        from samnesia.evaluate.predictions import Sampled

        found = robustness(
            loaded,
            Sampled(self.split),
            radii={"linf": (self.eps,), "l2": (self.l2,)},
            strength=Strength(self.steps, self.restarts),
            seed=loaded.config.seed,
        )
        (fgsm,), (pgd,), (euclidean,) = found.of("linf", "fgsm"), found.of("linf", "pgd"), found.of("l2", "pgd")
        values: dict[str, float | None] = {
            "robust.clean": 100.0 * found.clean.value,
            "robust.pgd": 100.0 * pgd.accuracy.value,
            "robust.fgsm": 100.0 * fgsm.accuracy.value,
            "robust.l2": 100.0 * euclidean.accuracy.value,
            "robust.loss": pgd.loss,
        }
        return values, [f"{doubt}." for doubt in found.doubts()]
