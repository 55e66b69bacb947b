"""Does flatness tell which of several SAM-trained nets generalizes better?

That sharper minima generalize worse is what SAM was made for (Foret et al., ICLR 2021), and that adaptive sharpness
tells more than plain sharpness does is the claim of ASAM (Kwon et al., ICML 2021), by nets of which some were trained
with it and some were not. Andriushchenko et al. (ICML 2023) hardly find such a relation. Here all nets are trained with
SAM, and differ in its radius, in the samples of a perturbation, and in the learning rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from samnesia.study.design import Design, Factor, Levels, Measure, Study
from samnesia.study.hypotheses import Correlation, Hypothesis, StrongerCorrelation
from samnesia.study.measured import AtEnd, Measured
from samnesia.study.named import measures
from samnesia.study.named.registry import named
from samnesia.study.work import Work
from samnesia.train.config import Checkpoints, Evaluation, Logging, RunConfig
from samnesia.train.parts.methods import SAM
from samnesia.train.recipes import find

PROBLEMS = ("digits-noisy", "digits-shortcut")
RATES = {"x0.3": 0.3, "x1": 1.0, "x3": 3.0}
"""Learning rates, next to that of the problem's recipe."""
BATCH = "80"
"""Samples of a step of both problems."""
COMMON = 0.1
"""Radius at which sharpness is measured, of all nets."""
SMALLEST_TAU, SMALLEST_GAIN = 0.2, 0.1
ACCURACY, LARGEST, WORST, ADAPTIVE, MICRO = "accuracy", "lambda-max", "worst", "worst-adaptive", "m-sharpness"

SHARPNESS = (
    Measure(LARGEST, "final.lambda_max", "λmax"),
    Measure(WORST, "final.worst", "worst-case sharpness", "nats"),
    Measure(ADAPTIVE, "final.worst_adaptive", "adaptive worst-case sharpness", "nats"),
    Measure(MICRO, "final.m_sharpness", "m-sharpness (m = 20)", "nats"),
    Measure("trace", "final.trace", "trace of the Hessian"),
    Measure("own-rise", "final.own.exposed.loss_rise", "rise of the loss at the radius and m of training", "nats"),
)
"""Of the final weights; the trace is the average-case sharpness of a small radius, times a constant."""
MEASURES = (
    Measure(ACCURACY, "last.test_accuracy", "test accuracy, last epoch", "%", True),
    Measure("loss", "last.test_loss", "test loss, last epoch", "nats", False),
    *SHARPNESS,
    measures.TRAIN,
    Measure("train-loss", "last.train_loss", "training loss, last epoch", "nats"),
    Measure("weights", "weight_norm", "norm of the weights"),
    measures.FLIPPED,
    measures.MARK,
    measures.SECONDS,
)


@dataclass(frozen=True)
class Form:
    """How much of the study is run."""

    name: str
    """Of the study."""
    radii: tuple[str, ...]
    """Levels of rho."""
    sizes: tuple[str, ...]
    """Levels of m: samples of a perturbation."""
    seeds: tuple[int, ...]
    """Reported seeds."""
    epochs: dict[str, int] = field(default_factory=dict)
    """Of each run, by problem; one that is not there has those of its recipe."""

    def work(self, levels: Levels, seed: int) -> Work:
        """What a cell does."""
        return Measured(self.configuration(levels, seed), AtEnd(rho=COMMON, m=20, samples=400, nulls=False))

    def configuration(self, levels: Levels, seed: int) -> RunConfig:
        """The run of a cell."""
        problem, m = levels["problem"], levels["m"]
        base = find(f"{problem}-sgd")
        return replace(
            base,
            recipe=f"flatness-{problem}",
            method=SAM(rho=float(levels["rho"])),
            optimizer=replace(base.optimizer, lr=base.optimizer.lr * RATES[levels["rate"]]),
            micro_batch=None if m == BATCH else int(m),
            epochs=self.epochs.get(problem, base.epochs),
            checkpoints=Checkpoints(every_epochs=None, last=1, best=False),
            evaluation=Evaluation(every_epochs=10),
            logging=Logging(every_steps=0),
            seed=seed,
        )

    def study(self) -> Study:
        """The study in this form."""
        design = Design(
            name=self.name,
            question="Of nets that are all trained with SAM, are the flatter ones the more accurate?",
            factors=(
                Factor("rho", self.radii),
                Factor("m", self.sizes),
                Factor("rate", tuple(RATES)),
                Factor("problem", PROBLEMS),
            ),
            measures=MEASURES,
            seeds=self.seeds,
            compared="rho",
            primary=tuple(_claims()),
            exploratory=tuple(one for problem in PROBLEMS for one in _looked_at(problem)),
            notes=NOTES,
        )
        return Study(design, self.work)


