"""What came out of a search, as it stands in ``tune.json``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from samnesia.study.tune.space import Values, typed
from samnesia.train.config import RunConfig
from samnesia.train.plain import flatten


@dataclass(frozen=True)
class Trial:
    """A setting that was tried.

    Attributes:
        number: its number; 0 has the recipe's own values.
        values: of the searched fields, by name.
        ending: finished; pruned (given up, being worse than the median of the others at the same epoch); diverged (its
            score is not finite); or failed, with a reason.
        score: mean over the tuning seeds; of one that was given up, as it was then; None where there is none.
        scores: of each tuning seed that was trained to the end.
        runs: what it cost, in whole runs.
        epoch: epochs of the seed with which it was given up; 0 where that was at the end of one.
        notes: what happened to its runs.
        reason: why it failed.
    """

    number: int
    values: Values
    ending: Literal["finished", "pruned", "diverged", "failed"]
    score: float | None
    scores: tuple[float, ...]
    runs: float
    epoch: int
    notes: tuple[str, ...] = ()
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**vars(self), "scores": list(self.scores), "notes": list(self.notes)}

    @staticmethod
    def from_json(plain: dict[str, Any]) -> Trial:
        """Return the trial that :meth:`to_json` wrote."""
        values = {name: _tupled(value) for name, value in plain["values"].items()}
        return Trial(**{**plain, "values": values, "scores": tuple(plain["scores"]), "notes": tuple(plain["notes"])})


def best_of(trials: Sequence[Trial], *, higher_is_better: bool) -> Trial | None:
    """The finished trial with the best score, of equals the first; None where none has finished."""
    sign = 1.0 if higher_is_better else -1.0
    finished = [trial for trial in sorted(trials, key=lambda trial: trial.number) if trial.ending == "finished"]
    return max(finished, key=lambda trial: sign * (trial.score or 0.0), default=None)


@dataclass(frozen=True)
class Origin:
    """Where a configuration comes from, in the words of the command line.

    Attributes:
        source: RECIPE, FILE.py:function, or --config FILE.
        base: the configuration that these words alone stand for.
    """

    source: str
    base: RunConfig

    def command(self, config: RunConfig, out: Path | str = "DIR") -> str:
        """The command that trains a configuration which differs from the base in some fields."""
        return f"samnesia train {self.source} {' '.join([*self.options(config), '--out', shlex.quote(str(out))])}"

    def options(self, config: RunConfig) -> list[str]:
        """The options that make the configuration of the base."""
        before, after = flatten(self.base.to_json()), flatten(config.to_json())
        changed = {name: value for name, value in after.items() if name not in before or before[name] != value}
        return [word for name, value in changed.items() for word in _words(name, value)]


def _words(name: str, value: Any) -> list[str]:
    option = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        head, _, last = option.rpartition(".")
        return [option if value else f"{head}.no-{last}" if head else f"--no-{option[2:]}"]
    values = value if isinstance(value, list) else [value]
    return [option, *(shlex.quote(typed(one)) for one in values)]


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, list) else value
