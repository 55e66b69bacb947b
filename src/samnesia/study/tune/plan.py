"""What a search is to do: settled, and checked, before anything is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samnesia.processes import alone
from samnesia.study.tune.space import Space
from samnesia.study.tune.trial import Score
from samnesia.train.config import RunConfig
from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from samnesia.data.problem import Problem

FIRST_SEED = 10_000
"""Seeds of a search lie from here on, apart from those that are reported (0, 1, ...) or were tuned on for recipes."""
_CONFIRMED = 5_000
LEAST_CONFIRMED = 3


@dataclass(frozen=True)
class Plan:
    """A search.

    Raises:
        ConfigurationError: for a budget or numbers of seeds that nothing can be learned from.
    """

    space: Space
    """What is searched, and the recipe's own values."""
    budget: int
    """What the trials may cost together, in whole runs; one that is given up costs the epochs that it was trained."""
    tuned: int
    """Seeds of each trial."""
    confirmed: int
    """Fresh seeds of the confirmation; 0 is none."""
    score: Score
    """What runs are scored by."""
    judged: Score
    """What the confirmation is judged by: the same measure on the judged split."""

    def __post_init__(self) -> None:
        require(
            1 <= self.tuned <= _CONFIRMED,
            f"cannot tune over {self.tuned} seeds, because a setting is trained with one at least; use 3, say",
        )
        require(
            self.budget >= 2 * self.tuned,
            f"cannot tune with a budget of {self.budget} runs, because the recipe's own values and one other setting "
            f"over {self.tuned} seed{'s' * (self.tuned > 1)} take {2 * self.tuned}; use a larger budget",
        )
        require(
            self.confirmed == 0 or LEAST_CONFIRMED <= self.confirmed <= _CONFIRMED,
            f"cannot confirm over {self.confirmed} seeds, because an interval requires {LEAST_CONFIRMED} at least; use "
            "10, say, or 0 for no confirmation",
        )
        require(
            alone(),
            "cannot tune in several processes of torchrun, because each would search by itself; start one, and say "
            "--workers",
        )

    @property
    def config(self) -> RunConfig:
        """The recipe with its own values."""
        return self.space.config

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of all trials; another seed of the configuration gives others."""
        first = FIRST_SEED * (1 + self.config.seed)
        return tuple(range(first, first + self.tuned))

    @property
    def fresh(self) -> range:
        """The seeds that confirmations take theirs of; no trial is trained with one."""
        first = FIRST_SEED * (1 + self.config.seed) + _CONFIRMED
        return range(first, first + _CONFIRMED)

    def definition(self) -> dict[str, Any]:
        """What may not change between the calls of a search, as plain values."""
        return {"config": self.config.to_json(), "search": self.space.to_json(), "seeds": list(self.seeds)}


def make_plan(space: Space, *, budget: int, tuned: int, confirmed: int) -> Plan:
    """The plan of a search. Data are loaded once for it: what they lack is told at once.

    Raises:
        ConfigurationError: for data without a validation split, or numbers that nothing can be learned from.
    """
    config = space.config
    problem = config.data.load(config.seed)
    _check_validation(config, problem)
    measure, described = next(iter(config.loss.measures(problem.num_outputs).items()))
    evaluations = math.ceil(config.epochs / config.evaluation.every_epochs)
    score, judged = (
        Score(f"{split}_{measure}", described.unit, described.higher_is_better, evaluations).of(config)
        for split in ("validation", problem.judged_on if config.evaluation.test else "validation")
    )
    return Plan(space, budget, tuned, confirmed, score, judged)


def _check_validation(config: RunConfig, problem: Problem) -> None:
    data = type(config.data).__name__
    remedy = "return one from the function of --data.function"
    if hasattr(config.data, "holdout"):
        remedy = "hold out samples of the training set, as by --data.holdout 1000"
    require(
        problem.validation is not None and len(problem.validation) > 0,
        f"cannot tune {config.recipe}, because settings are chosen on validation, never on the test set, and its "
        f"{data} has no validation split; {remedy}",
    )