NOTES = (
    "Claims are made for flatness: supported means that sharper nets are less accurate, contradicted that such a "
    "relation of the size of interest is ruled out, as Andriushchenko et al. (ICML 2023) would have it.",
    "All nets are trained with SAM; none of the radii, m and learning rates was chosen by its results. Nets that have "
    "hardly learned are among them: what is left at equal training loss is exploratory.",
    f"Sharpness is that of the final weights at the radius {COMMON:g} (adaptive: 0.5) on 400 training samples, the "
    "same for all nets of a seed; BatchNorm is in evaluation mode.",
    "Design cells that share a radius, an m or a learning rate are counted as independent, so that intervals are about "
    "such cells and too short for others.",
)
QUICK = Form(
    name="flatness-quick",
    radii=("0.025", "0.05", "0.1", "0.2", "0.4"),
    sizes=("40", BATCH),
    seeds=tuple(range(3)),
    epochs=dict.fromkeys(PROBLEMS, 20),
)
FULL = Form(
    name="flatness",
    radii=("0.0125", *QUICK.radii, "0.8"),
    sizes=("5", "10", "20", "40", BATCH),
    seeds=tuple(range(5)),
)


@named
def flatness(quick: bool = False) -> Study:
    """How sharpness of several kinds ranks the accuracy of nets that are all trained with SAM."""
    return (QUICK if quick else FULL).study()


def _claims() -> Iterator[Hypothesis]:
    """What is claimed for flatness."""
    for problem in PROBLEMS:
        yield Correlation(
            claim=f"Of SAM-trained nets, those of a smaller λmax are more accurate on {problem}", x=LARGEST,
            y=ACCURACY, where={"problem": problem}, direction="lower", smallest=SMALLEST_TAU,
        )  # fmt: skip
    for measure, words in ((WORST, "worst-case sharpness"), (MICRO, "m-sharpness")):
        yield Correlation(
            claim=f"Of SAM-trained nets, those of a smaller {words} are more accurate", x=measure, y=ACCURACY,
            within=("problem",), direction="lower", smallest=SMALLEST_TAU,
        )  # fmt: skip
    yield StrongerCorrelation(
        claim="Adaptive worst-case sharpness ranks accuracy better than λmax does", x=ADAPTIVE, rival=LARGEST,
        y=ACCURACY, signs=(-1, -1), within=("problem",), smallest=SMALLEST_GAIN,
    )  # fmt: skip


def _looked_at(problem: str) -> Iterator[Hypothesis]:
    """The exploratory relations on a problem."""
    where = {"problem": problem}
    for measure in (*SHARPNESS, *(one for one in MEASURES if one.name in ("train", "weights"))):
        yield Correlation(claim=f"{measure.label} ({problem})", x=measure.name, y=ACCURACY, where=where)
    for measure in SHARPNESS:
        label = measure.label
        yield Correlation(claim=f"with test loss: {label} ({problem})", x=measure.name, y="loss", where=where)
        yield Correlation(
            claim=f"at equal training loss: {label} ({problem})", x=measure.name, y=ACCURACY, where=where,
            given="train-loss",
        )  # fmt: skip
        yield Correlation(
            claim=f"within rho: {label} ({problem})", x=measure.name, y=ACCURACY, where=where, within=("rho",),
        )  # fmt: skip
        yield Correlation(
            claim=f"within the learning rate: {label} ({problem})", x=measure.name, y=ACCURACY, where=where,
            within=("rate",),
        )  # fmt: skip
