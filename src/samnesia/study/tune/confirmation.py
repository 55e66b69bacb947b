"""The best setting against the recipe's own, on seeds that nothing was chosen on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from samnesia.study.design import Design, Factor, Measure, Study
from samnesia.study.engine.definition import Definition
from samnesia.study.engine.run import Results, run_study
from samnesia.study.hypotheses import Difference
from samnesia.study.judging import verdicts
from samnesia.study.judging.statistics import LEAST, Interval, mean_interval
from samnesia.study.training import Training
from samnesia.study.tune.plan import Plan
from samnesia.study.tune.result import Trial
from samnesia.study.tune.trial import Score
from samnesia.study.work import Outcome
from samnesia.train.config import RunConfig
from samnesia.train.parts.checks import require
from samnesia.train.parts.methods import Unperturbed

CONFIRMATION = "confirmation"
SETTING, OWN, TUNED, PLAIN = "setting", "recipe", "tuned", "unperturbed"

Verdict = Literal["better", "worse", "noise", "unknown"]
_VERDICTS: Mapping[verdicts.Ruling, Verdict] = {"supported": "better", "contradicted": "worse", "undecided": "noise"}


@dataclass(frozen=True)
class Scored(Training):
    """A training run that has a score among its values."""

    score: Score
    """What it is scored by."""

    def read(self, directory: Path) -> Outcome:
        """Read the result, with its score."""
        found = super().read(directory)
        value = self.score.of(self.config).after(found.curves[self.score.curve])
        return replace(found, values={**found.values, "score": value if math.isfinite(value) else None})


@dataclass(frozen=True)
class Change:
    """The mean difference of the tuned setting to another one, paired by seed, and what the study says of it.

    Attributes:
        to: recipe (its own values) or unperturbed (the base optimizer with the same other values).
        interval: tuned minus that one, with its paired t-interval; None without a pair.
        verdict: better or worse, where the study's rule says supported or contradicted; noise; or unknown, with too few
            pairs.
        p: the smaller one of the two p-values by which that was decided, adjusted over the study's hypotheses; None
            without one.
    """

    to: str
    interval: Interval | None
    verdict: Verdict
    p: float | None = None

    @staticmethod
    def of(found: verdicts.Verdict) -> Change:
        """The change, from the study's verdict on it."""
        hypothesis, estimate = found.hypothesis, found.estimate
        assert isinstance(hypothesis, Difference)
        known = [p for p in (found.p_support, found.p_contradict) if p is not None]
        interval = None if estimate.effect is None else Interval(estimate.effect, estimate.low, estimate.high)
        alike = estimate.n >= LEAST and estimate.effect == 0.0
        verdict = _VERDICTS[found.verdict] if known else "noise" if alike else "unknown"
        return Change(hypothesis.control[SETTING], interval, verdict, min(known, default=None))


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
        notes: what was looked at before, a sentence each.
    """

    trial: int
    seeds: tuple[int, ...]
    scores: Mapping[str, Mapping[int, float]]
    changes: tuple[Change, ...]
    failures: Mapping[str, str]
    score: Score
    notes: tuple[str, ...] = ()

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
            "changes": {
                one.to: {**(_plain(one.interval) or {}), "p": one.p, "verdict": one.verdict} for one in self.changes
            },
            "failures": dict(self.failures),
            "notes": list(self.notes),
        }  # fmt: skip


def confirm(plan: Plan, best: Trial, out: Path, *, workers: int, progress: bool) -> Confirmation:
    """Run the best setting, the recipe's own, and, where the method perturbs, the base optimizer with the same values.

    It is a study of its own, under ``out``/confirmation, with seeds that nothing in ``out`` was trained with, and the
    verdicts are the study's. Seeds that it has already stay. Where the best are the recipe's own values, they are the
    tuned setting: then only the base optimizer is held against them.
    """
    directory = out / CONFIRMATION / f"trial-{best.number:04}"
    earlier = _earlier(directory)
    arms = _arms(plan, best)
    study = _study(plan, arms, _fresh(plan, directory, earlier))
    results = run_study(study, directory, workers=workers, progress=progress)
    table = results.table[results.table["status"] == "failed"]
    return Confirmation(
        best.number,
        results.design.seeds,
        {arm: _scores(results, arm) for arm in arms},
        tuple(map(Change.of, verdicts.judge(results.design, results.table))),
        {f"{row[SETTING]}, seed {row['seed']}": str(row["reason"]) for _, row in table.iterrows()},
        plan.judged,
        tuple(_looks(earlier, results)),
    )


def _earlier(directory: Path) -> dict[int, tuple[int, ...]]:
    """The seeds of the confirmations of other trials that have begun, by trial."""
    others = (path for path in sorted(directory.parent.glob("trial-*")) if path != directory)
    found = {int(path.name.removeprefix("trial-")): Definition.find(path) for path in others}
    return {number: one.design.seeds for number, one in found.items() if one is not None}


def _fresh(plan: Plan, directory: Path, earlier: Mapping[int, tuple[int, ...]]) -> tuple[int, ...]:
    """The seeds of a confirmation: those that it has, and others that none has."""
    there = Definition.find(directory)
    own = () if there is None else there.design.seeds
    used = {*own, *(seed for seeds in earlier.values() for seed in seeds)}
    free = [seed for seed in plan.fresh if seed not in used]
    missing = max(0, plan.confirmed - len(own))
    require(
        missing <= len(free),
        f"cannot confirm over {plan.confirmed} seeds, because earlier confirmations have left {len(free)} fresh ones; "
        "use fewer",
    )
    return (*own, *free[:missing])


def _looks(earlier: Mapping[int, tuple[int, ...]], results: Results) -> Iterator[str]:
    """What had been seen before these verdicts: each further look may err anew."""
    for number, seeds in earlier.items():
        yield (
            f"Trial {number} was confirmed before, on {spoken(seeds)}. This is a further attempt, on other seeds, and "
            "each attempt has its own chance to err."
        )
    for change in results.history:
        if change.results and change.seeds:
            yield (
                f"{spoken(change.seeds).capitalize()} came later, when {change.results} of these runs could be seen: "
                "whoever adds seeds until a difference shows will find one."
            )


def spoken(seeds: Sequence[int]) -> str:
    """Seeds in words."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    whole = list(seeds) == list(range(seeds[0], seeds[0] + len(seeds)))
    return f"seeds {seeds[0]} to {seeds[-1]}" if whole else f"seeds {', '.join(map(str, seeds))}"


