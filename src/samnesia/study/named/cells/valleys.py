"""Where late SAM ends up, beside plain SGD: curvature, the way between the two ends, and how SAM leaves SGD's end.

The tests of Zhou et al., ICLR 2025 (methods.md §6), as what is measured of a run at its end. Plain SGD is a run of the
same seed and settings; up to the epoch from which on SAM perturbs, both are the same run, bit by bit::

    CELL/training/     the run
    CELL/plain/        plain SGD, trained for the comparison, where the run is another
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from samnesia.study.measured import AtEnd, Values
from samnesia.train.config import Perturbed, RunConfig, Unperturbed
from samnesia.train.log import RESULT

if TYPE_CHECKING:
    from samnesia.measure.subject import Subject
    from samnesia.train.loaded import Loaded

PLAIN = "plain"
"""Where plain SGD lies, beside the run."""


@dataclass(frozen=True)
class InValley(AtEnd):
    """The largest eigenvalue at the end, and of runs that are compared with plain SGD, the valley and the escape.

    Values: ``final.lambda_max``; ``valley.error`` and ``valley.loss``, how high error rate (in percent) and loss rise
    on the straight way from SGD's end to the run's, above the line between the ends, on training samples, and
    ``valley.test_error`` on those of the test; ``valley.distance``; all of them 0 for SGD itself. ``escape.rate``, by
    how much the logarithm of the training loss grows in a step that starts at SGD's end: under SAM of radius ``rho``,
    for plain SGD under SGD itself, on the same batches.
    """

    compared: bool = True
    """Whether the run is held against plain SGD."""
    points: int = 15
    """Places on the way, ends included."""
    lr: float = 1e-3
    """Learning rate of the escape."""
    escape_steps: int = 30
    """Its steps, one batch each."""
    repeats: int = 2
    """How often, each with another order of batches."""

    def of(self, loaded: Loaded) -> tuple[Values, list[str]]:
        """The values of a run."""
        found = self._curvature(loaded)
        found.pop("unconverged", None)
        values: Values = {f"final.{name}": value for name, value in found.items()}
        if not self.compared:
            return values, []
        plain = self._plain(loaded)
        way: Values = dict.fromkeys((f"valley.{name}" for name in ("error", "test_error", "loss", "distance")), 0.0)
        if plain is not loaded:
            way = self._way(loaded, plain)
        return values | way | {"escape.rate": self._escape(plain, under_sam=plain is not loaded)}, []

    def _plain(self, loaded: Loaded) -> Loaded:
        """Plain SGD of the same seed, trained where the run is another."""
        from samnesia.study.training import Training
        from samnesia.train.loaded import load

        config = plain_of(loaded.config)
        if config == loaded.config:
            return loaded
        directory = loaded.directory.parent / PLAIN
        if not (directory / RESULT).exists():
            Training(config).run(directory)
        return load(directory)

    def _way(self, loaded: Loaded, plain: Loaded) -> Values:
        from samnesia.measure.landscape.connection import connect

        train, test = (self._all(plain, split) for split in ("train", "test"))
        found = connect(train, loaded.model, held_out=test, points=self.points, span=(0.0, 1.0))
        assert found.held_out is not None
        on_train, on_test = found.train.error_barrier, found.held_out.error_barrier
        return {
            "valley.error": None if on_train is None else 100.0 * on_train.height,
            "valley.test_error": None if on_test is None else 100.0 * on_test.height,
            "valley.loss": found.train.loss_barrier.height,
            "valley.distance": found.distance,
        }

    def _escape(self, plain: Loaded, *, under_sam: bool) -> float | None:
        from samnesia.measure.estimate import plain as finite
        from samnesia.measure.landscape.escaping import escape

        subject = self._all(plain, "train", batch_size=plain.config.batch_size)
        found = escape(
            subject, rho=self.rho, lr=self.lr, steps=self.escape_steps, repeats=self.repeats, seed=plain.config.seed
        )
        return finite((found.perturbed if under_sam else found.control).rate.value)

    @staticmethod
    def _all(loaded: Loaded, split: str, batch_size: int | None = None) -> Subject:
        from samnesia.measure.subject import Subject

        return Subject(loaded.model, loaded.criterion, loaded.samples(split, batch_size=batch_size))


def plain_of(config: RunConfig) -> RunConfig:
    """The run without a perturbation."""
    return replace(config, method=Unperturbed(), when=Perturbed())
