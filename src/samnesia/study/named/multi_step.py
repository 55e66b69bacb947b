"""Several steps on a batch: Lookbehind against multi-step SAM, SAM and Lookahead (Mordido et al., ICML 2024).

Lookbehind takes k rounds of SAM on one batch, each from where the ascent of the one before has arrived, and then a step
of slow weights towards what they arrive at. Its authors find it more accurate than SAM and than SAM whose ascent takes
k steps, at a better trade-off between loss and sharpness. Reviewers missed a comparison at equal cost: it is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache

from samnesia.study.design import Design, Factor, Levels, Measure, Study
from samnesia.study.hypotheses import Also, Difference
from samnesia.study.measured import AtEnd, Measured
from samnesia.study.named import measures
from samnesia.study.named.registry import named
from samnesia.study.work import Work
from samnesia.train.config import Checkpoints, Evaluation, Logging, RunConfig
from samnesia.train.parts.methods import ASAM, SAM, Lookahead, Lookbehind, LookbehindASAM, Method, Unperturbed
from samnesia.train.recipes import find

PROBLEMS = ("digits-noisy", "digits-few")
BUDGETS = ("batches", "gradients")
"""As many batches for each method, and as many gradient evaluations as Lookbehind with k = 2 takes."""
AT_GRADIENTS = ("sgd", "lookahead", "sam", "sam-2", "lookbehind-2")
"""What can be compared at equal gradient evaluations: nothing that takes more of them than Lookbehind with k = 2."""
RHO = 0.1
"""Radius at which the sharpness of final weights is measured: the same for all runs."""
SMALLEST = 1.0  # points of test accuracy
CHOSEN: dict[str, dict[str, float]] = {
    "digits-noisy": {
        "lookahead": 0.2, "sam": 0.2, "sam-2": 0.2, "sam-5": 0.2, "lookbehind-2": 0.1, "lookbehind-5": 0.02,
    },
    "digits-few": {
        "lookahead": 0.5, "sam": 0.2, "sam-2": 0.2, "sam-5": 0.2, "lookbehind-2": 0.05, "lookbehind-5": 0.01,
    },
}  # fmt: skip
"""The radius of each method by problem, and how far Lookahead's slow weights go: benchmarks/multi_step_radii.py."""
TAKEN: dict[str, dict[str, float]] = {
    "digits-noisy": {"asam": 2.0, "asam-2": 2.0, "lookbehind-asam-2": 0.5},
    "digits-few": {"asam": 0.1, "asam-2": 0.1, "lookbehind-asam-2": 0.1},
}
"""Those of the full form's methods with ASAM's ball: of the recipes where there are some, and of ASAM."""

MEASURES = (
    measures.LAST,
    measures.BEST,
    Measure("train-loss", "last.train_loss", "training loss, last epoch", "nats", False),
    Measure("worst", "final.worst", "worst-case rise of the loss at the end", "nats", False),
    Measure("worst-adaptive", "final.worst_adaptive", "adaptive worst-case rise at the end", "nats", False),
    Measure("lambda-max", "final.lambda_max", "λmax at the end", "", False),
    measures.TRAIN,
    measures.EVALUATIONS,
    measures.SECONDS,
)


METHODS: dict[str, Callable[[float], Method]] = {
    "sgd": lambda size: Unperturbed(),
    "lookahead": lambda size: Lookahead(alpha=size),
    "sam": lambda size: SAM(rho=size),
    "sam-2": lambda size: SAM(rho=size, steps=2),
    "sam-5": lambda size: SAM(rho=size, steps=5),
    "lookbehind-2": lambda size: Lookbehind(rho=size, k=2),
    "lookbehind-5": lambda size: Lookbehind(rho=size, k=5),
    "asam": lambda size: ASAM(rho=size),
    "asam-2": lambda size: ASAM(rho=size, steps=2),
    "lookbehind-asam-2": lambda size: LookbehindASAM(rho=size, k=2),
}
"""The methods, each of its size: the radius in units of its own, or how far slow weights go."""


def base(problem: str, epochs: int | None) -> RunConfig:
    """What all methods of a problem share; `epochs` None is as in its recipe."""
    recipe = find(f"{problem}-sgd")
    return replace(
        recipe,
        recipe=f"multi-step-{problem}",
        epochs=epochs or recipe.epochs,
        checkpoints=Checkpoints(every_epochs=None, last=1, best=False),
        evaluation=Evaluation(every_epochs=5),
        logging=Logging(every_steps=0),
    )


@dataclass(frozen=True)
class Form:
    """How much of the study is run."""

    name: str
    """Of the study."""
    seeds: tuple[int, ...]
    """Reported seeds."""
    methods: tuple[str, ...]
    """Levels of the method."""
    at_gradients: tuple[str, ...]
    """Those that are compared at equal gradient evaluations as well."""
    epochs: dict[str, int] = field(default_factory=dict)
    """Of each run at equal batches, by problem; one that is not there has those of its recipe."""

    def work(self, levels: Levels, seed: int) -> Work:
        """What a cell does."""
        config = _arms(levels["problem"], levels["budget"], self.epochs.get(levels["problem"]))[levels["method"]]
        return Measured(replace(config, seed=seed), AtEnd(rho=RHO, m=40, samples=400, vectors=0, nulls=False))

    def study(self) -> Study:
        """The study in this form."""
        others = tuple(name for name in self.methods if name not in self.at_gradients)
        design = Design(
            name=self.name,
            question="Is Lookbehind better than SAM, with one ascent step or several, and is it at equal cost?",
            factors=(Factor("method", self.methods), Factor("problem", PROBLEMS), Factor("budget", BUDGETS)),
            measures=MEASURES,
            seeds=self.seeds,
            tuning_seeds=(1000, 1001),
            left_out=tuple({"method": name, "budget": "gradients"} for name in others),
            primary=tuple(one for problem in PROBLEMS for one in _claims(problem)),
            exploratory=tuple(one for problem in PROBLEMS for one in _looked_at(problem, self)),
            notes=NOTES,
        )
        return Study(design, self.work)


