"""Does Lookbehind forget less of earlier tasks than SAM and ASAM, and do these forget less than SGD?

Mordido et al. (ICML 2024) train one task after the other and report more accuracy over all tasks and less forgetting
where SAM or ASAM take several rounds on each batch and slow weights follow. That SAM forgets less than SGD is reported
by Mehta et al. (JMLR 2023). Here on split and permuted digits, where nothing is done about forgetting, and beside
replay and elastic weight consolidation; and at equal gradient evaluations, which reviewers missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from samnesia.lifelong.config import LifelongConfig
from samnesia.lifelong.recipes import digits
from samnesia.study.design import Design, Factor, Levels, Measure, Study
from samnesia.study.hypotheses import Also, Difference
from samnesia.study.named import measures
from samnesia.study.named.cells.lifelong import Learned
from samnesia.study.named.registry import named
from samnesia.study.work import Work

PROBLEMS = {"split": "split-digits", "permuted": "permuted-digits"}
METHODS = {
    "sgd": "sgd",
    "sam": "sam",
    "asam": "asam",
    "lookbehind-sam": "lookbehind",
    "lookbehind-asam": "lookbehind-asam",
}
"""Levels of the method, and what the recipes call them."""
STRATEGIES = ("plain", "replay", "ewc")
JOINT = "joint"
"""All tasks together, with plain SGD: the upper line."""
BUDGETS = ("batches", "gradients")
"""As many batches of each task for each method, and as many gradient evaluations as Lookbehind takes."""
LONGER = {"sgd": 4, "sam": 2, "asam": 2}
"""Epochs at equal gradients, as multiples: Lookbehind with k = 2 takes four gradients on a batch, SAM two."""
SMALLEST = 1.0  # points

ACCURACY = Measure("accuracy", "last.test_accuracy", "accuracy over all tasks after the last", "%", True)
FORGETTING = Measure("forgetting", "last.test_forgetting", "forgetting", "%", False)
MEASURES = (
    ACCURACY,
    FORGETTING,
    Measure("learning", "last.test_learning_accuracy", "accuracy on each task right after it", "%", True),
    Measure("backward", "last.test_backward_transfer", "backward transfer", "%", True),
    Measure("validation", "last.validation_accuracy", "validation accuracy over all tasks after the last", "%", True),
    measures.EVALUATIONS,
    measures.SECONDS,
)
NOTES = (
    "Claims about Lookbehind are those of Mordido et al. (ICML 2024, arXiv 2307.16704): more accuracy over all tasks "
    "and less forgetting than with SAM and ASAM. That SAM forgets less than SGD is in Mehta et al. (JMLR 2023).",
    "Split: five tasks of two digits each, known at test, with a head each. Permuted: five tasks of 400 digits, the "
    "pixels of each task but the first in another order, with one head.",
    "Forgetting is that of Chaudhry et al. (ECCV 2018): the best accuracy on a task so far less that after the last "
    "task, a mean over all tasks but the last. What is learned less can be forgotten less: read it beside the accuracy "
    "right after each task.",
    "Claims at equal batches are about the mean over three strategies: nothing, a reservoir of 50 samples, and EWC "
    "with an anchor for each task. Those at equal gradients are about nothing done.",
    "PROVISIONAL: learning rate, strength of EWC and radii are guesses (samnesia/lifelong/recipes.py), until "
    "benchmarks/lifelong_radii.py has chosen them on validation and tuning seeds; verdicts before count for nothing.",
    "At equal gradients the others train each task for more epochs, with the settings of equal batches.",
    "Each task begins with a new optimizer, without weight decay, at a constant learning rate; the net has no "
    "BatchNorm.",
    "Joint training, all tasks together for as many epochs with plain SGD, is the line above which no sequence is "
    "expected.",
)


@dataclass(frozen=True)
class Form:
    """How much of the study is run."""

    name: str
    """Of the study."""
    seeds: tuple[int, ...]
    """Reported seeds."""
    at_gradients: tuple[str, ...]
    """Strategies that run at equal gradients as well."""

    def work(self, levels: Levels, seed: int) -> Work:
        """What a cell does."""
        return Learned(sequence(levels["problem"], levels["method"], levels["strategy"], levels["budget"], seed))

    def study(self) -> Study:
        """The study in this form."""
        design = Design(
            name=self.name,
            question="Does Lookbehind forget less of earlier tasks than SAM and ASAM, and does SAM than SGD?",
            factors=(
                Factor("method", (*METHODS,)),
                Factor("strategy", (*STRATEGIES, JOINT)),
                Factor("problem", (*PROBLEMS,)),
                Factor("budget", BUDGETS),
            ),
            measures=MEASURES,
            seeds=self.seeds,
            tuning_seeds=(1000, 1001),
            left_out=(
                *({"method": name, "strategy": JOINT} for name in METHODS if name != "sgd"),
                *({"strategy": name, "budget": "gradients"} for name in (*STRATEGIES, JOINT)
                  if name not in self.at_gradients),
            ),
            primary=tuple(one for problem in PROBLEMS for one in _claims(problem)),
            exploratory=tuple(one for problem in PROBLEMS for one in _looked_at(problem)),
            notes=NOTES,
        )  # fmt: skip
        return Study(design, self.work)


def sequence(problem: str, method: str, strategy: str, budget: str, seed: int) -> LifelongConfig:
    """The sequence of tasks of a cell."""
    config = digits(PROBLEMS[problem], METHODS[method], strategy)
    epochs = config.training.epochs * (LONGER.get(method, 1) if budget == "gradients" else 1)
    evaluation = replace(config.training.evaluation, every_epochs=epochs)
    return replace(
        config,
        recipe=f"lifelong-{problem}",
        training=replace(
            config.training, recipe=f"lifelong-{problem}", epochs=epochs, evaluation=evaluation, seed=seed
        ),
    )


QUICK = Form("lifelong-quick", tuple(range(8)), ("plain",))
FULL = Form("lifelong", tuple(range(20)), STRATEGIES)


@named
def lifelong(quick: bool = False) -> Study:
    """Tasks one after the other: forgetting and accuracy with SGD, SAM, ASAM and Lookbehind, replay and EWC."""
    return (QUICK if quick else FULL).study()


def _claims(problem: str) -> Iterator[Difference]:
    """What is claimed on a problem."""
    less = (Also(measure="forgetting", direction="lower", smallest=SMALLEST),)
    for base in ("sam", "asam"):
        yield _less(
            f"Lookbehind with {base.upper()} is more accurate over all tasks and forgets less than {base.upper()} "
            f"({problem})",
            problem, f"lookbehind-{base}", base, smallest=SMALLEST, also=less,
        )  # fmt: skip
    yield _less(
        f"SAM forgets less than SGD ({problem})", problem, "sam", "sgd", "forgetting", direction="lower",
        smallest=SMALLEST,
    )  # fmt: skip
    yield _less(
        f"Lookbehind with SAM is more accurate over all tasks than SAM at equal gradients ({problem})",
        problem, "lookbehind-sam", "sam", strategy="plain", budget="gradients", smallest=SMALLEST,
    )  # fmt: skip
    yield _less(
        f"SAM forgets less than SGD at equal gradients ({problem})", problem, "sam", "sgd", "forgetting",
        strategy="plain", budget="gradients", direction="lower", smallest=SMALLEST,
    )  # fmt: skip


PAIRS = (("sam", "sgd"), ("asam", "sgd"), ("lookbehind-sam", "sgd"), ("lookbehind-sam", "sam"),
         ("lookbehind-asam", "asam"))  # fmt: skip


def _looked_at(problem: str) -> Iterator[Difference]:
    """The exploratory effects on a problem."""
    for strategy in STRATEGIES:
        for measure in ("accuracy", "forgetting", "learning"):
            for pair in PAIRS:
                name = f"{measure}, {pair[0]} less {pair[1]} ({problem}, {strategy})"
                yield _less(name, problem, *pair, measure, strategy=strategy)
    for pair in PAIRS:
        for measure in ("accuracy", "forgetting"):
            name = f"at equal gradients: {measure}, {pair[0]} less {pair[1]} ({problem})"
            yield _less(name, problem, *pair, measure, strategy="plain", budget="gradients")
    for strategy in ("replay", "ewc", JOINT):
        yield Difference(
            claim=f"accuracy, {strategy} less nothing done, sgd ({problem})", measure="accuracy",
            treatment={"strategy": strategy}, control={"strategy": "plain"},
            where={"problem": problem, "method": "sgd", "budget": "batches"},
        )  # fmt: skip


def _less(claim: str, problem: str, treatment: str, control: str, measure: str = "accuracy", *,
          strategy: str | None = None, budget: str = "batches", direction: str = "higher", smallest: float = 0.0,
          also: tuple[Also, ...] = ()) -> Difference:  # fmt: skip
    """A method less another, on a problem: with one strategy, or over the three of a sequence."""
    where = {"problem": problem, "budget": budget} | ({} if strategy is None else {"strategy": strategy})
    return Difference(
        claim=claim, measure=measure, treatment={"method": treatment}, control={"method": control}, where=where,
        over={} if strategy is not None else {"strategy": STRATEGIES}, smallest=smallest, also=also,
        direction="lower" if direction == "lower" else "higher",
    )  # fmt: skip
