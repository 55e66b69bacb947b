"""A sequence of tasks as the work of one cell."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samnesia.lifelong.config import LIFELONG, LifelongConfig, read
from samnesia.perturb.errors import ConfigurationError
from samnesia.study.training import outcome_of
from samnesia.study.work import Outcome
from samnesia.train.config import RunConfig
from samnesia.train.log import METRICS, RESULT, read_result
from samnesia.train.plain import differences


@dataclass(frozen=True)
class Learned:
    """Learn tasks one after the other; a sequence that was interrupted goes on where it was.

    Its values are those of a run (:class:`samnesia.study.training.Training`), where an epoch is a task, and
    ``last.test_accuracy`` the mean over all tasks after the last one; beside them ``last.test_forgetting``,
    ``last.test_backward_transfer`` and ``last.test_learning_accuracy`` (:mod:`samnesia.lifelong.results`).
    """

    sequence: LifelongConfig
    """The tasks, and how they are learned."""

    @property
    def config(self) -> RunConfig:
        """How a task is trained."""
        return self.sequence.training

    @property
    def settings(self) -> dict[str, Any]:
        """The whole configuration."""
        return self.sequence.to_json()

    def run(self, directory: Path) -> None:
        """Learn in ``directory``, or go on there."""
        from samnesia.lifelong.course import TASKS, learn, resume

        if self._is_here(directory):
            resume(directory)
            return
        for name in (LIFELONG, METRICS, ".lock"):
            (directory / name).unlink(missing_ok=True)
        shutil.rmtree(directory / TASKS, ignore_errors=True)
        learn(self.sequence, directory)

    def read(self, directory: Path) -> Outcome:
        """Read the result in ``directory``; raises ConfigurationError when it is damaged or of other settings."""
        try:
            run = read_result(directory)
            there = json.loads((directory / RESULT).read_text(encoding="utf-8"))["lifelong"]["config"]
        except (ConfigurationError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"cannot use the result in {directory}, because it is damaged ({error}); remove the directory and run "
                "the same command again"
            ) from None
        if found := differences(LifelongConfig.from_json(there).to_json(), self.settings):
            raise ConfigurationError(
                f"cannot use the result in {directory}, because it was run with other settings ({'; '.join(found)}); "
                "use another --out, or the settings of the first run"
            )
        return outcome_of(run)

    def done(self, directory: Path) -> float:
        """The share of its tasks that have been learned."""
        try:
            learned = (directory / METRICS).read_bytes().count(b"\n")
        except OSError:
            return 0.0
        return min(learned / self.sequence.runs, 1.0)

    def _is_here(self, directory: Path) -> bool:
        try:
            return read(directory) == self.sequence
        except ConfigurationError:
            return False
