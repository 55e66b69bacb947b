"""A training run and what is measured of its final weights, as the work of one cell.

::

    CELL/training/      the run, as samnesia train leaves it
    CELL/result.json    what was measured of it, written last

A cell that was killed goes on where it was: the run from its last checkpoint, measuring from its beginning.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import Field, asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from samnesia.perturb.errors import ConfigurationError, SamnesiaError
from samnesia.study.training import Training
from samnesia.study.work import Outcome
from samnesia.train.config import RunConfig
from samnesia.train.log import RESULT, write_json
from samnesia.train.parts.checks import require
from samnesia.train.plain import differences

if TYPE_CHECKING:
    from samnesia.measure.forgetting.probes import Probe
    from samnesia.measure.subject import Subject
    from samnesia.train.loaded import Loaded

TRAINING = "training"
"""Where the run lies in the directory of the cell, and its configuration in the settings."""
TRAINING_SHARE = 0.9
"""Of the work of a cell, as far as the time left is told."""
Values = dict[str, float | None]


class Look(Protocol):
    """What is measured of a run that has ended: a frozen dataclass, whose fields are settings of the cell."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def of(self, loaded: Loaded) -> tuple[Values, list[str]]:
        """The values of the run with these weights, its last ones, and what a reader has to know of them."""


