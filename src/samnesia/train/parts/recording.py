"""What is measured along training, and on which steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samnesia.perturb.errors import SamnesiaError
from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from samnesia.measure.forgetting.probes import Probe
    from samnesia.train.record.scene import Scene

LAST = 2 / 3
"""From this share of the steps on, the second half of the points lies: the late phase should matter most."""


@dataclass(frozen=True)
class RecordForgetting:
    """What perturbations make the model forget: the method's own, and one that is common to all models."""

    rho: float = 0.05
    """Radius of the common perturbation, which is SAM's on one batch: the same for all runs that are compared."""
    nulls: bool = False
    """Also under the nulls of the own perturbation: random of its norm, random of its rise of the loss, of permuted
    labels, of another batch. They make recording about three times as long."""

    def __post_init__(self) -> None:
        _check_radius(self.rho)

    def values(self, scene: Scene) -> dict[str, Any]:
        """What :func:`samnesia.measure.probe_forgetting` finds; ``own`` is None on a step that is not perturbed.

        A null that cannot be made, because the loss does not rise, say, leaves a sentence under ``cannot``.
        """
        common = scene.forgetting(scene.common(self.rho))
        found = {"own": None if scene.own is None else scene.forgetting(scene.own), "common": common}
        if self.nulls and scene.own is not None:
            from samnesia.train.record.scene import nulls  # with torch, which settings do without

            found |= {name: self._null(scene, probe) for name, probe in nulls(scene.own).items()}
        return found

    @staticmethod
    def _null(scene: Scene, probe: Probe) -> dict[str, Any]:
        try:
            return scene.forgetting(probe)
        except SamnesiaError as error:
            return {"cannot": str(error)}


@dataclass(frozen=True)
class RecordSharpness:
    """m-sharpness: the rise of the loss under SAM's perturbation of each m samples."""

    rho: float = 0.05
    """Radius: the same for all runs that are compared."""

    def __post_init__(self) -> None:
        _check_radius(self.rho)

    def values(self, scene: Scene) -> dict[str, Any]:
        """What :func:`samnesia.measure.m_sharpness` finds, for the m of training."""
        return scene.sharpness(self.rho)


@dataclass(frozen=True)
class Recording:
    """Measures along training, all on the same steps and samples; their figures are in ``records.jsonl``."""

    forgetting: RecordForgetting | None = None
    """What perturbations make the model forget; None is not measured."""
    sharpness: RecordSharpness | None = None
    """m-sharpness; None is not measured."""
    points: int = 20
    """On how many steps: half of them evenly over the first two thirds of the run, half over the last third."""
    perturbations: int = 3
    """How many batches perturb on each of these steps, each by itself."""
    samples: int = 256
    """Training samples that are looked at, in whole batches and one more at least than perturb; as many held out."""

    def __post_init__(self) -> None:
        for name, least in (("points", 2), ("perturbations", 1), ("samples", 1)):
            value = getattr(self, name)
            require(value >= least, f"cannot record with {name} {value}, because it must be {least} or more; change it")

    @property
    def measures(self) -> dict[str, RecordForgetting | RecordSharpness]:
        """What is measured, by name."""
        found = {"forgetting": self.forgetting, "sharpness": self.sharpness}
        return {name: measure for name, measure in found.items() if measure is not None}

    def due(self, total_steps: int, interval: int = 1) -> tuple[int, ...]:
        """The steps before which is measured, of so many; those of which every ``interval``-th perturbs are hit."""
        early, late = self.points - self.points // 2, self.points // 2
        turn = LAST * total_steps
        steps = [i * turn / early for i in range(early)]
        steps += [turn + i * (total_steps - 1 - turn) / max(1, late - 1) for i in range(late)]
        return tuple(sorted({max(0, math.floor(step + 1e-9) // interval * interval) for step in steps}))


def _check_radius(rho: float) -> None:
    require(
        0.0 <= rho < math.inf,
        f"cannot perturb by rho {rho}, because a radius is a finite size; use 0.05, say",
    )
