"""A run, or one of its checkpoints, read back to be measured or evaluated.

::

    loaded = load("runs/sam")                                  # its last checkpoint
    loaded = load("runs/sam/checkpoints/best")                 # or epoch0012-step000000
    loaded = load("OUT/cells/sam,steps-seed3/result.json")     # that of a study's cell
    samples = loaded.samples("train", 1000)
    subject = Subject(loaded.model, loaded.criterion, samples)

Nothing is written. What is there for training only is left out: augmentation, mixing, label smoothing, and the lower
precision of a mixed forward.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from samnesia.data.loader import Plan
from samnesia.data.problem import Problem, Split
from samnesia.models.subspaces.subspace import Subspace
from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.ascents import Ascent
from samnesia.perturb.parts.ball import Ball
from samnesia.perturb.parts.objectives import Criterion
from samnesia.perturb.parts.remembering import MomentumAscent
from samnesia.perturb.parts.schedules import radius_at
from samnesia.train import log, randomness
from samnesia.train.checkpoint import AVERAGE, BEST, DIRECTORY, MANIFEST, MODEL, Position, Store
from samnesia.train.config import RunConfig
from samnesia.train.drawn import Drawn
from samnesia.train.parts.averages import Average
from samnesia.train.parts.methods import method_name

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class OwnPerturbation:
    """The perturbation that a run was trained with, as it stands at a checkpoint.

    Attributes:
        method: its name, as in results.
        rho: the radius there, by its schedule.
        ball: the geometry in which it is meant.
        ascent: how the perturbation is found.
        objective: what the ascent increases; None is the loss.
        m: samples that share a perturbation.
        fires: whether the run perturbs at this step at all.
    """

    method: str
    rho: float
    ball: Ball
    ascent: Ascent
    objective: Criterion | None
    m: int
    fires: bool

    def describe(self) -> dict[str, Any]:
        """In plain values."""
        fields = {"method": self.method, "rho": self.rho, "m": self.m, "perturbs_here": self.fires}
        return {**fields, "ball": self.ball.describe(), "ascent": repr(self.ascent),
                "objective": None if self.objective is None else repr(self.objective)}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Loaded:
    """A checkpoint of a run, ready to be looked at.

    Attributes:
        directory: of the run.
        position: how far it had come.
        config: what it was trained with.
        model: with the weights of the checkpoint, in evaluation mode.
        criterion: of evaluation: the training loss without smoothing, a mean over samples.
        problem: the splits.
        averaged: whether the weights are those of the average.
        digest: of weights and configuration: what was measured of equal digests need not be measured again.
        subspace: the line, curve or simplex that was trained, whose centre the model is; None for one net.
    """

    directory: Path
    position: Position
    config: RunConfig
    model: nn.Module
    criterion: Criterion
    problem: Problem = field(repr=False)
    averaged: bool
    digest: str
    subspace: Subspace | None = field(default=None, repr=False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def split(self, name: str) -> Split:
        """The split of this name; raises ConfigurationError if the problem has none."""
        found = getattr(self.problem, name) if name in SPLITS else None
        if found is None:
            there = [name for name in SPLITS if getattr(self.problem, name) is not None]
            raise ConfigurationError(
                f"cannot look at the {name!r} split of {self.directory}, because its data have "
                f"{', '.join(there)} only; choose one of them"
            )
        return found  # type: ignore[no-any-return]

    def samples(
        self, split: str = "train", count: int | None = None, *, seed: int = 0, batch_size: int | None = None
    ) -> Drawn:
        """Samples of a split as evaluation sees them, in the order of the data set.

        Args:
            split: train, validation or test.
            count: how many to draw; None, and more than there are, takes all.
            seed: which are drawn.
            batch_size: samples in a batch; None is that of the run's evaluation.

        Raises:
            ConfigurationError: for a split that is not there, an empty one, or a count or batch size below one.
        """
        return Drawn(
            self.split(split),
            split,
            count,
            seed=seed,
            batch_size=self.config.evaluation.batch_size if batch_size is None else batch_size,
            dtype=next(self.model.parameters()).dtype,
            device=self.device,
            workers=self.config.hardware.workers,
        )

    def perturbation(self) -> OwnPerturbation | None:
        """The perturbation of the method that it was trained with.

        None for the base optimizer alone, and where weights and a batch do not decide it, but also what earlier steps
        have left: averages of gradients, a momentum, the rounds before on the same batch. None for a subspace too,
        where it is one of all endpoints.
        """
        if self.subspace is not None:
            return None
        config, plan = self.config, _plan(self.config, self.problem)
        total = config.epochs * plan.steps
        step = min(self.position.epoch * plan.steps + self.position.step, total - 1)
        # never stepped: the method's parts are wanted, of which one asks for an optimizer with momentum
        optimizer = torch.optim.SGD(self.model.parameters(), momentum=0.9)
        method = config.method.build(config.training(self.model, optimizer, self.problem, plan.steps, smoothed=False))
        ascent = method.ascent
        if ascent is None or ascent.remembers or isinstance(ascent, MomentumAscent) or method.inner is not None:
            return None
        return OwnPerturbation(
            method=method_name(config.method),
            rho=radius_at(method.rho, step, config.learning_rate(step, plan.steps)),
            ball=method.ball,
            ascent=ascent,
            objective=method.objective,
            m=config.micro_batch or config.batch_size,
            fires=bool(config.window(plan.steps)(step)),
        )

    def left_out(self) -> list[str]:
        """What of training is no part of the loss here, for people."""
        config, found = self.config, ["augmentation"]
        if smoothing := getattr(config.loss, "smoothing", 0.0):
            found.append(f"label smoothing of {smoothing:g}")
        if config.consolidation is not None:
            found.append(f"the penalty of weights, of strength {config.consolidation.strength:g}")
        if self.problem.mix is not None:
            found.append("mixing of samples")
        if "mixed" in config.hardware.precision:
            found.append(f"precision {config.hardware.precision}")
        if self.subspace is not None:
            found.append(f"all of {self.subspace.shape.called} but its {self.subspace.shape.centre_called}")
        return found

    def describe(self) -> dict[str, Any]:
        """What has to stand beside each figure of it."""
        own = self.perturbation()
        return {
            "recipe": self.config.recipe,
            "method": method_name(self.config.method),
            "seed": self.config.seed,
            "epoch": self.position.epoch,
            "step": self.position.step,
            "epochs": self.config.epochs,
            "weights": self._weights(),
            "perturbation": None if own is None else own.describe(),
            "left_out": self.left_out(),
        }

    def _weights(self) -> str:
        as_trained = type(self.config.average).__name__ if self.averaged else "as trained"
        if self.subspace is None:
            return as_trained
        return f"{as_trained}, {self.subspace.shape.centre_called} of {self.subspace.shape.called}"


class SavedRun:
    """A run on disk, whose checkpoints share its data.

    Raises:
        ConfigurationError: if there is no run in the directory, or it has no checkpoint.
    """

    def __init__(self, directory: Path) -> None:
        self.directory, self.config = directory, log.read_config(directory)
        self._store = Store(directory)
        self.positions = tuple(self._store.positions())
        """Of the checkpoints that were kept, in order."""
        if not self.positions:
            raise ConfigurationError(
                f"cannot look at the run in {directory}, because it has no checkpoint; let it train on (samnesia "
                f"resume {directory}), or name another run"
            )

    @cached_property
    def problem(self) -> Problem:
        """Its data."""
        with randomness.isolated(self.config.seed):
            return self.config.data.load(self.config.seed)

    @cached_property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of an epoch."""
        return _plan(self.config, self.problem).steps

    def stage(self, position: Position) -> str:
        """How far it had come there, in words."""
        return f"epoch {position.epoch}" + (f" and {position.step} steps" if position.step else "")

    def digest(self, position: Position, *, averaged: bool = False) -> str:
        """What stands for weights and configuration of a checkpoint; the weights are not read.

        Raises:
            ConfigurationError: if the checkpoint is damaged, or has no average.
        """
        try:
            manifest = json.loads((self._store.path(position) / MANIFEST).read_text(encoding="utf-8"))
            entry = manifest["files"].get(AVERAGE if averaged else MODEL)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise self._damaged(position, f"its {MANIFEST} cannot be read") from None
        if entry is None:
            raise self._without_average(position)
        decisive = json.dumps([entry, self.config.to_json()], sort_keys=True)
        return hashlib.sha256(decisive.encode()).hexdigest()

    def load(self, position: Position, *, averaged: bool = False, device: str | torch.device | None = None) -> Loaded:
        """Read a checkpoint.

        Args:
            position: one of :attr:`positions`.
            averaged: with the average of the weights in their place.
            device: for the model; None is a GPU where there is one.

        Raises:
            ConfigurationError: for a damaged checkpoint, one of another model, or one without an average.
        """
        digest = self.digest(position, averaged=averaged)
        try:
            checkpoint = self._store.read(position)
        except ConfigurationError as error:
            raise self._damaged(position, str(error).partition(", because ")[2]) from None
        weights = checkpoint.average if averaged else checkpoint.model
        if weights is None:
            raise self._without_average(position)
        problem = self.problem
        with randomness.isolated(self.config.seed):
            config = replace(self.config, model=self.config.model.at_random())
            model = config.network(problem.shape, problem.num_outputs)
        if self.config.hardware.precision == "64-true":
            model = model.double()
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            raise ConfigurationError(
                f"cannot load {self._store.path(position)}, because it is of another model than {log.CONFIG} says "
                f"({' '.join(str(error).split())}); restore the {log.CONFIG} that the run began with"
            ) from None
        subspace = model if isinstance(model, Subspace) else None
        if subspace is not None:
            self._check_statistics(subspace, position, averaged=averaged)
            model = subspace.net()
        model.eval().to(device_of(device))
        criterion = self.config.loss.of_evaluation()
        if subspace is not None:
            subspace.eval().to(next(model.parameters()).device)
        return Loaded(self.directory, position, self.config, model, criterion, problem, averaged, digest, subspace)

    def _check_statistics(self, subspace: Subspace, position: Position, *, averaged: bool) -> None:
        """Refuse a checkpoint whose BatchNorm statistics are means over a subspace: those of no net."""
        every, last = self.config.evaluation.every_epochs, self.config.epochs
        anew = position.step == 0 and (position.epoch == last or (not averaged and position.epoch % every == 0))
        if not anew and any(isinstance(module, _BatchNorm) for module in subspace.endpoints[0].modules()):
            raise ConfigurationError(
                f"cannot look at {self._store.path(position)}, because BatchNorm's statistics at the centre of "
                f"{subspace.shape.called} are estimated where a run is evaluated, of averages at the end; "
                "name a checkpoint of such an epoch"
            )

    def _damaged(self, position: Position, reason: str) -> ConfigurationError:
        others = [other.name for other in self.positions if other != position]
        advice = f"name another one ({', '.join(others[-3:])})" if others else "train the run again"
        return ConfigurationError(f"cannot use the checkpoint {self._store.path(position)}, because {reason}; {advice}")

    def _without_average(self, position: Position) -> ConfigurationError:
        course: Average | None = self.config.average
        reason = "the run has none" if course is None else f"it begins after epoch {course.start_epoch:g}"
        return ConfigurationError(
            f"cannot take the average of the weights at {self._store.path(position)}, because {reason}; take the "
            "weights themselves"
        )


