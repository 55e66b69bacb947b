"""Final weights on harder tests than the test split as it is: calibration, corruptions, noisy weights, an adversary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samnesia.evaluate.predictions import Sampled
    from samnesia.train.loaded import Loaded

Values = dict[str, float | None]


@dataclass(frozen=True)
class OnTests:
    """Accuracy and calibration of a run's final weights where the test is harder, on the same tests for all of a seed.

    Values, accuracies in percent: ``tests.ece``, ``tests.nll``, ``tests.aurc``; ``tests.noisy``; and of images
    ``tests.corrupted`` (the mean over families and severities), ``tests.kept`` (its share of the accuracy on the same
    images as they are) and ``tests.attacked``.
    """

    noise: float
    """Norm of the noise on each filter, over that of the filter."""
    eps: float | None
    """Largest change of a pixel (of 0 to 1) that the adversary may make; None where inputs are no images."""
    severities: tuple[int, ...] = (2, 4)
    """Of the 15 families of the mean corruption error."""
    samples: int | None = 400
    """Test samples that are corrupted and attacked, drawn by the seed of the run; None is all."""
    draws: int = 10
    """Of the noise."""
    steps: int = 10
    """Of the adversary: PGD from one random start."""

    def of(self, loaded: Loaded) -> tuple[Values, list[str]]:
        """The values of a run's final weights; there is nothing else to know of them."""
        from samnesia.evaluate.accuracy import clean_accuracy
        from samnesia.evaluate.noisy_weights import noisy_accuracy
        from samnesia.evaluate.predictions import Sampled

        seed = loaded.config.seed
        clean = clean_accuracy(loaded, Sampled())
        noisy = noisy_accuracy(loaded, Sampled(), {"filter": (self.noise,)}, draws=self.draws, seed=seed)
        values: Values = {
            "tests.ece": clean.calibration.ece,
            "tests.nll": clean.calibration.nll.value,
            "tests.aurc": clean.selective.area,
            "tests.noisy": 100.0 * noisy.levels[0].accuracy.mean,
        }
        if self.eps is not None:
            values |= self._of_images(loaded, Sampled(count=self.samples, seed=seed), self.eps)
        return values, []

    def _of_images(self, loaded: Loaded, sampled: Sampled, eps: float) -> Values:
        from samnesia.data.corruptions import MAIN
        from samnesia.evaluate.adversaries import Strength, robustness
        from samnesia.evaluate.corruptions import corruption_errors

        seed = loaded.config.seed
        found = corruption_errors(loaded, sampled, families=MAIN, severities=self.severities, seed=seed)
        attacked = robustness(
            loaded, sampled, radii={"linf": (eps,)}, strength=Strength(self.steps), one_step=False, seed=seed
        )
        corrupted, right = 100.0 - found.mean, 100.0 - found.clean
        return {
            "tests.corrupted": corrupted,
            "tests.kept": 100.0 * corrupted / right if right > 0.0 else None,
            "tests.attacked": 100.0 * attacked.attacks[0].accuracy.value,
        }
