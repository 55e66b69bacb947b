"""A training run as the work of a cell."""

from __future__ import annotations

import math
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.work import Outcome
from samnesia.train.config import RunConfig
from samnesia.train.log import CONFIG, ENVIRONMENT, LOCK, METRICS, STEPS, Row, RunResult, read_config, read_result, tidy
from samnesia.train.parts.methods import Unperturbed
from samnesia.train.plain import differences

POINTS: tuple[Literal["last", "best"], ...] = ("last", "best")


@dataclass(frozen=True)
class Training:
    """Train one run; a run that was interrupted goes on from its latest checkpoint.

    A run with an average of the weights counts by the average: see :func:`judged`.

    Its values are ``last.NAME`` and ``best.NAME`` of every curve, ``last.score`` and ``best.score`` (the figure that
    the run is judged by), ``gradient_evaluations``, ``steps``, ``perturbed_steps``, ``skipped_steps``, ``parameters``,
    ``seconds``, ``weight_norm``, and ``report.perturbation_norm``, ``report.cosine`` and ``report.gradient_norm``; see
    :mod:`samnesia.train.log`. Of a run that records, also those of :mod:`samnesia.study.recorded`.
    """

    config: RunConfig
    """The run."""

    @property
    def settings(self) -> dict[str, Any]:
        """The whole configuration."""
        return self.config.to_json()

    def run(self, directory: Path) -> None:
        """Train in ``directory``, or go on there."""
        from samnesia.train.loop import resume, train

        if self._can_go_on(directory):
            resume(directory)
        else:
            _clear(directory)
            train(self.config, out=directory)

    def read(self, directory: Path) -> Outcome:
        """Read the result in ``directory``; raises ConfigurationError when it is damaged or of other settings."""
        try:
            run = read_result(directory)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{error}: remove the directory {directory} and run the same command again"
            ) from None
        if found := differences(run.config.to_json(), self.settings):
            raise ConfigurationError(
                f"cannot use the result in {directory}, because it was run with other settings ({'; '.join(found)}); "
                "use another --out, or the settings of the first run"
            )
        outcome = outcome_of(run)
        if not self.config.record.measures:
            return outcome
        from samnesia.study.recorded import recorded_values

        return replace(outcome, values={**outcome.values, **recorded_values(directory)})

    def done(self, directory: Path) -> float:
        """The share of its epochs that are evaluated and logged."""
        try:
            evaluated = (directory / METRICS).read_bytes().count(b"\n")
        except OSError:
            return 0.0
        return min(evaluated * self.config.evaluation.every_epochs / self.config.epochs, 1.0)

    def _can_go_on(self, directory: Path) -> bool:
        from samnesia.train.checkpoint import DIRECTORY as CHECKPOINTS

        try:
            return (directory / CHECKPOINTS).is_dir() and read_config(directory) == self.config
        except ConfigurationError:
            return False


def outcome_of(run: RunResult) -> Outcome:
    """What came out of a run, as the outcome of a cell; see :class:`Training`."""
    run = judged(run)
    return Outcome(_values(run), run.curves, run.seconds, run.environment, tuple(notes(run)))


def judged(run: RunResult) -> RunResult:
    """The run with the figures of its averaged weights in the place of those of the weights, where it has an average.

    The best epoch is chosen by the average as well, among the epochs that have figures of it: of SWA, the last alone.
    """
    if run.config.average is None:
        return run
    prefix = "average_"
    names = [name for name in run.curves if not name.startswith(prefix)]
    curves = {name: run.curves.get(prefix + name, run.curves[name]) for name in names}
    rows: list[Row] = [dict(zip(curves, values, strict=True)) for values in zip(*curves.values(), strict=True)]
    figure, sign = f"{run.chosen_on}_{run.judged_by['measure']}", 1.0 if run.judged_by["higher_is_better"] else -1.0
    best = max(rows, key=lambda row: -math.inf if row[figure] is None else sign * row[figure])
    return replace(run, curves=curves, last=rows[-1], best=best)


def notes(run: RunResult) -> list[str]:
    """What a reader of a run's numbers has to know, in sentences."""
    found = []
    attempted = run.steps + run.skipped_steps
    perturbed = run.perturbed_steps
    if perturbed is None:  # written before it was counted
        perturbed = run.config.perturbed_steps(attempted // run.config.epochs)
    if not perturbed and not isinstance(run.config.method, Unperturbed):
        found.append("no step was perturbed, so that this run is one of the base optimizer alone.")
    if run.collapsed:
        found.append(run.collapsed)
    elif run.skipped_steps:
        found.append(f"{run.skipped_steps} of {attempted} steps were skipped, not being finite.")
    lost = [point for point in POINTS if not math.isfinite(run.score(point))]
    if lost:
        found.append(f"its {run.figure} is not finite at the {' and the '.join(lost)} epoch: left out.")
    return found


def _values(run: RunResult) -> dict[str, float | None]:
    values: dict[str, float | None] = {}
    for point, row in (("last", run.last), ("best", run.best)):
        values.update({f"{point}.{name}": value for name, value in row.items()})
    values.update({f"{point}.score": run.score(point) for point in POINTS})
    values.update({f"report.{name}": value for name, value in run.report.items()})
    for name in ("gradient_evaluations", "steps", "perturbed_steps", "skipped_steps", "parameters", "seconds",
                 "weight_norm"):  # fmt: skip
        values[name] = getattr(run, name)
    return values


def _clear(directory: Path) -> None:
    """Remove what an interrupted run of other settings, or one without a checkpoint, has left; nothing else."""
    from samnesia.train.checkpoint import DIRECTORY as CHECKPOINTS

    for name in (CONFIG, ENVIRONMENT, METRICS, STEPS, LOCK):
        (directory / name).unlink(missing_ok=True)
    if directory.is_dir():
        tidy(directory)
    with suppress(FileNotFoundError):
        shutil.rmtree(directory / CHECKPOINTS)