def find(path: Path | str) -> tuple[SavedRun, Position]:
    """The run that a path belongs to, and the checkpoint that it means.

    Args:
        path: the directory of a run, or a file in it such as ``result.json`` (its last checkpoint); or one of its
            checkpoints, ``RUN/checkpoints/best`` included.

    Raises:
        ConfigurationError: if there is none.
    """
    path = Path(path)
    if not path.exists() and not path.is_symlink():
        raise ConfigurationError(
            f"cannot find {path}, because there is no such file or directory; name the directory of a run, or one of "
            "its checkpoints"
        )
    if path.parent.name == DIRECTORY:
        run = SavedRun(path.parent.parent)
        name = path.resolve().name
        for position in run.positions:
            if position.name == name:
                return run, position
        known = ", ".join([*(position.name for position in run.positions[-3:]), BEST])
        raise ConfigurationError(
            f"cannot use {path}, because it is no checkpoint of {run.directory}; there are {known}"
        )
    run = SavedRun(path.parent if path.is_file() and path.name in (log.RESULT, log.CONFIG) else path)
    return run, run.positions[-1]


def load(path: Path | str, *, averaged: bool = False, device: str | torch.device | None = None) -> Loaded:
    """Read a checkpoint of a run; see :func:`find` for what ``path`` may be.

    Args:
        path: a run (its last checkpoint is read), or a checkpoint.
        averaged: with the average of the weights in their place.
        device: for the model; None is a GPU where there is one.

    Raises:
        ConfigurationError: if there is none, or it cannot be read.
    """
    run, position = find(path)
    return run.load(position, averaged=averaged, device=device)


def _plan(config: RunConfig, problem: Problem) -> Plan:
    return Plan(len(problem.train), config.batch_size, None, None, config.drop_last, config.seed)


def device_of(device: str | torch.device | None) -> torch.device:
    """The device of this name; None is a GPU where there is one. Raises ConfigurationError where it is not there."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ConfigurationError(
            f"cannot use the device {device!r}, because torch knows no such kind; use cpu or cuda"
        ) from None
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError(f"cannot use the device {found}, because torch finds no GPU here; use cpu")
    return found
