"""The best setting against the recipe's own, on seeds that nothing was chosen on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from samnesia.study.design import Design, Factor, Measure, Study
from samnesia.study.engine.run import Results, run_study
from samnesia.study.hypotheses import Difference
from samnesia.study.judging.statistics import Interval, mean_interval, paired_interval
from samnesia.study.training import Training
from samnesia.study.tune.plan import Plan
from samnesia.study.tune.result import Trial
from samnesia.study.tune.trial import Score
from samnesia.study.work import Outcome
from samnesia.train.config import RunConfig
from samnesia.train.parts.methods import Unperturbed

CONFIRMATION = "confirmation"
OWN, TUNED, PLAIN = "recipe", "tuned", "unperturbed"

Verdict = Literal["better", "worse", "noise", "unknown"]


@dataclass(frozen=True)
class Scored(Training):
    """A training run that has a score among its values."""

    score: Score
    """What it is scored by."""

    def read(self, directory: Path) -> Outcome:
        """Read the result, with its score."""
        found = super().read(directory)
        value = self.score.after(found.curves[self.score.curve])
        return replace(found, values={**found.values, "score": value if math.isfinite(value) else None})


@dataclass(frozen=True)
class Change:
    """The mean difference of the tuned setting to another one, paired by seed.

    Attributes:
        to: recipe (its own values) or unperturbed (the base optimizer with the same other values).
        interval: tuned minus that one, with its paired t-interval; None without a pair.
        verdict: better or worse, where the interval says so; noise; or unknown, with too few pairs.
    """

    to: str
    interval: Interval | None
    verdict: Verdict

    @staticmethod
    def of(to: str, tuned: Mapping[int, float], other: Mapping[int, float], *, higher_is_better: bool) -> Change:
        """The change, from the scores by seed."""
        interval = paired_interval(tuned, other)
        return Change(to, interval, _verdict(interval, higher_is_better))


@dataclass(frozen=True)
class Confirmation:
    """What came of the fresh seeds.

    Attributes:
        trial: number of the trial whose setting was confirmed.
        seeds: the fresh seeds.
        scores: the score of each finished run, by arm (recipe, tuned, unperturbed) and seed.
        changes: of the tuned setting to the others.
        failures: the reason of each run that failed, by arm and seed.
        score: what the runs are scored by.
    """

    trial: int
    seeds: tuple[int, ...]
    scores: Mapping[str, Mapping[int, float]]
    changes: tuple[Change, ...]
    failures: Mapping[str, str]
    score: Score

    def mean(self, arm: str) -> Interval | None:
        """Mean score of an arm, with its interval; None where no run has finished."""
        values = list(self.scores[arm].values())
        return mean_interval(values) if values else None

    def change(self, to: str) -> Change | None:
        """The change to an arm; None where that was not run."""
        return next((one for one in self.changes if one.to == to), None)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "trial": self.trial,
            "seeds": list(self.seeds),
            "measure": {"curve": self.score.curve, "unit": self.score.unit, "epochs_averaged": self.score.averaged,
                        "higher_is_better": self.score.higher_is_better},
            "scores": {arm: {str(seed): value for seed, value in by.items()} for arm, by in self.scores.items()},
            "means": {arm: _plain(self.mean(arm)) for arm in self.scores},
            "changes": {one.to: {**(_plain(one.interval) or {}), "verdict": one.verdict} for one in self.changes},
            "failures": dict(self.failures),
        }  # fmt: skip


def confirm(plan: Plan, best: Trial, out: Path, *, workers: int, progress: bool) -> Confirmation:
    """Run the best setting, the recipe's own, and, where the method perturbs, the base optimizer with the same values.

    It is a study of its own, under ``out``/confirmation. Where the best are the recipe's own values, they are the tuned
    setting: then only the base optimizer is held against them.
    """
    arms = _arms(plan, best)
    results = run_study(
        _study(plan, arms), out / CONFIRMATION / f"trial-{best.number:04}", workers=workers, progress=progress
    )
    scores = {arm: _scores(results, arm) for arm in arms}
    higher = plan.judged.higher_is_better
    others = [arm for arm in arms if arm != TUNED]
    table = results.table[results.table["status"] == "failed"]
    return Confirmation(
        best.number,
        plan.fresh,
        scores,
        tuple(Change.of(arm, scores[TUNED], scores[arm], higher_is_better=higher) for arm in others),
        {f"{row['setting']}, seed {row['seed']}": str(row["reason"]) for _, row in table.iterrows()},
        plan.judged,
    )


def _arms(plan: Plan, best: Trial) -> dict[str, RunConfig]:
    """The runs by name, but for their seed; what the others are held against comes first."""
    tuned = plan.space.apply(best.values)
    arms = {OWN: plan.config, TUNED: tuned}
    if tuned == plan.config:
        del arms[OWN]
    if not isinstance(tuned.method, Unperturbed):
        arms[PLAIN] = replace(tuned, method=Unperturbed())
    return arms


def _study(plan: Plan, arms: Mapping[str, RunConfig]) -> Study:
    score = plan.judged
    direction: Literal["higher", "lower"] = "higher" if score.higher_is_better else "lower"
    claims = {OWN: "The tuned setting is better than the recipe's own.",
              PLAIN: "The tuned setting is better than the base optimizer with the same other values."}  # fmt: skip
    design = Design(
        name="tune",
        question=f"Is the setting that was found for {plan.config.recipe} better on fresh seeds?",
        factors=(Factor("setting", tuple(arms)),),
        measures=(Measure("score", "score", score.words, score.unit, score.higher_is_better),),
        seeds=plan.fresh,
        primary=tuple(
            Difference(claim=claims[arm], measure="score", treatment={"setting": TUNED}, control={"setting": arm},
                       direction=direction)
            for arm in arms if arm != TUNED
        ),
        tuning_seeds=plan.seeds,
        compared="setting",
    )  # fmt: skip
    return Study(design, lambda levels, seed: Scored(replace(arms[levels["setting"]], seed=seed), score))


def _scores(results: Results, arm: str) -> dict[int, float]:
    table = results.table
    rows = table[(table["setting"] == arm) & (table["status"] == "finished") & table["score"].notna()]
    return {int(seed): float(score) for seed, score in zip(rows["seed"], rows["score"], strict=True)}


def _verdict(interval: Interval | None, higher_is_better: bool) -> Verdict:
    if interval is None or (interval.low is None and interval.mean != 0.0):
        return "unknown"
    if not interval.excludes_zero:
        return "noise"
    return "better" if (interval.mean > 0.0) == higher_is_better else "worse"


def _plain(interval: Interval | None) -> dict[str, float | None] | None:
    return None if interval is None else {"mean": interval.mean, "low": interval.low, "high": interval.high}
