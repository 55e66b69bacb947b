"""The verdict on each hypothesis of a study, by a rule that is fixed before there are results.

Effects count as positive where the claim points. With the smallest effect of interest d, 0 or more:

* ``p_support`` is the one-sided p-value of "the effect is 0 or less",
* ``p_contradict`` is the one-sided p-value of "the effect is d or more".

Holm's step-down over all hypotheses of the study, in each of the two families apart, with half of the study's alpha
each. *supported*: the adjusted ``p_support`` is alpha/2 or less, and the estimate reaches d. *contradicted*: the
adjusted ``p_contradict`` is alpha/2 or less. *undecided*: neither, which is not "no effect". Both at once cannot be:
what is contradicted lies below d, and what is supported does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from samnesia.study.hypotheses import Difference, Hypothesis
from samnesia.study.judging.estimates import Estimate
from samnesia.study.judging.numbers import signed
from samnesia.train.plain import from_plain, to_plain

if TYPE_CHECKING:
    from pandas import DataFrame

    from samnesia.study.design import Design

RULE = (
    "Effects count as positive where the claim points. Every hypothesis is tested twice, one-sided: against an effect "
    "of zero or less, and against an effect of the smallest one of interest or more.",
    "Holm's step-down over all hypotheses of the study, in each of the two families apart, with half of alpha each.",
    "Supported: zero or less is rejected, and the estimate reaches the smallest effect of interest.",
    "Contradicted: the smallest effect of interest or more is rejected. That includes effects that are there but too "
    "small to matter.",
    "Undecided: neither. That is not the same as no effect.",
)
"""The rule in words, as a report prints it."""

Ruling = Literal["supported", "contradicted", "undecided"]


def holm(p_values: Sequence[float]) -> list[float]:
    r"""Adjusted p-values of Holm's step-down: rejecting those at most alpha keeps the family-wise error below alpha.

    .. math:: \tilde p_{(i)} = \max_{j \le i} \min\bigl(1, (m - j + 1)\, p_{(j)}\bigr), \quad i = 1 \dots m

    Holds however the tests depend on each other. Source: Holm (1979), A simple sequentially rejective multiple test
    procedure, Scandinavian Journal of Statistics 6(2).
    """
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values, kind="stable")
    steps = np.minimum(1.0, values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(steps)
    return [float(value) for value in adjusted]


def rule(effect: float | None, smallest: float, p_support: float, p_contradict: float, alpha: float) -> Ruling:
    """The verdict on one hypothesis.

    Args:
        effect: the estimate, positive where the claim points; None where there is none.
        smallest: smallest effect of interest d, 0 or more.
        p_support: p-value of "the effect is 0 or less", adjusted over the study; 1 where there is none.
        p_contradict: p-value of "the effect is d or more", adjusted over the study; 1 where there is none.
        alpha: error of the whole study, half for each of the two families.
    """
    if effect is None:
        return "undecided"
    if p_support <= alpha / 2 and effect >= smallest:
        return "supported"
    if p_contradict <= alpha / 2 and effect < smallest:
        return "contradicted"
    return "undecided"


@dataclass(frozen=True)
class Verdict:
    """What a study says about one hypothesis."""

    hypothesis: Hypothesis
    """What was claimed."""
    estimate: Estimate
    """What was found."""
    p_support: float | None
    """The estimate's p-value for the claim, adjusted over the study's hypotheses; None where there is none."""
    p_contradict: float | None
    """The one against it, likewise."""
    verdict: Ruling
    """The ruling."""
    sentence: str
    """All of it in words, with figures and units."""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @staticmethod
    def from_json(plain: Any) -> Verdict:
        """Return the verdict that :meth:`to_json` wrote; raises ConfigurationError for anything else."""
        verdict: Verdict = from_plain(Verdict, plain)
        return verdict


def judge(design: Design, table: DataFrame) -> list[Verdict]:
    """Return the verdict on every primary hypothesis of a design, in its order.

    A hypothesis without p-values (too few seeds or cells, no spread) counts in Holm's number of tests all the same: how
    strict the others are judged must not depend on how the runs went.

    Args:
        design: what was claimed before the runs.
        table: the study's tidy table; runs that did not finish do not count.
    """
    estimates = [hypothesis.estimate(design, table) for hypothesis in design.primary]
    support, contradict = (
        holm([1.0 if value is None else value for value in family])
        for family in ([one.p_support for one in estimates], [one.p_contradict for one in estimates])
    )
    verdicts = []
    for hypothesis, estimate, one, other in zip(design.primary, estimates, support, contradict, strict=True):
        ruling = rule(_margin(hypothesis, estimate), 0.0, one, other, design.alpha)
        known = estimate.p_support is not None, estimate.p_contradict is not None
        adjusted = (one if known[0] else None, other if known[1] else None)
        verdicts.append(
            Verdict(
                hypothesis, estimate, *adjusted, ruling, _sentence(design, hypothesis, estimate, ruling, one, other)
            )
        )
    return verdicts


def _parts(hypothesis: Hypothesis, estimate: Estimate) -> list[tuple[Hypothesis, Estimate]]:
    """What has to hold, with what was found of it."""
    if isinstance(hypothesis, Difference) and estimate.parts:
        return list(zip(hypothesis.parts, estimate.parts, strict=True))
    return [(hypothesis, estimate)]


def _margin(hypothesis: Hypothesis, estimate: Estimate) -> float | None:
    """How far the estimate lies beyond the smallest effect of interest, of several parts the least; None without."""
    margins = [
        None if found.effect is None else part.sign * found.effect - part.smallest
        for part, found in _parts(hypothesis, estimate)
    ]
    return None if None in margins else min(one for one in margins if one is not None)


def _sentence(
    design: Design, hypothesis: Hypothesis, estimate: Estimate, ruling: Ruling, support: float, contradict: float
) -> str:
    """The verdict in words: what was found, and why that supports, contradicts or leaves undecided."""
    begin = f"{ruling.capitalize()}: {hypothesis.subject(design)}"
    nothing = [one.reason for _, one in _parts(hypothesis, estimate) if one.effect is None]
    if nothing:
        return f"{begin} cannot be told, because {nothing[0]}; that is not the same as no effect."
    unit = hypothesis.unit(design)
    digits = _digits(estimate, hypothesis.smallest)
    found = f"{begin} is {' and '.join(_found(design, *part) for part in _parts(hypothesis, estimate))}"
    if estimate.parts:
        return f"{found}. {_all_of_them(design, hypothesis, estimate, ruling, support, contradict)}"
    limit = _with(signed(hypothesis.sign * hypothesis.smallest, digits), unit)
    threshold = f"judged at {design.alpha / 2:g}"
    side, further = ("above", "more") if hypothesis.sign > 0 else ("below", "less")
    beyond = f"{side} zero beyond chance ({_chance(support)}, {threshold})"
    if ruling == "supported":
        reaches = f" and reaches the smallest effect of interest, {limit}" if hypothesis.smallest else ""
        return f"{found}, which is {beyond}{reaches}."
    if ruling == "contradicted":
        claimed = f"{limit} or {further}" if hypothesis.smallest else f"an effect {side} zero"
        return f"{found}, which rules out {claimed} ({_chance(contradict)}, {threshold})."
    if estimate.p_support is None:
        return f"{found}; that is not the same as no effect."
    if support <= design.alpha / 2:
        return f"{found}, which is {beyond} but does not reach the smallest effect of interest, {limit}."
    out = f"rule out {limit}" if hypothesis.smallest else "show its opposite"
    return (
        f"{found}, which does not show the claimed effect ({_chance(support)}) and does not {out} "
        f"({_chance(contradict)}), each judged at {design.alpha / 2:g}; that is not the same as no effect."
    )


def _found(design: Design, hypothesis: Hypothesis, estimate: Estimate) -> str:
    """An effect with its interval and what it stands on."""
    digits = _digits(estimate, hypothesis.smallest)
    found = _with(signed(estimate.effect, digits), hypothesis.unit(design))
    if estimate.low is None or estimate.high is None:
        return f"{found} ({estimate.drawn}; no interval, because {estimate.reason})"
    ends = f"{signed(estimate.low, digits)} to {signed(estimate.high, digits)}"
    return f"{found} ({estimate.confidence * 100:g} % interval {ends}; {estimate.drawn})"


def _all_of_them(
    design: Design, hypothesis: Hypothesis, estimate: Estimate, ruling: Ruling, support: float, contradict: float
) -> str:
    """Why a claim of several parts has its verdict."""
    threshold = f"judged at {design.alpha / 2:g}"
    wanted = " and ".join(
        _with(signed(part.sign * part.smallest, _digits(found, part.smallest)), part.unit(design)) + f" or {further}"
        if part.smallest else side
        for part, found in _parts(hypothesis, estimate)
        for side, further in (("above zero", "more") if part.sign > 0 else ("below zero", "less"),)
    )  # fmt: skip
    begin = f"The claim is that they are {wanted}, all of them"
    if ruling == "supported":
        return f"{begin}, and each is beyond chance ({_chance(support)}, {threshold})."
    if ruling == "contradicted":
        return f"{begin}, and one of them is ruled out ({_chance(contradict)}, {threshold})."
    return (
        f"{begin}, which is neither shown ({_chance(support)}) nor ruled out ({_chance(contradict)}), each "
        f"{threshold}; that is not the same as no effect."
    )


def _digits(estimate: Estimate, smallest: float) -> int:
    """Digits after the point that show two figures of the interval's half width, and the smallest effect."""
    if estimate.low is not None and estimate.high is not None and estimate.high > estimate.low:
        scale = (estimate.high - estimate.low) / 2
    else:
        scale = abs(estimate.effect or 1.0) / 10
    enough = 1 - math.floor(math.log10(scale))
    whole = next((digits for digits in range(7) if math.isclose(round(smallest, digits), smallest)), 6)
    return min(max(enough, whole, 0), 6)


def _with(figure: str, unit: str) -> str:
    return f"{figure} {unit}" if unit else figure


def _chance(p_value: float) -> str:
    return "adjusted p < 0.0001" if p_value < 0.0001 else f"adjusted p = {p_value:.2g}"
