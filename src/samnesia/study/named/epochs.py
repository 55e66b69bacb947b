"""Does SAM allow longer training without overfitting?

Foret et al. (ICLR 2021, section 3.1) train ResNets on ImageNet for 100, 200 and 400 epochs: with SAM the error goes on
falling, while standard training overfits as it gets longer. Here a run of each problem's recipe is made two, four and
eight times as long, the course of the learning rate stretched over it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from samnesia.study.design import Design, Factor, Levels, Study
from samnesia.study.hypotheses import Difference, Direction, Hypothesis
from samnesia.study.named import measures
from samnesia.study.named.registry import named
from samnesia.study.training import Training
from samnesia.study.work import Work
from samnesia.train.config import Checkpoints, Evaluation, Logging, RunConfig
from samnesia.train.recipes import find

PROBLEMS = ("digits-noisy", "digits-few", "digits-shortcut", "photographs", "wine")
METHODS = ("sgd", "sam")
LENGTHS = ("x1", "x2", "x4", "x8")
"""Epochs as multiples of those of the recipe."""
SHORT, LONG = "x1", "x4"
"""What the claims are about, in either form: a factor of four, as in the paper."""
EVALUATIONS = 20
"""Of a run, about; of all runs of a problem as many, so that the best epoch is chosen among as many."""
SMALLEST = 1.0  # points of test accuracy

MEASURES = (
    measures.LAST,
    measures.BEST,
    measures.LAST_LOSS,
    measures.TRAIN,
    measures.FLIPPED,
    measures.MARK,
    measures.WEIGHTS,
    measures.EVALUATIONS,
    measures.SECONDS,
)


@named
def epochs(quick: bool = False) -> Study:
    """Whether SAM goes on gaining over one to eight times the epochs, and SGD overfits."""
    problems = PROBLEMS[:3] if quick else PROBLEMS
    lengths = LENGTHS[:3] if quick else LENGTHS
    design = Design(
        name="epochs-quick" if quick else "epochs",
        question="Does SAM go on gaining where longer training makes SGD overfit?",
        factors=(Factor("method", METHODS), Factor("epochs", lengths), Factor("problem", problems)),
        measures=MEASURES,
        seeds=tuple(range(6 if quick else 10)),
        tuning_seeds=tuple(range(1000, 1005)),
        primary=tuple(one for problem in problems for one in _claims(problem)),
        exploratory=tuple(one for problem in problems for one in _looked_at(problem, lengths)),
        notes=(
            "The claims are those of Foret et al. (ICLR 2021, section 3.1) about ResNets on ImageNet over 100 to 400 "
            "epochs: SAM goes on gaining, standard training overfits.",
            "x1 are the epochs of the problem's recipe, for which learning rate, weight decay and radius were chosen "
            "on validation data with the tuning seeds; nothing was tuned for the longer runs.",
            "The whole course of the learning rate is stretched; its warm-up and the four epochs before SAM perturbs "
            "stay as long as they are.",
            "SAM over x2 epochs has as many gradient evaluations as SGD over x4, but for those four epochs.",
            "Every run of a problem is evaluated as often, however long it is, so that best epochs are the best of "
            "equally many.",
            "On photographs and on wine the chosen radius is so small that SAM is all but SGD.",
        ),
    )
    return Study(design, _work)


def _work(levels: Levels, seed: int) -> Work:
    return Training(configuration(levels["problem"], levels["method"], levels["epochs"], seed))


def configuration(problem: str, method: str, length: str, seed: int) -> RunConfig:
    """The recipe of the problem and method, so many times as long."""
    base = find(f"{problem}-{method}")
    times = int(length[1:])
    return replace(
        base,
        epochs=base.epochs * times,
        evaluation=Evaluation(every_epochs=max(1, base.epochs // EVALUATIONS) * times),
        checkpoints=Checkpoints(every_epochs=None, last=1, best=False),
        logging=Logging(every_steps=0),
        seed=seed,
    )


def _claims(problem: str) -> Iterator[Difference]:
    """The two slopes that the paper tells apart, and the control at equal gradient evaluations."""
    yield _slope(f"SAM gains by four times the epochs on {problem}", "last", "sam", problem, LONG, "higher")
    yield _slope(f"SGD loses by four times the epochs on {problem}", "last", "sgd", problem, LONG, "lower")
    yield Difference(
        claim=f"SAM over x2 epochs is better than SGD over x4 on {problem}",
        measure="last",
        treatment={"method": "sam", "epochs": "x2"},
        control={"method": "sgd", "epochs": LONG},
        where={"problem": problem},
        smallest=SMALLEST,
    )


def _slope(claim: str, measure: str, method: str, problem: str, length: str, direction: Direction) -> Difference:
    return Difference(
        claim=claim,
        measure=measure,
        treatment={"epochs": length},
        control={"epochs": SHORT},
        where={"method": method, "problem": problem},
        direction=direction,
        smallest=SMALLEST,
    )


def _looked_at(problem: str, lengths: tuple[str, ...]) -> Iterator[Hypothesis]:
    """Slopes to other lengths and at the best epoch, and SAM less SGD at equal steps and at equal gradients."""
    for measure, words in (("last", "last epoch"), ("best", "best epoch")):
        for method in METHODS:
            for length in lengths[1:]:
                if (measure, length) != ("last", LONG):
                    said = f"{method.upper()}, {length} less {SHORT}, {words} ({problem})"
                    yield _slope(said, measure, method, problem, length, "higher")
        for length in lengths:
            yield Difference(
                claim=f"SAM less SGD at {length}, {words} ({problem})", measure=measure, where={"problem": problem},
                treatment={"method": "sam", "epochs": length}, control={"method": "sgd", "epochs": length},
            )  # fmt: skip
        for length, twice in zip(lengths, lengths[1:], strict=False):
            if (measure, twice) != ("last", LONG):
                yield Difference(
                    claim=f"SAM at {length} less SGD at {twice}, {words} ({problem})", measure=measure,
                    treatment={"method": "sam", "epochs": length}, control={"method": "sgd", "epochs": twice},
                    where={"problem": problem},
                )  # fmt: skip
