"""A federated or a central run, and the curvature of the model that it ends with.

::

    CELL/training/      the run
    CELL/result.json    what was measured of it, written last
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from samnesia.federated.config import FEDERATED, FederatedConfig, read
from samnesia.perturb.errors import ConfigurationError, SamnesiaError
from samnesia.study.training import Training, outcome_of
from samnesia.study.work import Outcome
from samnesia.train.log import METRICS, RESULT, read_result, write_json
from samnesia.train.parts.checks import require
from samnesia.train.plain import differences

TRAINING = "training"
TRAINING_SHARE = 0.95
Values = dict[str, float | None]


@dataclass(frozen=True)
class FederatedTraining:
    """A federated run; one that was interrupted goes on after the last round that was kept.

    Its values are those of :class:`samnesia.study.training.Training`; a run with an average counts by the average.
    """

    config: FederatedConfig
    """The run."""

    @property
    def settings(self) -> dict[str, Any]:
        """The whole configuration."""
        return self.config.to_json()

    def run(self, directory: Path) -> None:
        """Train in ``directory``, or go on there."""
        from samnesia.federated.run import federate, resume

        if (directory / FEDERATED).exists():
            resume(directory)
        else:
            federate(self.config, directory)

    def read(self, directory: Path) -> Outcome:
        """Read the result in ``directory``; raises ConfigurationError when it is damaged or of other settings."""
        run = read_result(directory)
        found = differences(read(directory).to_json(), self.settings)
        require(
            not found,
            f"cannot use the result in {directory}, because it was run with other settings ({'; '.join(found)}); use "
            "another --out, or the settings of the first run",
        )
        return outcome_of(run)

    def done(self, directory: Path) -> float:
        """The share of its rounds that are evaluated and logged."""
        try:
            evaluated = (directory / METRICS).read_bytes().count(b"\n")
        except OSError:
            return 0.0
        every = self.config.training.evaluation.every_epochs
        return min(evaluated * every / self.config.rounds, 1.0)


@dataclass(frozen=True)
class Curved:
    """A run, and λmax and the trace of the Hessian of its final weights, or of their average where it has one.

    Values are those of the run; ``tail.test_accuracy``, the mean over the last rounds or epochs that are evaluated;
    ``final.lambda_max`` and ``final.trace``, of the loss on training samples of all clients.
    """

    training: FederatedTraining | Training
    """The run; it keeps a checkpoint of its final weights."""
    last: int
    """Evaluations at the end whose mean accuracy counts."""
    samples: int = 400
    """Training samples that are looked at, drawn by the seed of the run."""
    products: int = 100
    """Most passes for the eigenvalue."""
    vectors: int = 16
    """Random vectors for the trace."""

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the run, and of what is measured."""
        looks = {name: getattr(self, name) for name in ("last", "samples", "products", "vectors")}
        return {TRAINING: self.training.settings, "looks": looks}

    def run(self, directory: Path) -> None:
        """Train, or go on; then measure."""
        place = directory / TRAINING
        if not (place / RESULT).exists():
            place.mkdir(parents=True, exist_ok=True)
            self.training.run(place)
        self.training.read(place)  # of these settings, or refused
        began = time.perf_counter()
        values, notes = self._curvature(place)
        content = {"settings": self.settings, "seconds": time.perf_counter() - began, "values": values, "notes": notes}
        write_json(directory / RESULT, content)

    def read(self, directory: Path) -> Outcome:
        """Read both; raises ConfigurationError when a file is damaged, or of other settings."""
        trained = self.training.read(directory / TRAINING)
        path = directory / RESULT
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            found = differences(content["settings"], self.settings)
            values, notes, seconds = content["values"], content["notes"], content["seconds"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise ConfigurationError(
                f"cannot read {path}, because it is damaged; remove it; the same command measures again"
            ) from None
        require(
            not found,
            f"cannot use the result in {directory}, because it was measured with other settings ({'; '.join(found)}); "
            "use another --out, or the settings of the first run",
        )
        tail = [value for value in trained.curves["test_accuracy"][-self.last :] if value is not None]
        return Outcome(
            {**trained.values, **values, "tail.test_accuracy": mean(tail) if len(tail) == self.last else None},
            trained.curves,
            trained.seconds + seconds,
            trained.environment,
            (*trained.notes, *notes),
        )

    def done(self, directory: Path) -> float:
        """The share of the run, of which measuring is the end."""
        return TRAINING_SHARE * self.training.done(directory / TRAINING)

    def _curvature(self, place: Path) -> tuple[Values, list[str]]:
        from samnesia.measure.curvature.spectrum import eigenpairs
        from samnesia.measure.curvature.trace import moments
        from samnesia.measure.subject import Subject
        from samnesia.train.loaded import load
        from samnesia.train.log import read_config

        values: Values = {"final.lambda_max": None, "final.trace": None}
        notes: list[str] = []
        try:
            loaded = load(place, averaged=read_config(place).average is not None, device="cpu")
            samples = loaded.samples("train", self.samples, seed=loaded.config.seed, batch_size=self.samples)
            subject = Subject(loaded.model, loaded.criterion, samples)
            pair = eigenpairs(subject, 1, ends="largest", tolerance=1e-2, max_products=self.products).largest[0]
            values["final.lambda_max"] = pair.value
            if not pair.converged:
                notes.append(f"λmax of the final weights has a relative residual of {pair.residual:.2g} only.")
            values["final.trace"] = moments(subject, vectors=self.vectors).trace.value
        except SamnesiaError as error:
            notes.append(f"curvature of the final weights: {error}.")
        return values, notes
