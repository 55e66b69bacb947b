"""What a search shows: a line per ended trial, a bar with the time left on a terminal, and tables at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from samnesia.study.judging import numbers
from samnesia.study.judging.statistics import Interval
from samnesia.study.tune.confirmation import OWN, PLAIN, TUNED, Confirmation
from samnesia.study.tune.plan import Plan
from samnesia.study.tune.result import Trial
from samnesia.study.tune.space import typed
from samnesia.study.tune.tuning import Tuning, decimals

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.table import Table

_ENDINGS = {"pruned": ("given up",), "diverged": ("not finite",), "failed": ("failed",)}
_ARMS = {OWN: "the recipe's own", TUNED: "tuned", PLAIN: "without perturbation"}


class Display(Protocol):
    """Takes note of trials that have ended."""

    def ended(self, trial: Trial) -> None:
        """Show that a trial has ended."""


class Quiet:
    """Shows nothing."""

    def ended(self, trial: Trial) -> None:
        """Show nothing."""


@contextmanager
def display(plan: Plan, console: Console, spent: float, *, progress: bool) -> Iterator[Display]:
    """Show how the search goes, from what it has spent so far."""
    if not progress:
        yield Quiet()
        return
    from rich import progress as rich

    columns = (
        rich.TextColumn("search"),
        rich.BarColumn(bar_width=32),
        rich.TextColumn("{task.completed:.1f}/{task.total:.0f} runs"),
        rich.TimeElapsedColumn(),
        rich.TextColumn("left, at most"),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(
        *columns, console=console, speed_estimate_period=3600.0, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=plan.budget)
        bar.advance(task, spent)  # of the first step only the moment counts for the speed
        yield _Shown(plan, bar, task)


class _Shown:
    def __init__(self, plan: Plan, bar: Progress, task: TaskID) -> None:
        self._plan, self._bar, self._task = plan, bar, task

    def ended(self, trial: Trial) -> None:
        """Print a line, and move the bar."""
        self._bar.console.print(line(self._plan, trial), highlight=False, markup=False, soft_wrap=True)
        self._bar.advance(self._task, trial.runs)


def line(plan: Plan, trial: Trial) -> str:
    """A trial in a line."""
    own = " (the recipe's own)" if trial.number == 0 else ""
    setting = ", ".join(f"{name} {typed(value)}" for name, value in trial.values.items())
    return f"trial {trial.number}{own}: {setting}: {_score(plan, trial)}{_ending(plan, trial)}"


def trials_table(tuning: Tuning) -> Table:
    """The trials, the best first; then those that were given up, and those that failed."""
    from rich.table import Table

    plan, best = tuning.plan, tuning.best
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("trial", justify="right")
    for heading in _headings(list(plan.space.own)):
        table.add_column(heading, justify="right")
    unit = f", {plan.score.unit}" if plan.score.unit else ""
    for heading in (f"score{unit}", "by seed", "runs"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    sign = -1.0 if plan.score.higher_is_better else 1.0
    order = {"finished": 0, "pruned": 1, "diverged": 2, "failed": 3}
    for trial in sorted(tuning.trials, key=lambda t: (order[t.ending], sign * (t.score or 0.0), t.number)):
        digits = _digits(plan)
        table.add_row(
            str(trial.number),
            *(typed(value) for value in trial.values.values()),
            _score(plan, trial),
            " ".join(numbers.plain(score, digits) for score in trial.scores),
            f"{trial.runs:.1f}",
            _remark(trial, best),
            style="bold" if trial is best else None if trial.ending == "finished" else "dim",
        )
    return table


def confirmation_table(confirmation: Confirmation) -> Table:
    """The arms of the confirmation, with what the tuned one gains on them."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("on fresh seeds")
    for heading in (confirmation.score.curve.replace("_", " "), "tuned, to it", "runs"):
        table.add_column(heading, justify="right", no_wrap=True)
    for arm, scores in confirmation.scores.items():
        change = confirmation.change(arm)
        table.add_row(
            _ARMS[arm],
            _interval(confirmation.mean(arm), signed=False),
            "" if change is None else _interval(change.interval, signed=True),
            f"{len(scores)} of {len(confirmation.seeds)}",
        )
    return table


def _headings(names: list[str]) -> list[str]:
    """Names of fields: of several, their last parts, as far as these differ; a terminal has eighty columns."""
    last = [name.rpartition(".")[2] for name in names]
    return last if len(names) > 1 and len(set(last)) == len(last) else names


def _interval(interval: Interval | None, *, signed: bool) -> str:
    if interval is None:
        return numbers.plain(None)
    half = None if interval.low is None else interval.mean - interval.low
    digits = decimals(half or interval.mean)
    form = numbers.signed if signed else numbers.plain
    return form(interval.mean, digits) + ("" if half is None else f" \N{PLUS-MINUS SIGN}{numbers.plain(half, digits)}")


def _score(plan: Plan, trial: Trial) -> str:
    return numbers.plain(trial.score, _digits(plan))


def _digits(plan: Plan) -> int:
    return 1 if plan.score.unit == "%" else 4


def _remark(trial: Trial, best: Trial | None) -> str:
    remarks = ["best"] * (trial is best) + ["the recipe's own"] * (trial.number == 0)
    return ", ".join([*remarks, *_ENDINGS.get(trial.ending, ())])


def _ending(plan: Plan, trial: Trial) -> str:
    if trial.ending == "finished":
        return ""
    if trial.ending == "failed":
        return f", failed: {(trial.reason or '').splitlines()[0]}"
    what = "given up" if trial.ending == "pruned" else "its score is not finite,"
    seed = len(trial.scores) + (1 if trial.epoch else 0)
    where = f"after epoch {trial.epoch} of {plan.config.epochs}" if trial.epoch else "at its end"
    return f", {what} in seed {seed} of {len(plan.seeds)} {where}"
