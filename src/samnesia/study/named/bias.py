"""The bias bench: does the perturbation forget the bias or the signal? (Vani et al., ICML 2024, figure 1.)

The paper says that the ascent step forgets what a model has wrongly learnt to go by, before the gradient is taken, and
that output-bias forgetting does so more than loss ascent does. Here the bias is planted: a mark that tells the class in
training, more or less often, and nothing in the test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from samnesia.study.design import Design, Factor, Levels, Measure, Study
from samnesia.study.hypotheses import Difference
from samnesia.study.measured import Measured
from samnesia.study.named import measures
from samnesia.study.named.cells.marks import OnMarks
from samnesia.study.named.forgetting import farther
from samnesia.study.named.registry import named
from samnesia.study.work import Work
from samnesia.train.config import ASAM, OBF, SAM, Checkpoints, Digits, Evaluation, Logging, Method, Random, RunConfig
from samnesia.train.parts.methods import Unperturbed
from samnesia.train.recipes import find

PLAIN, LONG = "sgd", "sgd-long"
METHODS: dict[str, Callable[[float], Method]] = {
    PLAIN: lambda rho: Unperturbed(),
    LONG: lambda rho: Unperturbed(),
    "sam": lambda rho: SAM(rho=rho),
    "obf-0": lambda rho: OBF(rho=rho, gamma=0.0),
    "obf-1": lambda rho: OBF(rho=rho, gamma=1.0),
    "asam": lambda rho: ASAM(rho=5.0 * rho),
    "random": lambda rho: Random(rho=farther(rho)),
}
"""By a radius that is SAM's: ASAM's is five times as large, as tuning has it on this problem, and that of noise is
where the loss rises about as much."""
WHOLE = "80"
"""Samples of a step."""
LOOKED_AT = (8, 16, 24, 32)
"""Epochs after which, and at the end, the perturbation is looked at."""
SMALLEST = 1.0  # points
PAIRS = (
    *((one, PLAIN) for one in METHODS if one != PLAIN),
    ("sam", LONG),
    *((one, "sam") for one in ("obf-0", "obf-1", "asam", "random")),
)
"""What is compared without a verdict."""
LEANING = tuple((one, PLAIN) for one in METHODS if one not in (PLAIN, LONG))
"""Of the perturbations themselves, against none."""

MEASURES = (
    Measure("followed", "last.test_mark_followed", "misleading mark followed, last epoch", "%", False),
    Measure("accuracy", "last.test_accuracy", "test accuracy, last epoch", "%", True),
    Measure("resisted", "last.test_mark_wrong_accuracy", "accuracy where the mark misleads, last epoch", "%", True),
    measures.BEST,
    measures.VALIDATION,
    measures.TRAIN,
    Measure("lean", "marks.own.lean", "lean to the mark, change under the own perturbation", "nats"),
    Measure("lean-noise", "marks.noise.lean", "the same under noise of equal loss rise", "nats"),
    Measure("lean-permuted", "marks.permuted.lean", "the same with labels permuted", "nats"),
    Measure("lean-before", "marks.before", "lean to the mark, end of training", "nats", False),
    Measure("followed-under", "marks.own.followed", "mark followed, change under the own perturbation", "points"),
    Measure("resisted-under", "marks.own.resisted", "accuracy there, change under the own perturbation", "points"),
    Measure("rise-right", "marks.own.rise_right", "loss rise, mark right", "nats"),
    Measure("rise-wrong", "marks.own.rise_wrong", "loss rise, mark wrong", "nats"),
    measures.EVALUATIONS,
    Measure("seconds", "seconds", "wall time of training", "s", False),
)  # fmt: skip


@dataclass(frozen=True)
class Form:
    """How much of the study is run."""

    name: str
    """Of the study."""
    radii: tuple[str, ...]
    """SAM's."""
    sizes: tuple[str, ...]
    """Samples of a perturbation, the smallest first; the last is the whole batch."""
    shares: tuple[str, ...]
    """Percent of training marks that are right: the strength of the shortcut."""
    seeds: int
    """How many."""
    methods: tuple[str, ...]
    """The methods, plain SGD first."""
    small: tuple[str, ...]
    """Those that are run with less than the whole batch as well."""

    def work(self, levels: Levels, seed: int) -> Work:
        """What a cell does."""
        return Measured(self.configuration(levels, seed), OnMarks())

    def configuration(self, levels: Levels, seed: int) -> RunConfig:
        """The run of a cell; one without a perturbation is the same for all radii and m."""
        name, base = levels["method"], find("digits-shortcut-sgd")
        method = METHODS[name](float(levels["rho"]))
        plain = isinstance(method, Unperturbed)
        longer = base.epochs - round(base.when.start_epoch) if name == LONG else 0
        return replace(
            base,
            recipe=f"bias-{levels['right']}",
            data=Digits(marks=float(levels["right"]) / 100),
            method=method,
            micro_batch=None if plain or levels["m"] == WHOLE else int(levels["m"]),
            epochs=base.epochs + longer,
            checkpoints=Checkpoints(every_epochs=None, last=1, best=False, keep_epochs=LOOKED_AT),
            evaluation=Evaluation(every_epochs=4),
            logging=Logging(every_steps=0),
            seed=seed,
        )

    def study(self) -> Study:
        """The study in this form."""
        design = Design(
            name=self.name,
            question="Does a perturbation forget a planted shortcut, or the signal beside it?",
            factors=(
                Factor("method", self.methods),
                Factor("rho", self.radii),
                Factor("m", self.sizes),
                Factor("right", self.shares),
            ),
            measures=MEASURES,
            seeds=tuple(range(self.seeds)),
            tuning_seeds=(1000, 1001, 1002),
            primary=tuple(self._claims()),
            exploratory=tuple(self._looked_at()),
            left_out=tuple(
                {"method": method, "m": m}
                for method in self.methods
                for m in self.sizes[:-1]
                if method not in self.small and method not in (PLAIN, LONG)
            ),
            notes=(
                "A mark is one pixel; in training it tells the class as often as the factor right says, in percent, in "
                "validation too, and in the test it is dealt out at random (docs/problems.md).",
                "Radii are no choice of ours: all are run, and hypotheses are about their mean, because validation "
                "images carry the same marks and tuning on them rewards whoever follows these. Tuning had 0.05 for "
                "SAM, 0.25 for ASAM and 0.4 for OBF at 95 %.",
                "rho is SAM's and OBF's radius; ASAM has five times as much, and noise 20 rho^0.7, under which the "
                "loss rises about as much as under loss ascent.",
                "The lean is the logit of the mark's class less that of the digit's, a mean over test images whose "
                "mark misleads. What a perturbation does to it is a mean over three training batches at each of five "
                "times of the run, by running statistics; of plain SGD, which has none, it is zero.",
                f"{LONG} is SGD for as many gradient evaluations as SAM has. The best epoch is one of every fourth.",
            ),
        )  # fmt: skip
        return Study(design, self.work)

    def _claims(self) -> Iterator[Difference]:
        """What follows from the paper, over all radii and strengths; the last two are its mechanism."""
        few, whole = self.sizes[0], {"m": WHOLE}
        yield _lower("SAM follows the mark less than SGD, by a point", "followed", "sam", PLAIN, whole, SMALLEST)
        for name, gamma in (("obf-1", 1), ("obf-0", 0)):
            if name in self.methods:
                claim = f"OBF (gamma {gamma}) follows it less than SAM, by a point"
                yield _lower(claim, "followed", name, "sam", whole, SMALLEST)
        yield Difference(
            claim=f"SAM with m = {few} follows it less than with the whole batch, by a point",
            measure="followed", treatment={"m": few}, control={"m": WHOLE}, where={"method": "sam"},
            direction="lower", smallest=SMALLEST,
        )  # fmt: skip
        yield _lower("SAM's perturbation takes more from the mark than from the digit", "lean", "sam", PLAIN, whole)
        yield _lower("That of OBF (gamma 1) does so more than SAM's", "lean", "obf-1", "sam", whole)

    def _looked_at(self) -> Iterator[Difference]:
        """At each radius over all strengths, and at each strength over all radii."""
        contexts = [("rho", rho) for rho in self.radii] + [("right", right) for right in self.shares]
        for factor, level in contexts:
            where = {"m": WHOLE, factor: level}
            for measure, words, pairs in (("followed", "mark followed", PAIRS), ("accuracy", "accuracy", PAIRS),
                                          ("lean", "lean", LEANING)):  # fmt: skip
                for one, other in pairs:
                    if one in self.methods:
                        yield _lower(f"{words}, {one} less {other}, {factor} {level}", measure, one, other, where)
        for method in self.small:
            for measure in ("followed", "accuracy", "lean"):
                yield Difference(
                    claim=f"{measure}, {method}, m {self.sizes[0]} less {WHOLE}", measure=measure,
                    treatment={"m": self.sizes[0]}, control={"m": WHOLE}, where={"method": method}, direction="lower",
                )  # fmt: skip


FULL = Form(
    name="bias",
    radii=("0.025", "0.05", "0.1", "0.2", "0.4", "0.8"),
    sizes=("10", "20", "40", WHOLE),
    shares=("80", "90", "95", "98"),
    seeds=10,
    methods=tuple(METHODS),
    small=tuple(METHODS)[2:],
)
QUICK = Form(
    name="bias-quick",
    radii=("0.05", "0.2", "0.4"),
    sizes=("20", WHOLE),
    shares=("80", "95"),
    seeds=8,
    methods=(PLAIN, LONG, "sam", "obf-1", "random"),
    small=("sam",),
)


@named
def bias(quick: bool = False) -> Study:
    """A planted shortcut: whether perturbations forget the mark or the digit, by its strength, the radius and m."""
    return (QUICK if quick else FULL).study()


def _lower(claim: str, measure: str, one: str, other: str, where: dict[str, str], smallest: float = 0.0) -> Difference:
    return Difference(
        claim=claim, measure=measure, treatment={"method": one}, control={"method": other}, where=where,
        direction="lower", smallest=smallest,
    )  # fmt: skip
