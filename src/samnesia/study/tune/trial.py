"""One trial: a setting is trained on the tuning seeds, one after the other, until it is finished or given up.

All runs leave the test split out. Their score is the mean of the judged measure on validation over the last evaluated
epochs, because one epoch of few samples is coarse.
"""

from __future__ import annotations

import json
import math
import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.engine.store import read_object
from samnesia.study.training import Training
from samnesia.study.tune.space import Values
from samnesia.study.work import Outcome
from samnesia.train.checkpoint import DIRECTORY as CHECKPOINTS
from samnesia.train.checkpoint import Position
from samnesia.train.config import RunConfig
from samnesia.train.log import METRICS, RESULT, Row, RunResult, read_config, read_result, write_json
from samnesia.train.observers import Observer
from samnesia.train.parts.saving import Evaluation, Logging

if TYPE_CHECKING:
    from optuna.trial import Trial

AVERAGED = 5
"""Evaluated epochs that a score is the mean of, at most."""

Ending = Literal["finished", "pruned", "diverged"]


@dataclass(frozen=True)
class Score:
    """What a run is scored by; a run with an average of its weights by the average, as in a comparison.

    Attributes:
        curve: name of the curve, such as validation_accuracy.
        unit: of the measure.
        higher_is_better: its direction.
        evaluations: how many epochs of a run are evaluated.
        of_average: how many of the last of them have figures of an average of the weights; None without an average.
    """

    curve: str
    unit: str
    higher_is_better: bool
    evaluations: int
    of_average: int | None = None

    def of(self, config: RunConfig) -> Score:
        """The score of the runs of a configuration."""
        course, every = config.average, config.evaluation.every_epochs
        if course is None:
            return replace(self, of_average=None)
        evaluated = {*range(every, config.epochs + 1, every), config.epochs}
        known = 1 if course.statistics_anew else sum(epoch >= course.start_epoch for epoch in evaluated)
        return replace(self, of_average=known)

    @property
    def averaged(self) -> int:
        """Over how many of the last evaluated epochs the mean is taken: five, or the last fifth where that is fewer."""
        return max(1, min(AVERAGED, self.evaluations // 5, self.of_average or self.evaluations))

    def figure(self, row: Row) -> float | None:
        """The figure of an evaluated epoch: of the average where there is one, of the weights before it begins."""
        value: float | None = row.get(f"average_{self.curve}")
        return row[self.curve] if value is None else value

    def figures(self, curves: Mapping[str, Sequence[float | None]]) -> list[float | None]:
        """The figures of a whole run, of which the last is the average's where the run has one."""
        rows = [dict(zip(curves, values, strict=True)) for values in zip(*curves.values(), strict=True)]
        return [*map(self.figure, rows[:-1]), rows[-1].get(f"average_{self.curve}", rows[-1][self.curve])]

    def after(self, values: Sequence[float | None]) -> float:
        """The score after these evaluated epochs; NaN where one of its values is not finite."""
        last = values[-self.averaged :]
        return math.nan if any(value is None for value in last) else statistics.fmean(map(float, last))  # type: ignore[arg-type]

    @property
    def words(self) -> str:
        """As it is spoken of."""
        name = self.curve.replace("_", " ") + (" of the average of the weights" if self.of_average is not None else "")
        return name + (f", mean of the last {self.averaged} evaluated epochs" if self.averaged > 1 else "")


def tuning_run(config: RunConfig, seed: int) -> RunConfig:
    """The run of a setting with a seed: it does not look at the test split, and saves no more than a resume needs."""
    evaluation = config.evaluation
    return replace(
        config,
        seed=seed,
        evaluation=Evaluation(
            train=False, test=False, every_epochs=evaluation.every_epochs, batch_size=evaluation.batch_size
        ),
        checkpoints=replace(config.checkpoints, best=False, last=1, keep_epochs=()),
        logging=Logging(every_steps=0),
    )


@dataclass(frozen=True)
class Ended:
    """What a trial leaves in its ``result.json``."""

    ending: Ending
    """How it ended."""
    score: float | None
    """Mean score over the seeds; of one that was given up, as it was then; None where it is not finite."""
    scores: tuple[float, ...]
    """Of each seed that was trained to the end."""
    runs: float
    """What it cost, in whole runs."""
    epoch: int
    """Epochs trained with the last seed."""
    notes: tuple[str, ...] = ()
    """What happened to its runs, a sentence each."""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return dict(vars(self))


@dataclass(frozen=True)
class TrialWork:
    """The work of a trial, wherever it is done."""

    out: Path
    """Directory of the search, where the journal is."""
    number: int
    """Number of the trial."""
    values: Values
    """What was chosen for the searched fields."""
    config: RunConfig
    """The configuration with these values."""
    seeds: tuple[int, ...]
    """The tuning seeds, the same for all trials and in the same order, so that scores are paired."""
    score: Score
    """What it is scored by."""
    prunable: bool = True
    """Whether it may be given up; the recipe's own values are trained to the end."""

    @property
    def settings(self) -> dict[str, Any]:
        """What decides its numbers."""
        return {
            "config": self.config.to_json(),
            "seeds": list(self.seeds),
            "values": json.loads(json.dumps(self.values)),
        }

    def run(self, directory: Path) -> None:
        """Train one seed after the other; what is finished of it is kept."""
        from samnesia.study.tune.journal import Journal

        journal = Journal(self.out, higher_is_better=self.score.higher_is_better, evaluations=self.score.evaluations)
        course = _Course(journal.trial(self.number), journal.trials[self.number].intermediate_values, self)
        ending: Ending = "finished"
        try:
            for seed in self.seeds:
                self._train(tuning_run(self.config, seed), directory / f"seed{seed}", course)
        except _GivenUp as given_up:
            ending = given_up.ending
        for seed in self.seeds:
            shutil.rmtree(directory / f"seed{seed}" / CHECKPOINTS, ignore_errors=True)
        write_json(directory / RESULT, course.end(ending).to_json())

    def _train(self, config: RunConfig, directory: Path, course: _Course) -> None:
        from samnesia.train.loop import resume, train

        if not (directory / RESULT).exists():
            observer = _Reporter(course, directory)
            if _can_go_on(config, directory):
                resume(directory, observers=[observer])
            else:
                shutil.rmtree(directory, ignore_errors=True)
                train(config, directory, observers=[observer])
        course.trained(read_result(directory))

    def read(self, directory: Path) -> Outcome:
        """Read what it left; raises ConfigurationError when that is damaged."""
        ended = read_ended(directory)
        return Outcome({"score": ended.score, "runs": ended.runs}, notes=ended.notes)

    def done(self, directory: Path) -> float:
        """The share of its epochs that are trained."""
        parts = (Training(tuning_run(self.config, seed)).done(directory / f"seed{seed}") for seed in self.seeds)
        return sum(parts) / len(self.seeds)


def read_ended(directory: Path) -> Ended:
    """How the trial in a directory ended; raises ConfigurationError when its file is damaged."""
    plain = read_object(directory / RESULT, remedy=f"remove the directory {directory}, and run the same command again")
    return Ended(**{**plain, "scores": tuple(plain["scores"]), "notes": tuple(plain["notes"])})


class _GivenUp(Exception):
    """Ends a run whose trial is given up."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending


class _Course:
    """How a trial goes: what it reports after each evaluated epoch, and whether it is given up then.

    What was reported before a kill is not reported again, and what was decided on it is decided again.

    Args:
        trial: the trial.
        known: what it has reported already.
        work: what it does.
    """

    def __init__(self, trial: Trial, known: Mapping[int, float], work: TrialWork) -> None:
        self._trial, self._known, self._work = trial, dict(known), work
        self._score = work.score.of(work.config)
        self._scores: list[float] = []
        self._values: list[float | None] = []
        self._epoch = 0
        self._notes: list[str] = []

    def begin(self, rows: Sequence[Row], epoch: int) -> None:
        """A run begins, or goes on after so many epochs with these rows."""
        self._values, self._epoch = [self._score.figure(row) for row in rows], epoch

    def evaluated(self, row: Row) -> None:
        """An epoch of a run was evaluated."""
        self._values.append(self._score.figure(row))
        self._epoch = row["epoch"] + 1
        self._report()
        if len(self._values) < self._work.score.evaluations:  # the last one: when its result is there
            self._decide()

    def trained(self, run: RunResult) -> None:
        """A run has ended."""
        self._values, self._epoch = self._score.figures(run.curves), self._work.config.epochs
        self._report()
        score = self._score.after(self._values)
        if run.collapsed:
            self._notes.append(run.collapsed)
        if not math.isfinite(score):
            self._notes.append(f"seed {run.seed}: {self._score.curve} is not finite")
            raise _GivenUp("diverged")
        self._scores.append(score)
        self._values, self._epoch = [], 0
        if len(self._scores) < len(self._work.seeds):  # or there is nothing left to save
            self._decide()

    def end(self, ending: Ending) -> Ended:
        """What there is to say when it is over."""
        value = self._value()
        share = self._epoch / self._work.config.epochs
        return Ended(
            ending,
            value if math.isfinite(value) else None,
            tuple(self._scores),
            len(self._scores) + share,
            self._epoch,
            tuple(self._notes),
        )

    def _value(self) -> float:
        """Mean over the seeds so far, of the one that is open as it is now."""
        now = [self._score.after(self._values)] if self._values else []
        return statistics.fmean([*self._scores, *now])

    def _report(self) -> None:
        if self._step not in self._known:
            self._trial.report(self._value(), self._step)
            self._known[self._step] = self._value()

    def _decide(self) -> None:
        if self._work.prunable and self._step >= max(self._known) and self._trial.should_prune():
            raise _GivenUp("pruned")

    @property
    def _step(self) -> int:
        return len(self._scores) * self._work.score.evaluations + len(self._values) - 1


class _Reporter(Observer):
    """Tells the course of a trial what happens in a run."""

    def __init__(self, course: _Course, directory: Path) -> None:
        self._course, self._directory = course, directory

    def begin(self, config: RunConfig, steps_per_epoch: int, position: Position) -> None:
        """What was evaluated before a kill stands in the log."""
        path, rows = self._directory / METRICS, list[Row]()
        if path.exists():
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        self._course.begin(rows, position.epoch)

    def epoch(self, row: Row) -> None:
        """An epoch was evaluated."""
        self._course.evaluated(row)


def _can_go_on(config: RunConfig, directory: Path) -> bool:
    try:
        return read_config(directory) == config
    except ConfigurationError:
        return False
