"""Forgetting against flatness: a reconstruction of the study of Vani et al. (ICML 2024), whose code never came out.

What is fixed by its sources and what is ours stands in docs/forgetting.md; what counts as an answer, here. The primary
outcome was named before the study ran: E2, the superfluous information that the own perturbation takes from the
predictions on its own batch, in the last third of training.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from samnesia.study.design import Design, Factor, Levels, Study
from samnesia.study.hypotheses import Correlation, Hypothesis, StrongerCorrelation
from samnesia.study.measured import AtEnd, Measured
from samnesia.study.named.forgetting_measures import ACCURACY, LARGEST, LOST, MEASURES, RISE, looked_at
from samnesia.study.named.registry import named
from samnesia.study.work import Work
from samnesia.train.config import (
    Checkpoints,
    Evaluation,
    Logging,
    RecordForgetting,
    Recording,
    RecordSharpness,
    RunConfig,
)
from samnesia.train.parts.methods import OBF, SAM, Method, Random, Unperturbed
from samnesia.train.recipes import find

PROBLEMS = ("digits-noisy", "digits-shortcut")
PLAIN, FAR = "none", "random-far"
RANKED = ("loss-ascent", "random", "obf-0", "obf-1")
"""Perturbations that are ranked against each other at one radius."""
BATCH = "80"
"""Samples of a step of both problems."""
COMMON = 0.1
"""Radius of the common probe and of the sharpness that is recorded."""
SMALLEST_TAU, SMALLEST_GAIN = 0.2, 0.1


def farther(rho: float) -> float:
    """The radius of noise under which the loss rises about as it does under loss ascent of radius rho.

    A power law through a pilot of loss ascent on seed 1000 (40 epochs, m = 80, means over the run): 2.3 and 6.1 at rho
    0.05 and 0.2 on digits-noisy, 2.7, 7.0 and 16.8 at 0.05, 0.2 and 0.8 on digits-shortcut.
    """
    return 20.0 * math.pow(rho, 0.7)


METHODS: dict[str, Callable[[float], Method]] = {
    PLAIN: lambda rho: Unperturbed(),
    "loss-ascent": lambda rho: SAM(rho=rho),
    "random": lambda rho: Random(rho=rho),
    "obf-0": lambda rho: OBF(rho=rho, gamma=0.0),
    "obf-1": lambda rho: OBF(rho=rho, gamma=1.0),
    FAR: lambda rho: Random(rho=farther(rho)),
}


@dataclass(frozen=True)
class Form:
    """How much of the study is run."""

    name: str
    """Of the study."""
    perturbations: tuple[str, ...]
    """Levels of the compared factor; the ranked ones are always there."""
    radii: tuple[str, ...]
    """Levels of rho."""
    sizes: tuple[str, ...]
    """Levels of m, the smallest first: samples of a perturbation, of batches of 80."""
    seeds: tuple[int, ...]
    """The first half is looked at first, the others confirm."""
    points: int
    """Steps on which is recorded."""
    nulls: bool
    """Whether the nulls are recorded along training, too, and not at the end alone."""
    epochs: int | None = None
    """Of each run; None is as in the recipe of the problem."""

    def work(self, levels: Levels, seed: int) -> Work:
        """What a cell does."""
        return Measured(self.configuration(levels, seed), AtEnd(rho=COMMON, m=int(BATCH), samples=400))

    def configuration(self, levels: Levels, seed: int) -> RunConfig:
        """The run of a cell. One without a perturbation is the same for all radii and m."""
        name, m = levels["perturbation"], levels["m"]
        base = find(f"{levels['problem']}-sgd")
        forgetting = RecordForgetting(COMMON, nulls=self.nulls)
        return replace(
            base,
            recipe=f"forgetting-{levels['problem']}",
            method=METHODS[name](float(levels["rho"])),
            micro_batch=None if name == PLAIN or m == BATCH else int(m),
            epochs=self.epochs or base.epochs,
            record=Recording(forgetting, RecordSharpness(COMMON), points=self.points, samples=320),
            checkpoints=Checkpoints(every_epochs=None, last=1, best=False),
            evaluation=Evaluation(every_epochs=10),
            logging=Logging(every_steps=0),
            seed=seed,
        )

    def study(self) -> Study:
        """The study in this form."""
        far = FAR if FAR in self.perturbations else None
        design = Design(
            name=self.name,
            question="Does what perturbations make a model forget explain its accuracy, and better than flatness does?",
            factors=(
                Factor("perturbation", self.perturbations),
                Factor("rho", self.radii),
                Factor("m", self.sizes),
                Factor("problem", PROBLEMS),
            ),
            measures=MEASURES,
            seeds=self.seeds,
            tuning_seeds=(1000,),
            compared="perturbation",
            primary=_claims(self.seeds),
            exploratory=tuple(one for problem in PROBLEMS for one in looked_at(problem, RANKED, self.sizes, far)),
            notes=_notes(self),
        )
        return Study(design, self.work)


FULL = Form(
    name="forgetting",
    perturbations=(PLAIN, *RANKED, FAR),
    radii=("0.025", "0.05", "0.1", "0.2", "0.4"),
    sizes=("5", "10", "20", "40", "80"),
    seeds=tuple(range(6)),
    points=20,
    nulls=True,
)
QUICK = Form(
    name="forgetting-quick",
    perturbations=(PLAIN, *RANKED),
    radii=FULL.radii[::2],
    sizes=FULL.sizes[2:],
    seeds=tuple(range(4)),
    points=8,
    nulls=False,
    epochs=30,
)


@named
def forgetting(quick: bool = False) -> Study:
    """Forgetting against flatness: which goes with accuracy, of four perturbations at one radius (a reconstruction)."""
    return (QUICK if quick else FULL).study()


def _claims(seeds: tuple[int, ...]) -> tuple[Hypothesis, ...]:
    """The primary outcome, its confirmation on fresh seeds and on the other problem, and its rivals."""
    first, other = PROBLEMS
    half = len(seeds) // 2

    def ranks(claim: str, problem: str, of: tuple[int, ...] = ()) -> Correlation:
        return Correlation(
            claim=claim, x=LOST, y=ACCURACY, where={"problem": problem}, over={"perturbation": RANKED}, seeds=of,
            within=("rho",), smallest=SMALLEST_TAU,
        )  # fmt: skip

    def beats(claim: str, rival: str, sign: int) -> StrongerCorrelation:
        return StrongerCorrelation(
            claim=claim, x=LOST, rival=rival, y=ACCURACY, signs=(1, sign), over={"perturbation": RANKED},
            within=("rho", "problem"), smallest=SMALLEST_GAIN,
        )  # fmt: skip

    return (
        ranks(f"More superfluous information forgotten, more accuracy, on {first} (first seeds)", first, seeds[:half]),
        ranks(f"The same on {first} with fresh seeds", first, seeds[half:]),
        ranks(f"The same on {other}", other),
        beats("Forgetting explains accuracy better than m-sharpness does as a measure of flatness", RISE, -1),
        beats("Forgetting explains accuracy better than m-sharpness does as a measure of disturbance", RISE, 1),
        beats("Forgetting explains accuracy better than the largest eigenvalue does", LARGEST, -1),
        Correlation(
            claim="Forgetting goes with accuracy at equal rise of the loss, too", x=LOST, y=ACCURACY, given=RISE,
            over={"perturbation": RANKED}, within=("rho", "problem"), smallest=SMALLEST_TAU,
        ),
    )  # fmt: skip


def _notes(form: Form) -> tuple[str, ...]:
    far = (
        f"{FAR} is noise of radius 20 rho^0.7, matched by a pilot in the rise of the loss to loss ascent of radius rho."
    )
    epochs = "" if form.epochs is None else f", but for {form.epochs} epochs"
    return (
        "A reconstruction: the estimator of the original study was never published, and no figure of this page is one "
        "of it (docs/forgetting.md).",
        "The primary outcome, named before the study ran, is E2 under the own perturbation on its own batch, the mean "
        "over the last third of training; its first claim has the first half of the seeds, the confirmation the rest.",
        "rho moves forgetting, sharpness and accuracy together, so that only runs of one rho are ranked; pooled taus "
        "are shown as confounded.",
        "Forgetting is better than m-sharpness only if both claims about the two are supported: one takes a rise of "
        "the loss for a flaw, the other for a merit. If it is no better within rho, or if random perturbations of "
        "equal rise of the loss forget as much and do as well, the thesis is not supported by this reconstruction.",
        f"Ranked cells have {len(RANKED)} perturbations and {len(form.sizes)} m in common, and are counted as "
        "independent: a tau over them is about these perturbations, and its interval is too short for others.",
        f"Sharpness and the common probe have the radius {COMMON:g}; forgetting and m-sharpness along training are of "
        "the same steps and samples, and those at the end of the same samples.",
        f"Radii were not tuned: all are run. Other settings are those of the problems' recipes{epochs}.",
        *([f"{far} It is in no hypothesis."] if FAR in form.perturbations else []),
    )
