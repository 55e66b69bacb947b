"""The first study: which method helps on which problem."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from samnesia.study.design import Design, Factor, Levels, Study
from samnesia.study.hypotheses import Difference
from samnesia.study.named import measures
from samnesia.study.named.registry import named
from samnesia.study.training import Training
from samnesia.study.work import Work
from samnesia.train.config import RunConfig
from samnesia.train.recipes import find

PROBLEMS = ("digits-noisy", "digits-few", "photographs", "wine", "digits-shortcut")
METHODS = ("sgd", "sam", "asam", "gsam", "obf", "random")
CLAIMED = METHODS[1:-1]  # random perturbation is what the others are seen against, without a claim
BUDGETS = ("steps", "gradients")
CLAIMED_AT = "gradients"
"""The harder claim, and the one a practitioner asks: is it better than SGD that may train as long?"""
SMALLEST = 1.0  # points of test accuracy

MEASURES = (
    measures.LAST,
    measures.BEST,
    measures.LAST_LOSS,
    measures.TRAIN,
    measures.FLIPPED,
    measures.MARK,
    measures.EVALUATIONS,
    measures.SECONDS,
)


@named
def problems(quick: bool = False) -> Study:
    """SGD, SAM, ASAM, GSAM, OBF and random perturbation over five problems, at equal steps and equal gradients."""
    chosen = PROBLEMS[:2] if quick else PROBLEMS
    design = Design(
        name="problems-quick" if quick else "problems",
        question="On which problems does a perturbation of the weights help, and does it still at equal cost?",
        factors=(Factor("method", METHODS), Factor("problem", chosen), Factor("budget", BUDGETS)),
        measures=MEASURES,
        seeds=tuple(range(3 if quick else 10)),
        tuning_seeds=tuple(range(1000, 1005)),
        primary=tuple(
            Difference(
                claim=f"{method.upper()} is better than SGD on {problem} at equal gradient evaluations",
                measure="last",
                treatment={"method": method},
                control={"method": METHODS[0]},
                where={"problem": problem, "budget": CLAIMED_AT},
                direction="higher",
                smallest=SMALLEST,
            )
            for problem in chosen
            for method in CLAIMED
        ),
        notes=(
            "The radii of all methods were chosen on validation data, with the tuning seeds.",
            "Hypotheses are about the last epoch; the best epoch is the one of the highest validation accuracy.",
            "At equal gradient evaluations, methods that need fewer of them per step train for more epochs.",
            "What is compared at equal steps gets no verdict: its intervals are not widened for their number.",
        ),
    )
    return Study(design, _work)


def _work(levels: Levels, seed: int) -> Work:
    return Training(replace(_arms(levels["problem"], levels["budget"])[levels["method"]], seed=seed))


@cache
def _arms(problem: str, budget: str) -> dict[str, RunConfig]:
    from samnesia.study.comparison.budgets import (
        equal_gradients,  # here: it needs torch, and a list of studies does not
    )

    arms = {method: find(f"{problem}-{method}") for method in METHODS}
    return equal_gradients(arms) if budget == "gradients" else arms
