"""A subspace beside one net and beside several: what is measured of a run at its end, and an ensemble as a cell.

::

    CELL/training/           the run                                (a measured cell)

    CELL/first/              the run                                (an ensemble)
    CELL/initial.safetensors other initial weights
    CELL/second/             the run from there: same data, same order of samples
    CELL/result.json         what was measured of both together, written last
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.measured import Values
from samnesia.study.training import Training
from samnesia.study.work import Outcome
from samnesia.train.config import RunConfig
from samnesia.train.log import RESULT, write_json
from samnesia.train.parts.checks import require
from samnesia.train.parts.net import Net
from samnesia.train.plain import differences

if TYPE_CHECKING:
    from torch import nn

    from samnesia.train.loaded import Loaded

FIRST, SECOND, INITIAL = "first", "second", "initial.safetensors"
OTHER = 1_000_003
"""What is added to a seed for the other initial weights; torch heeds the low 32 bits of a seed alone."""
COSTS = ("gradient_evaluations", "seconds", "steps")


@dataclass(frozen=True)
class Ends:
    """How well a run's net is calibrated and how it bears corruptions; of a subspace, its endpoints besides.

    Values: ``final.ece`` and ``final.corrupted`` (in percent), ``final.nll``, on the test split; ``ensemble.accuracy``
    and ``ensemble.ece`` of the mean of the logits of all endpoints, of one net those of itself; ``endpoints.accuracy``,
    the mean of the endpoints' own; ``endpoints.behind``, by how much that is below the centre's; ``endpoints.cosine``,
    the squared cosine of the first two; and ``along.lowest``, the lowest accuracy on the way over the subspace.
    BatchNorm's statistics are estimated anew at each place, from the training samples without augmentation.
    """

    bins: int = 20
    """Of the expected calibration error: as many as in the paper."""
    severity: int = 3
    """Of the corruptions, 1 to 5."""
    points: int = 9
    """Places on the way over a subspace."""

    def of(self, loaded: Loaded) -> tuple[Values, list[str]]:
        """The values of a run."""
        values = self.net(loaded)
        one = {"ensemble.accuracy": values["final.accuracy"], "ensemble.ece": values["final.ece"]}
        if loaded.subspace is None:
            return values | one, []
        from samnesia.train.along import along

        found = along(loaded, points=self.points, bins=self.bins)
        own = [place.accuracy for place in found.endpoints]
        mean = 100.0 * sum(own) / len(own)
        return values | {
            "ensemble.accuracy": 100.0 * found.ensemble.accuracy,
            "ensemble.ece": 100.0 * found.ensemble.ece,
            "endpoints.accuracy": mean,
            "endpoints.behind": (values["final.accuracy"] or 0.0) - mean,
            "endpoints.cosine": found.cosine,
            "along.lowest": 100.0 * min(place.accuracy for way in found.ways.values() for place in way),
        }, []

    def net(self, loaded: Loaded) -> Values:
        """What is measured of one net, or of several that speak together."""
        from samnesia.data.corruptions import MAIN
        from samnesia.evaluate.corruptions import corruption_errors
        from samnesia.evaluate.predictions import Sampled, predict
        from samnesia.measure.calibration.calibration import calibration_of_outputs

        said = predict(loaded, Sampled())
        found = calibration_of_outputs(said.outputs, said.targets, link=loaded.config.loss.link(), bins=self.bins)
        errors = corruption_errors(loaded, families=MAIN, severities=(self.severity,), seed=loaded.config.seed)
        return {
            "final.accuracy": 100.0 * found.accuracy.value,
            "final.ece": 100.0 * found.ece,
            "final.nll": found.nll.value,
            "final.corrupted": 100.0 - errors.mean,
        }


@dataclass(frozen=True)
class Ensembled:
    """Train two nets of the same run from different initial weights; what counts is the mean of their logits.

    Its values are those of :class:`Ends`, ``last.test_accuracy``, and what both have cost together.
    """

    config: RunConfig
    """Either run."""
    ends: Ends

    def __post_init__(self) -> None:
        require(
            isinstance(self.config.model, Net) and self.config.checkpoints.last >= 1,
            "cannot train an ensemble of this run, because that requires a model of ours, which can start from a "
            "file, and a checkpoint to read; use such a model, and set checkpoints.last to 1",
        )

    @property
    def settings(self) -> dict[str, Any]:
        """Those of a run, what is measured, and that there are two."""
        return {"ensembled": self.config.to_json(), "ends": asdict(self.ends)}

    def run(self, directory: Path) -> None:
        """Train both, or go on where that was interrupted; then measure."""
        from samnesia.train.loaded import load

        initial = (directory / INITIAL).resolve()
        for name, training in ((FIRST, self._first), (SECOND, self._second(str(initial)))):
            if not (directory / name / RESULT).exists():
                if name == SECOND:
                    _write_initial(self.config, initial)
                training.run(directory / name)
        first, second = (load(directory / name) for name in (FIRST, SECOND))
        both = replace(first, model=_together([first.model, second.model]))
        write_json(directory / RESULT, {"settings": self.settings, "values": self.ends.of(both)[0]})

    def read(self, directory: Path) -> Outcome:
        """Read both; raises ConfigurationError when a file is damaged, or of other settings."""
        try:
            content = json.loads((directory / RESULT).read_text(encoding="utf-8"))
            settings, values = content["settings"], content["values"]
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigurationError(
                f"cannot read {directory / RESULT}, because it is damaged; remove it; the same command makes it again"
            ) from None
        if found := differences(settings, self.settings):
            raise ConfigurationError(
                f"cannot use the result in {directory}, because it was run with other settings ({'; '.join(found)}); "
                "use another --out, or the settings of the first run"
            )
        first = self._first.read(directory / FIRST)
        second = self._second(str((directory / INITIAL).resolve())).read(directory / SECOND)
        costs = {name: (first.values[name] or 0.0) + (second.values[name] or 0.0) for name in COSTS}
        return Outcome(
            {**values, **costs, "last.test_accuracy": values["final.accuracy"]},
            {},
            first.seconds + second.seconds,
            first.environment,
            (*first.notes, *second.notes),
        )

    def done(self, directory: Path) -> float:
        """The share of the two runs."""
        return (self._first.done(directory / FIRST) + Training(self.config).done(directory / SECOND)) / 2.0

    @property
    def _first(self) -> Training:
        return Training(self.config)

    def _second(self, initial: str) -> Training:
        model = self.config.model
        return Training(
            replace(self.config, model=replace(model, weights=initial) if isinstance(model, Net) else model)
        )


def _write_initial(config: RunConfig, path: Path) -> None:
    from safetensors.torch import save_file

    from samnesia.train import randomness

    problem = config.data.load(config.seed)
    with randomness.isolated(config.seed + OTHER):
        net = config.model.build(problem.shape, problem.num_outputs)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(net.state_dict(), path)


def _together(nets: list[nn.Module]) -> nn.Module:
    from samnesia.models.subspaces.ensemble import Ensemble

    return Ensemble(nets).eval()
