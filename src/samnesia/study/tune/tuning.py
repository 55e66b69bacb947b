"""The outcome of a search: its trials, what the fresh seeds say, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samnesia.study.design import Design
from samnesia.study.judging import numbers
from samnesia.study.tune.confirmation import OWN, PLAIN, Change, Confirmation, spoken
from samnesia.study.tune.plan import Plan
from samnesia.study.tune.result import Origin, Trial, best_of
from samnesia.study.tune.space import Range, Values, typed
from samnesia.train.config import RunConfig
from samnesia.train.log import environment

SCHEMA = 1
_EDGE = 0.05


@dataclass(frozen=True)
class Tuning:
    """What a search came to; printing it shows the verdict and the command to use.

    Attributes:
        out: its directory.
        plan: what was searched, and how.
        trials: the settings that were tried, the recipe's own first.
        confirmation: what the fresh seeds say; None where there are none (yet).
        origin: where the configuration comes from, in words; None if from Python.
        command: what was called.
    """

    out: Path
    plan: Plan
    trials: tuple[Trial, ...]
    confirmation: Confirmation | None = None
    origin: Origin | None = None
    command: str | None = None

    @property
    def best(self) -> Trial | None:
        """The trial with the best score on the tuning seeds; None where none has finished."""
        return best_of(self.trials, higher_is_better=self.plan.score.higher_is_better)

    @property
    def helps(self) -> Change | None:
        """The tuned setting against the recipe's own; None where they are the same, or nothing was confirmed."""
        return None if self.confirmation is None else self.confirmation.change(OWN)

    @property
    def recommended(self) -> Values:
        """The values to use: the recipe's own, unless others are better beyond noise, or nothing was confirmed."""
        best, own = self.best, self.plan.space.own
        if best is None:
            return own
        if self.confirmation is None:
            return best.values
        return best.values if self.helps is not None and self.helps.verdict == "better" else own

    @property
    def config(self) -> RunConfig:
        """The recommended configuration."""
        return self.plan.space.apply(self.recommended)

    @property
    def line(self) -> str | None:
        """The command that trains the recommended configuration; None where its source is not known in words."""
        return None if self.origin is None else self.origin.command(self.config)

    @property
    def saved(self) -> float:
        """Whole runs that giving up early has saved."""
        whole = len(self.plan.seeds)
        return sum(whole - trial.runs for trial in self.trials if trial.ending in ("pruned", "diverged"))

    @property
    def spent(self) -> float:
        """What the trials cost, in whole runs."""
        return sum(trial.runs for trial in self.trials)

    def __str__(self) -> str:
        """Return what it came to, a sentence per line."""
        return "\n".join(self.sentences())

    def sentences(self) -> Iterator[str]:
        """Yield what a reader has to know, in order."""
        yield self._counted()
        yield from self._troubles()
        best = self.best
        if best is None:
            return
        yield from self._verdict(best)
        if (plain := None if self.confirmation is None else self.confirmation.change(PLAIN)) is not None:
            yield self._against_plain(plain)
        yield from () if self.confirmation is None else self.confirmation.notes
        if self.confirmation is not None and self.plan.judged.curve == self.plan.score.curve:
            yield (
                "Judged on validation, because there is no test split: on fresh seeds, but on samples that settings "
                "were chosen on."
            )
        yield from self._edges(best)
        if self.line is not None:
            use = "Use" if self.recommended != self.plan.space.own else "Keep"
            if plain is not None and plain.verdict == "worse":
                use = f"Rather train without one (--method.kind Unperturbed); of those that perturb, {use.lower()}"
            yield f"{use}: {self.line}"

    def to_json(self, *, done: bool) -> dict[str, Any]:
        """Return the content of ``tune.json``; what it came to is left out until it is done."""
        score, best = self.plan.score, self.best
        return {
            "schema": SCHEMA,
            "definition": self.plan.definition(),
            "recipe": self.plan.config.recipe,
            "command": self.command,
            "budget": self.plan.budget,
            "spent": self.spent,
            "saved": self.saved,
            "own": self.plan.space.own,
            "measure": {"curve": score.curve, "unit": score.unit, "higher_is_better": score.higher_is_better,
                        "epochs_averaged": score.averaged},
            "trials": [trial.to_json() for trial in self.trials],
            "best": None if best is None else best.number,
            "confirmation": None if self.confirmation is None else self.confirmation.to_json(),
            "done": done,
            "recommended": {"values": self.recommended, "command": self.line} if done else None,
            "says": list(self.sentences()) if done else [],
            "environment": environment(),
        }  # fmt: skip

    def setting(self, values: Values) -> str:
        """A setting in words: method.rho 0.17, optimizer.lr 0.05."""
        return ", ".join(f"{name} {typed(value)}" for name, value in values.items())

    def _counted(self) -> str:
        count = {ending: sum(t.ending == ending for t in self.trials) for ending in ("finished", "failed")}
        early = len(self.trials) - sum(count.values())
        saved = f" (which saved {self.saved:.1f} runs)" if early else ""
        failed = f", {count['failed']} failed" if count["failed"] else ""
        return (
            f"{len(self.trials)} settings on {self.spent:.1f} of {self.plan.budget} runs: {count['finished']} trained "
            f"to the end on {spoken(self.plan.seeds)}, {early} given up early{saved}{failed}."
        )

    def _troubles(self) -> Iterator[str]:
        for trial in self.trials:
            if trial.ending == "failed":
                yield f"Trial {trial.number} ({self.setting(trial.values)}) failed: {trial.reason}"
        collapsed = [trial for trial in self.trials if trial.notes and trial.ending != "failed"]
        if collapsed:
            which = ", ".join(str(trial.number) for trial in collapsed)
            yield (
                f"Runs of trial{'s' * (len(collapsed) > 1)} {which} learned next to nothing, or their score was not "
                "finite (see tune.json)."
            )
        for run, reason in {} if self.confirmation is None else self.confirmation.failures.items():
            yield f"Confirmation, {run}, failed: {reason}"

    def _verdict(self, best: Trial) -> Iterator[str]:
        own = self.plan.space.own
        if best.number == 0:
            yield f"Nothing that was tried beats the recipe's own values, {self.setting(own)}, on the tuning seeds."
            return
        found = f"The best on the tuning seeds is trial {best.number}: {self.setting(best.values)}"
        if self.confirmation is None:
            yield (
                f"{found}. It is not confirmed: the best of several looks better than it is. The same command with "
                "--confirm 10 holds it against the recipe's own on fresh seeds."
            )
            return
        change = self.helps
        assert change is not None
        yield (
            f"{found}. Held against the recipe's own ({self.setting(own)}) on {spoken(self.confirmation.seeds)}, which "
            "no setting was chosen on:"
        )
        figures = f"{self.plan.judged.words[:1].upper()}{self.plan.judged.words[1:]}: {self._change(change)}."
        yield {
            "better": f"It is better. {figures}",
            "worse": f"It is worse. {figures} Keep the recipe's own values.",
            "noise": f"The difference is within noise. {figures} Keep the recipe's own values.",
            "unknown": f"Nothing can be said, because too few of these runs have finished, or all differ alike. "
            f"{figures} Keep the recipe's own values.",
        }[change.verdict]

    def _against_plain(self, change: Change) -> str:
        says = {"better": "the perturbation helps", "worse": "the perturbation hurts",
                "noise": "within noise, so that the perturbation is not shown to help here",
                "unknown": "too few runs to tell"}[change.verdict]  # fmt: skip
        return f"Against the base optimizer with the same other values: {self._change(change)}, {says}."

    def _edges(self, best: Trial) -> Iterator[str]:
        for one in self.plan.space.searched:
            if (
                isinstance(one, Range)
                and not one.whole
                and not _EDGE < share_of(one, best.values[one.name]) < 1 - _EDGE
            ):
                yield f"{one.name} {typed(best.values[one.name])} is at the end of what was searched; search further."

    def _change(self, change: Change) -> str:
        interval = change.interval
        if interval is None:
            return "no pair of runs"
        digits = decimals(interval.mean, interval.low, interval.high)
        step = {"%": " points", "": ""}.get(self.plan.judged.unit, f" {self.plan.judged.unit}")
        mean = numbers.signed(interval.mean, digits) + step
        if interval.low is None or interval.high is None or change.p is None:
            return f"{mean} (no interval)"
        ends = f"{numbers.signed(interval.low, digits)} to {numbers.signed(interval.high, digits)}"
        return f"{mean} ({100 * (1 - Design.alpha):g} % interval {ends}; {_chance(change.p)})"


def share_of(one: Range, value: float) -> float:
    """How far a value is on the way from the low to the high end of a range."""
    if one.log:
        return math.log(value / one.low) / math.log(one.high / one.low)
    return (value - one.low) / (one.high - one.low)


def decimals(*values: float | None) -> int:
    """Digits after the point that show two figures of the largest of some values, one at least."""
    largest = max((abs(value) for value in values if value), default=1.0)
    return min(max(1, 1 - math.floor(math.log10(largest))), 6)


def _chance(p: float) -> str:
    """An adjusted p-value beside what it has to be for a verdict: half of the study's alpha on each side."""
    value = "adjusted p < 0.0001" if p < 0.0001 else f"adjusted p = {p:.2g}"
    return value if p <= Design.alpha / 2 else f"{value}, where {Design.alpha / 2:g} is asked for"
