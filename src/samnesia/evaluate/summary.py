"""The scores of all suites, with runs that differ by their seed alone averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from samnesia.evaluate.suites.suite import Score, Suite

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Mean:
    """A score of a group of runs."""

    score: Score
    """How it is written; its value is the mean."""
    low: float | None
    """Lower end of Student's t-interval over seeds; None where there is none: for one or two seeds, or equal values."""
    high: float | None
    """Upper end."""
    per_run: tuple[float | None, ...]
    """Of each run that has it."""

    @classmethod
    def of(cls, scores: Sequence[Score]) -> Mean:
        """Of scores of one name; where a run has no number, there is no mean."""
        from samnesia.study.judging.statistics import mean_interval

        values = tuple(score.value for score in scores)
        known = [value for value in values if value is not None]
        if not known or len(known) < len(values):
            return cls(_with(scores[0], None), None, None, values)
        found = mean_interval(known, CONFIDENCE)
        return cls(_with(scores[0], found.mean), found.low, found.high, values)

    @property
    def text(self) -> str:
        """``93.4 ± 0.7``, the mean and half the width of its interval; without one ``93.4``. The unit is not there."""
        score = self.score
        if score.value is None:
            return score.text
        mean = f"{score.value:.{score.digits}f}"
        return mean if self.high is None else f"{mean} ± {self.high - score.value:.{score.digits}f}"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        score = {name: value for name, value in asdict(self.score).items() if name != "value"}
        interval = {"low": self.low, "high": self.high, "n": len(self.per_run), "per_run": list(self.per_run)}
        return {"mean": self.score.value, **interval, **score}


@dataclass(frozen=True)
class Group:
    """Runs that differ by their seed alone, or a single one."""

    name: str
    runs: tuple[str, ...]
    stage: str
    """How far they had come."""
    seeds: tuple[int, ...]

    @property
    def head(self) -> str:
        """Of its column."""
        several = f"\n{len(self.runs)} seeds" if len(self.runs) > 1 else ""
        return f"{self.name}\n{self.stage}{several}"


def groups(content: Mapping[str, Any]) -> list[Group]:
    """The groups of runs of which anything was evaluated, in order."""
    stages = {one["run"]: one["stage"] for one in content["measures"]}
    found: dict[str, list[str]] = {}
    for label, run in content["runs"].items():
        if label in stages:
            found.setdefault(run["group"], []).append(label)
    return [
        Group(name, tuple(labels), stages[labels[0]], tuple(content["runs"][label]["seed"] for label in labels))
        for name, labels in found.items()
    ]


def means(content: Mapping[str, Any], suite: Suite) -> dict[str, dict[str, Mean]]:
    """The scores of a suite, by group and by name."""
    values = {one["run"]: one["values"] for one in content["measures"] if one["what"] == suite.name}
    found: dict[str, dict[str, Mean]] = {}
    for group in groups(content):
        scores = [suite.scores(values[label]) for label in group.runs if label in values]
        names = list(dict.fromkeys(name for one in scores for name in one))
        found[group.name] = {name: Mean.of([one[name] for one in scores if name in one]) for name in names}
    return found


def notes(content: Mapping[str, Any], suites: Sequence[Suite]) -> list[str]:
    """What the suites have to say of their numbers: a sentence each, of all runs that it is true of."""
    found: dict[str, list[str]] = {}
    for suite in suites:
        for one in content["measures"]:
            for note in suite.notes(one["values"]) if one["what"] == suite.name else ():
                found.setdefault(f"{suite.name}: {note}", []).append(one["run"])
    everybody = len(content["runs"])
    return [note if len(runs) == everybody else f"{', '.join(runs)}: {note}" for note, runs in found.items()]


def missing(content: Mapping[str, Any]) -> list[str]:
    """What was not evaluated, and why: what does not apply, and what failed."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in content["left_out"]:
        found.setdefault((one["what"], one["why"]), []).append(one["run"])
    everybody = len(content["runs"])
    left = [
        f"{what} left out of {'all' if len(runs) == everybody else ', '.join(runs)}, because {why}"
        for (what, why), runs in found.items()
    ]
    return [*left, *(f"not evaluated: {sentence}" for sentence in content["refused"])]


def summary(content: Mapping[str, Any], suites: Sequence[Suite]) -> dict[str, Any]:
    """What is written beside the evaluations: groups, means with intervals, versions and the command."""
    import shlex
    import sys

    from samnesia.train.log import environment

    scores = {suite.name: means(content, suite) for suite in suites}
    return {
        "groups": [asdict(group) for group in groups(content)],
        "scores": {
            name: {group: {key: mean.as_dict() for key, mean in one.items()} for group, one in found.items()}
            for name, found in scores.items()
        },
        "confidence": CONFIDENCE,
        "environment": environment(),
        "command": shlex.join(["samnesia", *sys.argv[1:]]),
    }


def _with(score: Score, value: float | None) -> Score:
    return Score(value, score.unit, score.digits, score.main)
