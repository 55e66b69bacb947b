"""The hypotheses of a study on its page: what was claimed, the verdict, and the effect that it stands on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samnesia.study.design import Design
from samnesia.study.engine.definition import Change
from samnesia.study.hypotheses import Correlation, Difference, Hypothesis, StrongerCorrelation
from samnesia.study.judging import numbers
from samnesia.study.judging.numbers import counted
from samnesia.study.report.figures import style
from samnesia.study.report.figures.strips import Strip, common, stacked
from samnesia.study.report.figures.style import label
from samnesia.study.report.judged import decimals
from samnesia.study.report.wording import QUOTE, capital, listed

if TYPE_CHECKING:
    from samnesia.study.engine.run import Results
    from samnesia.study.judging.verdicts import Verdict

MARKS = {"supported": "\N{CHECK MARK}", "contradicted": "\N{MULTIPLICATION X}", "undecided": "?"}
MANY = 6
"""Hypotheses that are shown at their full height; more of them in one line each."""


@dataclass(frozen=True)
class Claim:
    """One hypothesis.

    Attributes:
        claim: what is claimed, in a sentence.
        ruling: supported, contradicted or undecided.
        sentence: what was found, and why that gives the ruling.
        notes: what was left out, and what else a reader has to know.
        found: the effect in figures.
        strip: the figure of its effect.
    """

    claim: str
    ruling: str
    sentence: str
    notes: Sequence[str]
    found: str
    strip: Strip

    @property
    def mark(self) -> str:
        """A sign beside the ruling, for the eye alone."""
        return MARKS[self.ruling]


@dataclass(frozen=True)
class Claims:
    """All hypotheses of a study.

    Attributes:
        question: what the study asks.
        claims: each, in the order of the study.
        rule: how verdicts are found, and what was added after results had been seen, in sentences.
    """

    question: str
    claims: Sequence[Claim]
    rule: Sequence[str]

    @property
    def many(self) -> bool:
        """Whether each takes one line, and its sentence unfolds."""
        return len(self.claims) > MANY

    @property
    def tally(self) -> str:
        """How many there are of each ruling, in a sentence."""
        if len(self.claims) == 1:
            return f"The hypothesis is {self.claims[0].ruling}."
        counts = Counter(claim.ruling for claim in self.claims)
        if len(counts) == 1:
            all_of_them = "Both" if len(self.claims) == 2 else f"All {len(self.claims)}"
            return f"{all_of_them} hypotheses are {self.claims[0].ruling}."
        told = [
            f"{counts[ruling]} {'is' if counts[ruling] == 1 else 'are'} {ruling}" for ruling in MARKS if counts[ruling]
        ]
        return f"Of {counted(len(self.claims), 'hypothesis')}, {listed(told)}."

    def inline(self) -> list[str]:
        """The figures of all claims as ``<svg>`` elements; those of one kind have one scale."""
        strips = (stacked if self.many else common)([claim.strip for claim in self.claims])
        return [
            style.inline_svg(
                style.make_panels([strip], style.TOKENS, strip.height, width=strip.width), f"verdict-{place}",
                f"{capital(claim.ruling)}: {claim.claim}: {claim.found}.",
            )
            for place, (claim, strip) in enumerate(zip(self.claims, strips, strict=True))
        ]  # fmt: skip


def claims_of(results: Results, verdicts: Sequence[Verdict]) -> Claims:
    """The hypotheses of a study with their verdicts, in its order."""
    design = results.design
    rule = [*_rule(design), *_history(results.history, design)] if verdicts else []
    return Claims(design.question, [_claim(verdict, design) for verdict in verdicts], rule)


def _claim(verdict: Verdict, design: Design) -> Claim:
    hypothesis, found = verdict.hypothesis, verdict.estimate
    unit = hypothesis.unit(design)
    axis = f"{_effect(hypothesis)} ({unit})" if unit else _effect(hypothesis)
    strip = Strip(found.effect, found.low, found.high, hypothesis.smallest, hypothesis.sign, axis)
    subject = hypothesis.subject(design)
    sentence = verdict.sentence.removeprefix(f"{verdict.verdict.capitalize()}: ")
    sentence = sentence.replace(subject, _as_printed(subject, design), 1)
    notes = [capital(f"{note.rstrip('.')}.") for note in found.notes]
    return Claim(hypothesis.claim, verdict.verdict, capital(sentence), notes, _figures(strip, unit), strip)


def _as_printed(subject: str, design: Design) -> str:
    """The subject of a hypothesis with the levels of the compared factor as they are printed everywhere else."""
    levels = design.factor(design.compared).levels
    whole = rf"(?<![\w-])({'|'.join(map(re.escape, sorted(levels, key=len, reverse=True)))})(?![\w-])"
    return re.sub(whole, lambda level: label(level[0]), subject)


def _effect(hypothesis: Hypothesis) -> str:
    """What the effect is called on its axis."""
    match hypothesis:
        case Difference():
            return "difference"
        case Correlation(given=None):
            return f"Kendall{QUOTE}s tau"
        case Correlation():
            return "partial tau"
        case StrongerCorrelation():
            return "difference of two taus"


def _figures(strip: Strip, unit: str) -> str:
    if strip.effect is None:
        return "no effect can be told"
    ends = (strip.effect, strip.low, strip.high)
    digits = {"points": 1, "": 2}.get(unit, decimals(unit, ends, ()))
    estimate: dict[str, Any] = {"mean": strip.effect, "low": strip.low, "high": strip.high, "n": 0, "per_seed": []}
    return " ".join(filter(None, [numbers.change(estimate, digits), unit]))


def _rule(design: Design) -> list[str]:
    count, alpha = len(design.primary), 100 * design.alpha
    if count == 1:
        return [f"The hypothesis is judged at an error of {alpha:g} %, half of it for and half against."]
    return [
        f"Verdicts on the {counted(count, 'hypothesis')} are made together, by Holm{QUOTE}s step-down at an error of "
        f"{alpha:g} % over all of them, half of it for and half against; each interval is for its hypothesis alone.",
        "Undecided is not the same as no effect.",
    ]


def _history(history: Sequence[Change], design: Design) -> list[str]:
    first, *later = history or (Change("", 0, "defined"),)
    what = "It was" if len(design.primary) == 1 else "They were"
    begun = (
        f"{what} written down before the first result."
        if not first.results
        else f"{what} written down on {_day(first)}, when {counted(first.results, 'run')} had finished."
    )
    seen = [change for change in later if change.results]
    told = [f"On {_day(change)}, when {counted(change.results, 'run')} had finished: {change.says}." for change in seen]
    if not any(change.seeds for change in seen):
        told.append("No seeds were added after results had been seen.")
    return [begun, *told]


def _day(change: Change) -> str:
    return change.time.partition("T")[0]