def _arms(plan: Plan, best: Trial) -> dict[str, RunConfig]:
    """The runs by name, but for their seed; what the others are held against comes first."""
    tuned = plan.space.apply(best.values)
    arms = {OWN: plan.config, TUNED: tuned}
    if tuned == plan.config:
        del arms[OWN]
    if not isinstance(tuned.method, Unperturbed):
        arms[PLAIN] = replace(tuned, method=Unperturbed())
    return arms


def _study(plan: Plan, arms: Mapping[str, RunConfig], seeds: tuple[int, ...]) -> Study:
    score = plan.judged
    direction: Literal["higher", "lower"] = "higher" if score.higher_is_better else "lower"
    claims = {OWN: "The tuned setting is better than the recipe's own.",
              PLAIN: "The tuned setting is better than the base optimizer with the same other values."}  # fmt: skip
    design = Design(
        name="tune",
        question=f"Is the setting that was found for {plan.config.recipe} better on fresh seeds?",
        factors=(Factor(SETTING, tuple(arms)),),
        measures=(Measure("score", "score", score.words, score.unit, score.higher_is_better),),
        seeds=seeds,
        primary=tuple(
            Difference(claim=claims[arm], measure="score", treatment={SETTING: TUNED}, control={SETTING: arm},
                       direction=direction)
            for arm in arms if arm != TUNED
        ),
        tuning_seeds=plan.seeds,
        compared=SETTING,
    )  # fmt: skip
    return Study(design, lambda levels, seed: Scored(replace(arms[levels[SETTING]], seed=seed), score))


def _scores(results: Results, arm: str) -> dict[int, float]:
    table = results.table
    rows = table[(table[SETTING] == arm) & (table["status"] == "finished") & table["score"].notna()]
    return {int(seed): float(score) for seed, score in zip(rows["seed"], rows["score"], strict=True)}


def _plain(interval: Interval | None) -> dict[str, float | None] | None:
    return None if interval is None else {"mean": interval.mean, "low": interval.low, "high": interval.high}
