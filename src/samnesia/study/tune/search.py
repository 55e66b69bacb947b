"""The search itself: trials are asked for, done by a pool, and told, until the budget is spent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from samnesia.study.engine.jobs import Job
from samnesia.study.engine.pool import Pool
from samnesia.study.engine.store import Failed, find_cell
from samnesia.study.tune.journal import Journal
from samnesia.study.tune.plan import Plan
from samnesia.study.tune.result import Trial
from samnesia.study.tune.space import Values
from samnesia.study.tune.trial import Ended, TrialWork, read_ended

TRIALS = "trials"
_REPEATS = 20
"""Settings in a row that were tried already, after which there is nothing left to try."""
_STATES = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "diverged": TrialState.PRUNED}
_OUTCOME = "outcome"


class Search:
    """A search in a directory; what has ended of it before is kept, what was interrupted goes on.

    Args:
        plan: what to search.
        out: its directory.
    """

    def __init__(self, plan: Plan, out: Path) -> None:
        self._plan, self.out = plan, out
        self._journal = Journal(out, higher_is_better=plan.score.higher_is_better, evaluations=plan.score.evaluations)
        self._journal.begin(plan.space, plan.config.seed)
        self._open: dict[int, Values] = {}

    @property
    def trials(self) -> list[Trial]:
        """The trials that have ended, without those that came up again."""
        return [Trial.from_json(told.user_attrs[_OUTCOME]) for told in self._told]

    @property
    def spent(self) -> float:
        """What the trials have cost, in whole runs."""
        return sum(trial.runs for trial in self.trials)

    def run(self, pool: Pool, ended: Callable[[Trial], object] = lambda trial: None) -> None:
        """Search until the budget does not hold another trial."""
        again = True
        while again:  # a pool asks until there is none; what is given up after that has made room
            again = False
            with closing(pool.run(self._jobs())) as done:
                for one in done:
                    again = True
                    ended(self._tell(one.job))

    @property
    def _told(self) -> list[FrozenTrial]:
        return [one for one in self._journal.trials if _OUTCOME in one.user_attrs and one.state.is_finished()]

    def _jobs(self) -> Iterator[Job]:
        """What to do next, decided when it is asked for."""
        repeats = 0
        for trial in self._begun():
            values = self._plan.space.suggest(trial)
            before = self._tried(values)
            if before is None and values not in self._open.values():
                repeats = 0
                yield self._job(trial.number, values)
                continue
            state = TrialState.FAIL if before is None else before.state
            self._journal.tell(trial.number, state, before.value if before and state is TrialState.COMPLETE else None)
            repeats += 1
            if repeats == _REPEATS:
                return

    def _begun(self) -> Iterator[optuna.trial.Trial]:
        """The trials that were interrupted, then new ones."""
        for one in self._journal.trials:
            if one.state is TrialState.RUNNING and one.number not in self._open and self._room():
                yield self._journal.trial(one.number)
        while self._room():
            yield self._journal.ask()

    def _room(self) -> bool:
        """Whether another trial is within the budget, whatever becomes of the open ones."""
        whole = len(self._plan.seeds)
        return self.spent + (len(self._open) + 1) * whole <= self._plan.budget

    def _tried(self, values: Values) -> FrozenTrial | None:
        """The trial that has ended with these values."""
        plain = json.loads(json.dumps(values))
        same = (one for one in self._told if one.user_attrs[_OUTCOME]["values"] == plain)
        return next(same, None)

    def _job(self, number: int, values: Values) -> Job:
        self._open[number] = values
        plan = self._plan
        work = TrialWork(
            self.out, number, values, plan.space.apply(values), plan.seeds, plan.score, prunable=number > 0
        )
        return Job(self.out / TRIALS / f"{number:04}", {"trial": str(number)}, plan.config.seed, work)

    def _tell(self, job: Job) -> Trial:
        """Tell what came out of a trial."""
        work: Any = job.work
        found = find_cell(job.directory)
        state, value = TrialState.FAIL, None
        if found is None or isinstance(found, Failed):
            # It counts as if it had been trained to the end: a setting that fails at once must not be tried for ever.
            reason = "it left nothing" if found is None else found.reason
            trial = Trial(work.number, work.values, "failed", None, (), float(len(self._plan.seeds)), 0, reason=reason)
        else:
            ended: Ended = read_ended(job.directory)
            state = _STATES[ended.ending]
            value = ended.score if state is TrialState.COMPLETE else None
            trial = Trial(work.number, work.values, **ended.to_json())
        self._journal.note(work.number, _OUTCOME, trial.to_json())
        self._journal.tell(work.number, state, value)
        self._open.pop(work.number, None)
        return trial
