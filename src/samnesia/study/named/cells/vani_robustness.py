"""Accuracy on test images that are not as those of training.

Each kind of test set is a :class:`samnesia.study.measured.Look`, whose values begin with ``robust.``. Corrupted images
are here; sets that others have published (ImageNet-R, -Sketch, -V2 and ReaL) are another Look beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samnesia.train.loaded import Loaded


@dataclass(frozen=True)
class OnCorrupted:
    """Test images under corruptions (:mod:`samnesia.data.corruptions`), the same of all runs of a seed.

    Values: ``robust.snow`` and so on, the accuracy in percent as a mean over the severities, and ``robust.mean``, that
    of those families that are among the 15 of the mean corruption error.
    """

    families: tuple[str, ...]
    """By name."""
    severities: tuple[int, ...] = (1, 2, 3, 4, 5)
    """At which they are looked at."""
    samples: int | None = None
    """Test images, drawn by the seed of the run; None is all."""

    def of(self, loaded: Loaded) -> tuple[dict[str, float | None], list[str]]:
        """The accuracies of a run's final weights; there is nothing else to know of them."""
        from samnesia.evaluate.corruptions import corruption_errors
        from samnesia.evaluate.predictions import Sampled

        seed = loaded.config.seed
        sampled = Sampled(count=self.samples, seed=seed)
        found = corruption_errors(loaded, sampled, families=self.families, severities=self.severities, seed=seed)
        values: dict[str, float | None] = {f"robust.{name}": 100.0 - error for name, error in found.means.items()}
        return values | {"robust.mean": 100.0 - found.mean}, []
