"""What a sequence of tasks is: typed, frozen, and able to go through JSON and back."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import Consolidation, Headed, OwnModel, RunConfig, Task
from samnesia.train.parts.checks import require
from samnesia.train.parts.tasks import Balanced, ByClasses, Permuted, Reservoir
from samnesia.train.plain import from_plain, to_plain

LIFELONG = "lifelong.json"
"""Where a sequence of tasks writes its configuration down."""
TASK = 3100
"""Second entry of the key, after the seed, of the seed of a task."""


@dataclass(frozen=True)
class EWC:
    """Elastic weight consolidation: weights are held to those after earlier tasks, by their Fisher information.

    J. Kirkpatrick et al., PNAS 2017, equation 3; with a decay, the online form of J. Schwarz et al., "Progress &
    Compress", ICML 2018, equation 9: one anchor, at the last weights, whose importance is a decaying sum.
    """

    strength: float = 100.0
    """The factor λ of the penalty."""
    samples: int | None = None
    """Training samples of a task by which its importances are estimated; None is all of them."""
    decay: float | None = None
    """Share of earlier importances that stays with each task, with one anchor for all; None is an anchor each."""

    def __post_init__(self) -> None:
        require(
            0.0 <= self.strength < math.inf,
            f"cannot hold weights with strength {self.strength}, because a penalty is not negative; use 100, say",
        )
        require(
            self.samples is None or self.samples >= 1,
            f"cannot estimate importances by {self.samples} samples, because one is needed at least; use 100, say",
        )
        require(
            self.decay is None or 0.0 <= self.decay <= 1.0,
            f"cannot keep a share of {self.decay} of earlier importances, because a share lies between 0 and 1; use "
            "0.95, say, or None for an anchor of each task",
        )


@dataclass(frozen=True)
class LifelongConfig:
    """One sequence of tasks: the same configuration gives the same numbers."""

    recipe: str
    """Name under which the results are filed."""
    training: RunConfig
    """How each task is trained: its data are what tasks are made of, its epochs those of a task, its seed of all."""
    tasks: ByClasses | Permuted = field(default_factory=ByClasses)
    """How tasks are made of the data."""
    known: bool = True
    """Whether the task of a sample is known when it is classified: a head for each task, or one for all."""
    memory: Reservoir | Balanced | None = None
    """Replay: which samples of earlier tasks are trained on as well; None is none."""
    ewc: EWC | None = None
    """Elastic weight consolidation; None is none."""
    together: bool = False
    """Train all tasks together, for as many epochs: what a sequence could reach at best."""
    fresh_optimizer: bool = True
    """Begin each task with an optimizer without momentum; otherwise its state goes on from task to task."""

    def __post_init__(self) -> None:
        training, model = self.training, self.training.model
        require(
            not isinstance(training.data, Task) and not isinstance(model, Headed) and training.consolidation is None,
            "cannot make tasks of a run that is one of a sequence itself, because data, heads and anchors of each task "
            "are made here; give the data and the model that all tasks share",
        )
        require(
            training.average is None,
            "cannot learn tasks with an average of the weights, because a task starts from the weights themselves; "
            "leave average out",
        )
        require(
            training.subspace is None,
            "cannot learn tasks along a subspace of weights, because a task starts from one net; leave subspace out",
        )
        require(
            not isinstance(model, OwnModel) or self.known or self.runs == 1,
            "cannot learn one task after the other with a single head and a model of your own, because its function "
            "takes no weights to start from; use a model that does, or let the task be known",
        )
        require(
            self.training.optimizer.state is None,
            "cannot begin a sequence of tasks with the state of another run's optimizer, because the first task begins "
            "without; leave optimizer.state out",
        )
        require(
            not (self.together and (self.memory is not None or self.ewc is not None)),
            "cannot remember earlier tasks where all are trained together, because there are none; leave memory and "
            "ewc out",
        )

    @property
    def seed(self) -> int:
        """Decides data, tasks, memory and all that the seed of a run does."""
        return self.training.seed

    @property
    def runs(self) -> int:
        """Number of trainings: one for each task, or one of all."""
        return 1 if self.together else self.tasks.count

    def task(self, number: int) -> Task:
        """Return the data of a training."""
        return Task(
            self.training.data,  # type: ignore[arg-type]
            self.tasks,
            number=None if self.together else number,
            known=self.known,
            memory=self.memory,
            seed=self.seed,
        )

    def run(self, number: int, before: Path | None = None, importance: Path | None = None) -> RunConfig:
        """Return the run of a training.

        Args:
            number: of the training, counted from 0.
            before: directory of the one before; None for the first.
            importance: file of anchors and importances; None for none.
        """
        training = self.training
        model: Any = training.model
        if before is not None:
            model = model.at_random()
        if self.known:
            model = Headed(net=model, heads=self.tasks.count)
        if before is not None:
            model = replace(model, weights=str(before))
        optimizer = training.optimizer
        if before is not None and not self.fresh_optimizer:
            optimizer = replace(optimizer, state=str(before))
        held = None
        if self.ewc is not None and importance is not None:
            held = Consolidation(str(importance), self.ewc.strength)
        return replace(
            training,
            recipe=f"{self.recipe}-task{number}",
            data=self.task(number),
            model=model,
            optimizer=optimizer,
            consolidation=held,
            checkpoints=replace(training.checkpoints, last=max(1, training.checkpoints.last)),
            seed=self._seed_of(number),
        )

    def _seed_of(self, number: int) -> int:
        """The first run has the seed of the sequence, so that a single task is what training it alone would be."""
        from samnesia.data.draws import words

        return self.seed if number == 0 else int(words(1, key=(self.seed, TASK, number))[0] >> 1)

    def with_seed(self, seed: int) -> LifelongConfig:
        """The same with another seed."""
        return replace(self, training=replace(self.training, seed=seed))

    def to_json(self) -> dict[str, Any]:
        """Return it as plain dictionaries; parts that come in kinds carry their ``kind``."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @staticmethod
    def from_json(plain: Any) -> LifelongConfig:
        """Return the configuration that :meth:`to_json` wrote; raises ConfigurationError for anything else."""
        config: LifelongConfig = from_plain(LifelongConfig, plain)
        return config


def read(out: Path) -> LifelongConfig:
    """Read the configuration of the sequence of tasks in ``out``.

    Raises:
        ConfigurationError: if there is none, or it cannot be read.
    """
    path = out / LIFELONG
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigurationError(
            f"cannot find a sequence of tasks in {out}, because there is no {LIFELONG}; name the directory that was "
            "given as --out"
        ) from None
    except ValueError as error:
        raise ConfigurationError(f"cannot read {path}, because it is no valid JSON ({error})") from None
    return LifelongConfig.from_json(plain)
