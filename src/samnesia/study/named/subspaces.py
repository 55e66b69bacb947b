"""Lines and simplexes of nets: the claims of Wortsman et al. (ICML 2021), with SGD and with SAM.

What differs from theirs: digits and small nets, with clean and with 40 % wrong labels, for CIFAR-10, TinyImageNet and
ImageNet; 60 or 80 epochs; wrong labels go to the other classes. As there, a subspace is trained with the learning rate,
weight decay and epochs of one net, and with a penalty of strength 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from samnesia.models.subspaces.shapes import AnyShape, Curve, Line, Simplex
from samnesia.study.design import Design, Factor, Levels, Measure, Study
from samnesia.study.hypotheses import Difference
from samnesia.study.measured import Measured
from samnesia.study.named import measures
from samnesia.study.named.cells.endpoints import Ends, Ensembled
from samnesia.study.named.registry import named
from samnesia.study.work import Work
from samnesia.train.config import SAM, Checkpoints, Evaluation, Logging, Method, RunConfig, Unperturbed
from samnesia.train.recipes import find

PLAIN, SLOW, PAIR, SAM_NET = "sgd", "sgd-half-rate", "two-nets", "sam"
LINE, SIMPLEX, LINE_SAM, SMALL_SAM = "line", "simplex", "line-sam", "line-sam-half-radius"
NOISY, CLEAN = "digits-noisy", "digits-few"
PROBLEMS = (NOISY, CLEAN)


@dataclass(frozen=True)
class Arm:
    """What is trained."""

    shape: AnyShape | None = None
    radius: float = 0.0
    """Of SAM, as a multiple of that of the recipe; 0 is plain SGD."""
    rate: float = 1.0
    """Of the learning rate of the recipe."""


ARMS = {
    PLAIN: Arm(),
    SLOW: Arm(rate=0.5),
    PAIR: Arm(),
    LINE: Arm(Line()),
    SIMPLEX: Arm(Simplex(n=3)),
    "curve": Arm(Curve()),
    "line-layerwise": Arm(Line(layerwise=True)),
    SAM_NET: Arm(radius=1.0),
    LINE_SAM: Arm(Line(), radius=1.0),
    SMALL_SAM: Arm(Line(), radius=0.5),
}
ONLY_FULL = ("curve", "line-layerwise")
SUBSPACES = tuple(name for name, arm in ARMS.items() if arm.shape is not None)
SMALLEST = {NOISY: 1.0, CLEAN: 0.5}
"""Points: on clean digits there is less to gain."""

MEASURES = (
    measures.LAST,
    measures.BEST,
    Measure("ece", "final.ece", "expected calibration error at the end", "%", False),
    Measure("nll", "final.nll", "test loss at the end", "nats", False),
    Measure("corrupted", "final.corrupted", "accuracy on corrupted test images at the end", "%", True),
    measures.FLIPPED,
    Measure("ensemble", "ensemble.accuracy", "test accuracy of the endpoints together", "%", True),
    Measure("ensemble-ece", "ensemble.ece", "expected calibration error of the endpoints together", "%", False),
    Measure("endpoints", "endpoints.accuracy", "test accuracy of an endpoint, mean", "%", True),
    Measure("behind", "endpoints.behind", "test accuracy, an endpoint's below the centre's", "points"),
    Measure("cosine", "endpoints.cosine", "largest squared cosine of two endpoints"),
    Measure("lowest", "along.lowest", "lowest test accuracy on the way", "%", True),
    measures.EVALUATIONS,
    measures.SECONDS,
)


@named
def subspaces(quick: bool = False) -> Study:
    """Lines and simplexes of nets (Wortsman et al.): is their centre more accurate, better calibrated, more robust?"""
    arms = tuple(name for name in ARMS if not (quick and name in ONLY_FULL))
    design = Design(
        name="subspaces-quick" if quick else "subspaces",
        question="Is the centre of a trained line better than one net, and do its ends make up for two nets?",
        factors=(Factor("method", arms), Factor("problem", PROBLEMS)),
        measures=MEASURES,
        seeds=tuple(range(8 if quick else 16)),
        tuning_seeds=tuple(range(1000, 1005)),
        primary=tuple(_claims()),
        exploratory=tuple(_looked_at(arms)),
        notes=(
            "Wortsman et al. claim that the midpoint of a line is more accurate, better calibrated and more robust to "
            "wrong labels than one net trained for as long, and that the endpoints together approach an ensemble of "
            "independent nets. One claim is put as an opponent would: contradicted, it speaks for the paper.",
            "digits-noisy has 40 % wrong labels and a small CNN with BatchNorm; digits-few has 400 clean digits and an "
            "MLP without BatchNorm.",
            "A subspace has the settings of one net (the paper's way) and a penalty of strength 1. Nothing was tuned "
            "for this study.",
            "A step moves the centre of a line half as far as it would move one net, because each endpoint gets its "
            f"share of the gradient: {SLOW} is one net at half the learning rate.",
            f"{PAIR} is the mean of the logits of two nets from different initial weights, on the same data in the "
            "same order; it costs two trainings. One net is its own ensemble.",
            f"The radius of {SAM_NET} was chosen for one net, by validation (benchmarks/choose_radii.py). {LINE_SAM} "
            "has the same, which is 0.71 of it for the net at the midpoint and all of it at the ends; "
            f"{SMALL_SAM} has half. Neither was chosen: what is said of SAM along lines is exploratory.",
            "The figures of a subspace are those of its centre, with BatchNorm's statistics estimated anew. The "
            "calibration error has 20 bins; corruptions are the 15 of ImageNet-C, made for 8 x 8 pixels, at severity "
            "3. The paper measures calibration on clean labels.",
            "Runs are evaluated every fifth epoch; the best epoch is one of these.",
        ),
    )  # fmt: skip
    return Study(design, _work)


def _work(levels: Levels, seed: int) -> Work:
    config, ends = configuration(levels["method"], levels["problem"], seed), Ends()
    return Ensembled(config, ends) if levels["method"] == PAIR else Measured(config, ends)


def configuration(method: str, problem: str, seed: int) -> RunConfig:
    """The run of an arm; of two nets, either."""
    arm, base, sam = ARMS[method], find(f"{problem}-sgd"), find(f"{problem}-sam").method
    assert isinstance(sam, SAM)  # the recipe's
    chosen: Method = replace(sam, rho=arm.radius * sam.rho) if arm.radius else Unperturbed()
    return replace(
        base,
        recipe=f"subspaces-{problem}",
        subspace=arm.shape,
        method=chosen,
        optimizer=replace(base.optimizer, lr=arm.rate * base.optimizer.lr),
        checkpoints=Checkpoints(every_epochs=None, last=1, best=False),
        evaluation=Evaluation(every_epochs=5),
        logging=Logging(every_steps=0),
        seed=seed,
    )


def _claims() -> Iterator[Difference]:
    yield _less("The midpoint of a line resists wrong labels better than one net", "last", LINE, PLAIN, NOISY)
    yield _less("The midpoint of a line is more accurate than one net, clean labels", "last", LINE, PLAIN, CLEAN)
    yield replace(
        _less("The midpoint of a line is better calibrated than one net, clean labels", "ece", LINE, PLAIN, CLEAN),
        direction="lower",
    )
    for problem in PROBLEMS:
        yield Difference(
            claim=f"AGAINST the paper: two nets together are better than the ends of a line together ({problem})",
            measure="ensemble", treatment={"method": PAIR}, control={"method": LINE}, where={"problem": problem},
            smallest=SMALLEST[problem],
        )  # fmt: skip


def _looked_at(arms: tuple[str, ...]) -> Iterator[Difference]:
    pairs = [(name, PLAIN) for name in arms if name != PLAIN]
    pairs += [(LINE, SLOW), (SIMPLEX, LINE), (PAIR, LINE), (LINE_SAM, SAM_NET), (SMALL_SAM, SAM_NET), (SMALL_SAM, LINE)]
    for problem in PROBLEMS:
        for measure in ("last", "best", "ece", "nll", "corrupted", "ensemble", "ensemble-ece"):
            for one, other in pairs:
                if PAIR in (one, other) and measure == "best":
                    continue  # of two nets together only the last epoch is known
                yield replace(_less(f"{measure}, {one} less {other}, {problem}", measure, one, other, problem),
                              smallest=0.0)  # fmt: skip
        for one, other in ((SIMPLEX, LINE), (LINE_SAM, LINE), (SMALL_SAM, LINE)):
            claim = f"centre above endpoints, {one} less {other}, {problem}"
            yield replace(_less(claim, "behind", one, other, problem), smallest=0.0)


def _less(claim: str, measure: str, one: str, other: str, problem: str) -> Difference:
    return Difference(
        claim=claim, measure=measure, treatment={"method": one}, control={"method": other}, where={"problem": problem},
        smallest=SMALLEST[problem],
    )  # fmt: skip