NOTES = (
    "Claims are those of Mordido et al. (ICML 2024, arXiv 2307.16704): Lookbehind is more accurate than SAM and than "
    "multi-step SAM, and has the better trade-off between loss and sharpness. They report the best epoch, hypotheses "
    "here are about the last; the best validation epoch is exploratory.",
    "Lookbehind is as released: adaptive interpolation for each tensor, 2 k gradient evaluations for each batch, k "
    "steps of the base optimizer; but running statistics move in the first pass alone.",
    "Multi-step SAM takes k ascent steps of rho / k and the gradient at the last; Lookahead follows every fifth step.",
    "The radius of each method, and how far Lookahead goes, were chosen on validation and tuning seeds at 30 or 20 "
    "epochs and equal batches, from a grid for each (benchmarks/multi_step_radii.py). The learning rate is that of "
    "plain SGD. Methods with ASAM's ball, which the full form has, keep the radii of the recipes.",
    "At equal gradient evaluations the others train for more epochs, with the radius of equal batches.",
    "Lookahead over SAM, which the authors have as well, is not here.",
)
EPOCHS = {"digits-noisy": 30, "digits-few": 20}
"""Of the quick form, and of the choice of radii."""
QUICK = Form(
    name="multi-step-quick",
    seeds=tuple(range(6)),
    methods=("sgd", "lookahead", "sam", "sam-2", "lookbehind-2"),
    at_gradients=("sgd", "sam", "lookbehind-2"),
    epochs=EPOCHS,
)
FULL = Form("multi-step", tuple(range(10)), tuple(METHODS), AT_GRADIENTS)


@named
def multi_step(quick: bool = False) -> Study:
    """Lookbehind against multi-step SAM, SAM and Lookahead: accuracy, loss and sharpness, also at equal gradients."""
    return (QUICK if quick else FULL).study()


def _claims(problem: str) -> Iterator[Difference]:
    """What is claimed on a problem."""
    begin = "Lookbehind (k = 2) is more accurate than"
    yield _less(problem, f"{begin} SAM on {problem}", "sam", smallest=SMALLEST)
    yield _less(problem, f"{begin} SAM of 2 ascent steps on {problem}", "sam-2", smallest=SMALLEST)
    yield _less(problem, f"{begin} SAM at equal gradients on {problem}", "sam", budget="gradients", smallest=SMALLEST)
    yield replace(
        _less(problem, f"Lookbehind (k = 2) ends at lower loss and sharpness than SAM on {problem}", "sam",
              measure="train-loss"),
        direction="lower",
        also=(Also(measure="worst", direction="lower"),),
    )  # fmt: skip


def _looked_at(problem: str, form: Form) -> Iterator[Difference]:
    """The exploratory effects on a problem."""
    accuracy = (
        ("lookbehind-2", "sgd"), ("lookbehind-2", "lookahead"), ("lookbehind-2", "sam-5"), ("lookbehind-5", "sam"),
        ("lookbehind-5", "sam-5"), ("lookbehind-5", "lookbehind-2"), ("lookbehind-asam-2", "asam"),
        ("lookbehind-asam-2", "asam-2"), ("sam-2", "sam"),
    )  # fmt: skip
    looked = [("accuracy", "last", "batches", *pair) for pair in accuracy]
    looked += [("at equal gradients: accuracy", "last", "gradients", "lookbehind-2", control)
               for control in ("sgd", "lookahead", "sam-2") if control in form.at_gradients]  # fmt: skip
    looked += [("best epoch: accuracy", "best", "batches", "lookbehind-2", control) for control in ("sam", "sam-2")]
    for measure, words in (("train-loss", "training loss"), ("worst", "worst-case rise"), ("lambda-max", "λmax")):
        for pair in (("lookbehind-2", "sam"), ("lookbehind-2", "sam-2"), ("lookbehind-5", "sam"),
                     ("lookbehind-asam-2", "asam")):  # fmt: skip
            looked.append((words, measure, "batches", *pair))
    for words, measure, budget, treatment, control in looked:
        if {treatment, control} <= {*form.methods}:
            claim = f"{words}, {treatment} less {control} ({problem})"
            yield _less(problem, claim, control, treatment, measure, budget)


def _less(problem: str, claim: str, control: str, treatment: str = "lookbehind-2", measure: str = "last",
          budget: str = "batches", smallest: float = 0.0) -> Difference:  # fmt: skip
    """A method less another, on a problem."""
    return Difference(
        claim=claim, measure=measure, treatment={"method": treatment}, control={"method": control},
        where={"problem": problem, "budget": budget}, smallest=smallest,
    )  # fmt: skip


@cache
def _arms(problem: str, budget: str, epochs: int | None) -> dict[str, RunConfig]:
    from samnesia.study.comparison.budgets import equal_gradients  # torch, which a list of studies does without

    shared, sizes = base(problem, epochs), CHOSEN[problem] | TAKEN[problem]
    arms = {name: replace(shared, method=METHODS[name](sizes.get(name, 0.0))) for name in METHODS}
    return equal_gradients({name: arms[name] for name in AT_GRADIENTS}) if budget == "gradients" else arms
