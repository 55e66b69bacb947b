"""Optuna's side of a search: its storage in a file, what it samples, and which trials are given up.

The file can be cut off at any moment: its lock ends with the process that holds it, and half a line is dropped. What is
sampled for a field of a trial depends on the seed, the trial's number, the field and what has ended before, and on no
state of this process: a search that was killed samples what it would have.
"""

from __future__ import annotations

import fcntl
import math
import os
import statistics
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from samnesia.study.tune.space import Space

if TYPE_CHECKING:
    from collections.abc import Sequence

JOURNAL = "trials.journal"
_STUDY = "tune"
_PEERS = 4
"""Other trials that a trial is held against, at least."""
_FIRST = 0.5
"""Share of a run's epochs before which it is not given up: what is best in the end may begin slowly."""


class Journal:
    """The trials of a search, as Optuna keeps them in a directory; several processes may have it open.

    Args:
        out: directory of the search.
        higher_is_better: direction of the score.
        evaluations: numbers that a run reports, one for each evaluated epoch.
    """

    def __init__(self, out: Path, *, higher_is_better: bool, evaluations: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        path = out / JOURNAL
        if path.exists():
            trim(path)
        self._storage = JournalStorage(JournalFileBackend(str(path), lock_obj=_Lock(path)))  # type: ignore[arg-type]
        self._study = optuna.create_study(
            study_name=_STUDY,
            storage=self._storage,
            direction="maximize" if higher_is_better else "minimize",
            pruner=_SameStep(evaluations),
            load_if_exists=True,
        )

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials, by their numbers."""
        return self._study.get_trials(deepcopy=False)

    def begin(self, space: Space, seed: int) -> None:
        """Put down what is tried before anything is known: the recipe's own values, and some spread evenly."""
        starts = space.starts(max(_PEERS, 2 * len(space.searched) + 2), seed)
        for values in starts[len(self.trials) :]:
            self._study.enqueue_trial(values)
        self._study.sampler = _Sampler(seed, len(starts))

    def ask(self) -> Trial:
        """Begin the next trial."""
        return self._study.ask()

    def trial(self, number: int) -> Trial:
        """A trial that has begun, perhaps in another process, perhaps one that is gone."""
        study = self._storage.get_study_id_from_name(_STUDY)
        return Trial(self._study, self._storage.get_trial_id_from_study_id_trial_number(study, number))

    def note(self, number: int, name: str, value: Any) -> None:
        """Write a plain value down beside a trial that has not ended."""
        self.trial(number).set_user_attr(name, value)

    def tell(self, number: int, state: TrialState, value: float | None = None) -> None:
        """A trial has ended."""
        self._study.tell(number, value, state=state)


def trim(path: Path) -> None:
    """Drop half a line at the end of a journal: the process that wrote it was killed."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        if file.read(1) in (b"", b"\n"):
            return
    os.truncate(path, path.read_bytes().rfind(b"\n") + 1)


class _Sampler(optuna.samplers.BaseSampler):
    """Optuna's TPE without a state: each field of each trial has a generator of its own.

    With one generator for a trial, a kill between its first and its second field would change the second.
    """

    def __init__(self, seed: int, starts: int) -> None:
        self._seed, self._starts = seed, starts

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing is sampled together."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing is."""
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The value of a field."""
        words = [self._seed, trial.number, zlib.crc32(param_name.encode())]
        state = int(np.random.SeedSequence(words).generate_state(1)[0])
        sampler = optuna.samplers.TPESampler(seed=state, n_startup_trials=self._starts)
        return sampler.sample_independent(study, trial, param_name, param_distribution)


class _Lock:
    """The lock of the journal; the system lifts it when its process ends, however that comes."""

    def __init__(self, path: Path) -> None:
        self._journal, self._path = path, path.with_name(f".{path.name}.lock")
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        """Wait for it; half a line that its last holder was killed in would spoil the next one."""
        self._file = open(self._path, "w", encoding="utf-8")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        trim(self._journal)
        return True

    def release(self) -> None:
        """Give it back."""
        if self._file is not None:
            self._file.close()
            self._file = None


class _SameStep(optuna.pruners.BasePruner):
    """Gives up a trial that is worse than the median of all that came as far, at the same epoch of the same seed.

    Optuna's own median pruner compares the best that a trial has reached so far: a run that overfits would pass by what
    it was long ago. In each run nothing is given up before half of its epochs.
    """

    def __init__(self, evaluations: int) -> None:
        self._evaluations = evaluations

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether to give up the trial after its last step."""
        step = trial.last_step
        if step is None or (step % self._evaluations) + 1 < _FIRST * self._evaluations:
            return False
        sign = 1.0 if study.direction is optuna.study.StudyDirection.MAXIMIZE else -1.0
        others: Sequence[float] = [
            _ordered(sign * other.intermediate_values[step])
            for other in study.get_trials(deepcopy=False)
            if other.number != trial.number and step in other.intermediate_values
        ]
        return len(others) >= _PEERS and _ordered(sign * trial.intermediate_values[step]) < statistics.median(others)


def _ordered(value: float) -> float:
    """A value that can be compared: what is no number is worse than all."""
    return -math.inf if math.isnan(value) else value