@dataclass(frozen=True)
class AtEnd:
    """What is measured of the final weights: the same for all runs that are compared, on the same samples of a seed.

    Values: ``final.lambda_max`` (the largest eigenvalue of the Hessian) and ``final.trace``; ``final.worst`` and
    ``final.worst_adaptive`` (the highest rise of the loss in the Euclidean and in the adaptive ball);
    ``final.m_sharpness``; and forgetting by the names of :mod:`samnesia.study.recorded`, such as
    ``final.common.exposed.superfluous`` (SAM's perturbation) or ``final.own.exposed.superfluous`` (the run's own), and
    of its nulls, ``final.norm_matched``, ``final.rise_matched``, ``final.permuted_labels`` and ``final.other_batch``;
    ``final.seconds`` is what measuring has cost. A null that cannot be made is not there: nothing random can be matched
    to a perturbation under which the loss does not rise.
    """

    rho: float = 0.05
    """Radius of the Euclidean ball, of m-sharpness and of the common probe."""
    adaptive_rho: float = 0.5
    """Radius of the adaptive ball: relative to the size of each weight."""
    m: int = 64
    """Samples that share a perturbation, for m-sharpness and the common probe; the own one has that of training."""
    samples: int = 384
    """Training samples that are looked at, drawn by the seed of the run; as many held out."""
    perturbations: int = 3
    """Batches that perturb, each by itself."""
    steps: int = 10
    """Moves of the climb to the worst case; there is one climb, from the weights."""
    products: int = 100
    """Most passes for the eigenvalue."""
    vectors: int = 16
    """Random vectors for the trace; 0 leaves it out."""
    nulls: bool = True
    """Whether the nulls of the own perturbation are measured."""

    def __post_init__(self) -> None:
        for name, least in (("m", 1), ("perturbations", 1), ("steps", 1), ("products", 2), ("vectors", 0),
                            ("samples", self.m * self.perturbations)):  # fmt: skip
            value = getattr(self, name)
            require(
                value >= least,
                f"cannot measure final weights with {name} {value}, because it must be {least} or more; change it",
            )
        for name in ("rho", "adaptive_rho"):
            require(
                0.0 < getattr(self, name) < float("inf"),
                f"cannot measure final weights with {name} {getattr(self, name)}, because a radius is a positive "
                "number; change it",
            )

    def of(self, loaded: Loaded) -> tuple[Values, list[str]]:
        """The values of a run's final weights, and what a reader has to know of them.

        What cannot be measured, at weights that are not finite, say, is None or not there.
        """
        values: Values = dict.fromkeys(f"final.{name}" for name in ("lambda_max", "worst", "worst_adaptive",
                                                                    "m_sharpness"))  # fmt: skip
        notes: list[str] = []
        parts: dict[str, Callable[[Loaded], Values]] = {
            "curvature": self._curvature, "sharpness": self._sharpness, "forgetting": self._forgetting
        }  # fmt: skip
        for name, part in parts.items():
            try:
                values |= {f"final.{key}": value for key, value in part(loaded).items()}
            except SamnesiaError as error:
                notes.append(f"{name} of the final weights: {error}.")
        if (short := values.pop("final.unconverged", None)) is not None:
            notes.append(f"λmax of the final weights has a relative residual of {short:.2g} only.")
        return values, notes

    def _subject(self, loaded: Loaded, m: int) -> tuple[Subject, Any]:
        from samnesia.measure.subject import Subject

        samples = loaded.samples("train", self.samples, seed=loaded.config.seed, batch_size=m)
        return Subject(loaded.model, loaded.criterion, samples), samples

    def _curvature(self, loaded: Loaded) -> Values:
        from samnesia.measure.curvature.spectrum import eigenpairs
        from samnesia.measure.curvature.trace import moments

        subject, _ = self._subject(loaded, self.samples)
        pair = eigenpairs(subject, 1, ends="largest", tolerance=1e-2, max_products=self.products).largest[0]
        found: Values = {"lambda_max": pair.value}
        if not pair.converged:
            found["unconverged"] = pair.residual
        if self.vectors:
            found["trace"] = moments(subject, vectors=self.vectors).trace.value
        return found

    def _sharpness(self, loaded: Loaded) -> Values:
        from samnesia.measure.sharpness.micro import m_sharpness
        from samnesia.study.looks import rises

        subject, _ = self._subject(loaded, self.samples)
        found = rises(subject, self.rho, self.adaptive_rho, steps=self.steps, seed=loaded.config.seed)
        found["m_sharpness"] = m_sharpness(subject, self.rho, self.m).rise.as_dict()["value"]
        return found

    def _forgetting(self, loaded: Loaded) -> Values:
        from samnesia.measure.forgetting.probes import CommonProbe
        from samnesia.train.record.scene import nulls

        own = loaded.perturbation()
        found = self._under(loaded, "common", CommonProbe(rho=self.rho), self.m)
        if own is not None:
            probe = CommonProbe(rho=own.rho, ball=own.ball, ascent=own.ascent, objective=own.objective)
            found |= self._under(loaded, "own", probe, own.m)
            for name, null in nulls(probe).items() if self.nulls else ():
                with suppress(ConfigurationError):
                    found |= self._under(loaded, name, null, own.m)
        return found

    def _under(self, loaded: Loaded, name: str, probe: Probe, m: int) -> Values:
        from samnesia.measure.forgetting.probing import HeldOut, probe_forgetting
        from samnesia.study.recorded import flat

        subject, samples = self._subject(loaded, m)
        held_out = None
        if loaded.problem.validation is not None:
            drawn = loaded.samples("validation", self.samples, seed=loaded.config.seed, batch_size=m)
            held_out = HeldOut(drawn, drawn.groups, drawn.second_labels)
        forgetting = probe_forgetting(
            subject, probe, perturbations=min(self.perturbations, max(1, len(samples) // m)), held_out=held_out,
            groups=samples.groups, others=samples.second_labels, link=loaded.config.loss.link(),
        )  # fmt: skip
        return flat(forgetting.as_dict(), name)


@dataclass(frozen=True)
class Measured:
    """Train one run, then measure its final weights.

    Its values are those of :class:`samnesia.study.training.Training`, what the run has recorded among them, and those
    of ``at_end`` (:class:`AtEnd`, or another :class:`Look`). ``seconds`` is the wall time of training, recording
    included; the time of the cell has that of measuring besides.
    """

    config: RunConfig
    """The run; it keeps a checkpoint of its final weights."""
    at_end: Look = field(default_factory=AtEnd)
    """What is measured of them."""

    def __post_init__(self) -> None:
        require(
            self.config.checkpoints.last >= 1,
            "cannot measure the final weights of a run that keeps none, because they are read from its last "
            "checkpoint; set checkpoints.last to 1",
        )

    @property
    def training(self) -> Training:
        """The run by itself."""
        return Training(self.config)

    @property
    def settings(self) -> dict[str, Any]:
        """Those of both."""
        at_end = json.loads(json.dumps(asdict(self.at_end)))  # as they are read back: lists for tuples
        return {TRAINING: self.training.settings, "at_end": at_end}

    def run(self, directory: Path) -> None:
        """Train in ``directory``/training, or go on there; then measure."""
        from samnesia.train.loaded import load

        run = directory / TRAINING
        if not (run / RESULT).exists():
            self.training.run(run)
        self.training.read(run)  # of these settings, or refused
        began = time.perf_counter()
        with _threads(self.config.hardware.threads):
            values, notes = self.at_end.of(load(run))
        seconds = time.perf_counter() - began
        content = {
            "settings": self.settings,
            "trained": _digest(run),
            "seconds": seconds,
            "values": values | {"final.seconds": seconds},
            "notes": notes,
        }
        write_json(directory / RESULT, content)

    def read(self, directory: Path) -> Outcome:
        """Read both; raises ConfigurationError when a file is damaged, or of other settings."""
        trained = self.training.read(directory / TRAINING)
        content = _read(directory)
        again = f"remove the directory {directory} and run the same command again"
        if found := differences(content["settings"]["at_end"], self.settings["at_end"]):
            raise ConfigurationError(
                f"cannot use the result in {directory}, because it was measured with other settings "
                f"({'; '.join(found)}); use another --out, or the settings of the first run"
            )
        require(
            content["trained"] == _digest(directory / TRAINING),
            f"cannot use the result in {directory}, because its run has changed since it was measured; {again}",
        )
        return Outcome(
            {**trained.values, **content["values"]},
            trained.curves,
            trained.seconds + content["seconds"],
            trained.environment,
            (*trained.notes, *content["notes"]),
        )

    def done(self, directory: Path) -> float:
        """The share of the run, of which measuring is the end."""
        return TRAINING_SHARE * self.training.done(directory / TRAINING)


def _read(directory: Path) -> dict[str, Any]:
    path = directory / RESULT
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        whole = content.keys() >= {"settings", "trained", "seconds", "values", "notes"}
    except (OSError, ValueError, AttributeError):
        whole = False
    require(whole, f"cannot read {path}, because it is damaged; remove it; the same command measures again")
    return content


def _digest(run: Path) -> str:
    return hashlib.sha256((run / RESULT).read_bytes()).hexdigest()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
