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

from collections.abc import Sequence
from typing import Literal

import numpy as np

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
