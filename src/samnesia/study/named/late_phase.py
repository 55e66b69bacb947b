"""Late SAM: does SAM in the last epochs do what SAM all along does? (Zhou et al., ICLR 2025.)

The paper's protocol, on digits with wrong labels and on few clean ones: a fifth of the learning rate at 30 and at 60 %
of training, SAM from an epoch on with fresh momentum, the largest eigenvalue at the end, the straight way from the end
of SGD to that of late SAM, and the escape of SAM from SGD's minimum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from samnesia.study.design import Design, Factor, Levels, Measure, Study
from samnesia.study.hypotheses import Difference
from samnesia.study.measured import Measured
from samnesia.study.named import measures
from samnesia.study.named.cells.valleys import InValley
from samnesia.study.named.registry import named
from samnesia.study.work import Work
from samnesia.train.config import SAM, Checkpoints, Evaluation, Logging, Perturbed, RunConfig, Steps, Unperturbed
from samnesia.train.recipes import find

PLAIN, FULL_SAM, LATE, FAR = "sgd", "sam", "late-25", "late-25-far"
PROBLEMS = ("digits-noisy", "digits-few")
"""The first is where SAM all along gains most; the second has clean labels, as the paper."""
SCHEDULES = ("steps", "cosine")
"""The paper's course of the learning rate, and that of the recipes."""
PHASES: dict[str, tuple[float, float] | None] = {
    PLAIN: None,
    FULL_SAM: (0.0, 1.0),
    **{f"late-{share}": (1.0 - share / 100, 1.0) for share in (50, 25, 10)},
    **{f"early-{share}": (0.0, share / 100) for share in (50, 75, 90)},
    FAR: (0.75, 1.0),
    "late-25-kept": (0.75, 1.0),
}
"""Between which shares of the epochs SAM perturbs, at the start after the recipe's warm-up; late with fresh momentum,
as the authors, or with momentum kept; far is twice the radius."""
COMPARED = (PLAIN, FULL_SAM, LATE)
"""Whose ends are held against that of SGD."""
SMALLEST = 1.0  # points
BARRIER = 2.0
"""Points of error rate; below it Frankle et al. (ICML 2020) call two nets connected."""

MEASURES = (
    measures.LAST,
    measures.BEST,
    Measure("lambda-max", "final.lambda_max", "λmax at the end", "", False),
    Measure("fitted", "last.flipped_fitted", "wrong labels fitted, last epoch", "%", False),
    Measure("barrier", "valley.error", "barrier on the way from SGD's end, training error", "%"),
    Measure("barrier-test", "valley.test_error", "barrier on the way from SGD's end, test error", "%"),
    Measure("barrier-loss", "valley.loss", "barrier on the way from SGD's end, training loss", "nats"),
    Measure("distance", "valley.distance", "distance from SGD's end"),
    Measure("escape", "escape.rate", "growth of the training loss from SGD's end", "per step"),
    measures.EVALUATIONS,
    Measure("seconds", "seconds", "wall time of training", "s", False),
)


@dataclass(frozen=True)
class Form:
    """How much of the study is run."""

    name: str
    """Of the study."""
    phases: tuple[str, ...]
    """When SAM perturbs."""
    schedules: tuple[str, ...]
    """Courses of the learning rate; hypotheses are about the first, the paper's."""
    seeds: int
    """How many."""

    def study(self) -> Study:
        """The study in this form."""
        design = Design(
            name=self.name,
            question="Does SAM in the last quarter of training do what SAM all along does, and SAM early nothing?",
            factors=(Factor("phase", self.phases), Factor("problem", PROBLEMS), Factor("schedule", self.schedules)),
            measures=MEASURES,
            seeds=tuple(range(self.seeds)),
            tuning_seeds=tuple(range(1000, 1005)),
            compared="phase",
            primary=tuple(_claims(self.schedules[0])),
            exploratory=tuple(self._looked_at()),
            notes=(
                "digits-noisy has 40 % wrong labels, and SAM all along is far better than SGD there; on digits-few, "
                "with clean labels, by half a point at most (docs/findings.md), too little for claims about a point. "
                "The paper's CIFAR-10 has clean labels, 200 epochs, and far more steps.",
                "Some claims are put as an opponent of the paper would: that full SAM is better than late SAM by a "
                "point, that early SAM keeps a point, that there is a barrier between SGD and late SAM. "
                "Contradicted, they speak for the paper.",
                "steps is the paper's course of the learning rate: a fifth of it from 30 and again from 60 % on. Late "
                "SAM begins with fresh momentum, as with its authors.",
                "All phases have the radius of the recipe, which was chosen by validation for SAM all along under the "
                f"cosine; {FAR} has twice as much. Nothing was tuned for this study.",
                "λmax is that of the Hessian of the training loss at the end, labels as they were trained on. A "
                "barrier is the highest point of the error rate above the straight line between the two ends; plain "
                "SGD has none to itself. Growth is that of the logarithm of the loss over 30 steps, of SAM "
                "(late SAM's radius) or, in the row of SGD, of SGD.",
            ),
        )
        return Study(design, work)

    def _looked_at(self) -> Iterator[Difference]:
        for where in ({"problem": one, "schedule": other} for one in PROBLEMS for other in self.schedules):
            at = ", ".join(where.values())
            for measure in ("last", "best", "lambda-max"):
                for phase in self.phases[1:]:
                    yield _less(f"{measure}, {phase} less SGD, {at}", measure, phase, PLAIN, where)
                for phase in self.phases[2:]:
                    yield _less(f"{measure}, {phase} less full SAM, {at}", measure, phase, FULL_SAM, where)
            for measure in ("barrier", "barrier-test", "barrier-loss", "distance"):
                yield _less(f"{measure}, late less full SAM, {at}", measure, LATE, FULL_SAM, where)


FULL = Form("late-phase", tuple(PHASES), SCHEDULES, seeds=10)
QUICK = Form("late-phase-quick", tuple(name for name in PHASES if "90" not in name and "kept" not in name),
             SCHEDULES[:1], seeds=6)  # fmt: skip


@named
def late_phase(quick: bool = False) -> Study:
    """SAM early, late or all along: accuracy, λmax, the valley it ends in, and how it leaves SGD's (Zhou et al.)."""
    return (QUICK if quick else FULL).study()


def work(levels: Levels, seed: int) -> Work:
    """What a cell does."""
    look = InValley(rho=radius(levels["problem"]), vectors=0, compared=levels["phase"] in COMPARED)
    return Measured(configuration(levels, seed), look)


def radius(problem: str) -> float:
    """That of the recipe."""
    method = find(f"{problem}-sam").method
    assert isinstance(method, SAM)
    return method.rho


def configuration(levels: Levels, seed: int) -> RunConfig:
    """The run of a phase."""
    phase, schedule = levels["phase"], levels["schedule"]
    base, shares = find(f"{levels['problem']}-sgd"), PHASES[phase]
    rho = radius(levels["problem"]) * (2.0 if phase == FAR else 1.0)
    when = Perturbed()
    if shares is not None:
        start, stop = (share * base.epochs for share in shares)
        when = Perturbed(
            max(start, base.when.start_epoch),
            None if stop == base.epochs else stop,
            fresh_state=phase.startswith("late") and not phase.endswith("kept"),
        )
    return replace(
        base,
        recipe=f"late-phase-{levels['problem']}-{schedule}",
        schedule=Steps(warmup_epochs=2.0, milestones=(0.3, 0.6), gamma=0.2) if schedule == "steps" else base.schedule,
        method=Unperturbed() if shares is None else SAM(rho=rho),
        when=when,
        checkpoints=Checkpoints(every_epochs=None, last=1, best=False),
        evaluation=Evaluation(every_epochs=4),
        logging=Logging(every_steps=0),
        seed=seed,
    )


def _claims(schedule: str) -> Iterator[Difference]:
    noisy = {"problem": PROBLEMS[0], "schedule": schedule}
    yield _less("SAM in the last quarter is better than SGD by a point", "last", LATE, PLAIN, noisy, SMALLEST)
    yield _less(
        "AGAINST the paper: SAM all along is better than in the last quarter by a point",
        "last", FULL_SAM, LATE, noisy, SMALLEST,
    )  # fmt: skip
    yield _less(
        "AGAINST the paper: SAM in the first half is better than SGD by a point",
        "last", "early-50", PLAIN, noisy, SMALLEST,
    )  # fmt: skip
    for problem in PROBLEMS:
        where = noisy | {"problem": problem}
        yield replace(
            _less(f"Late SAM ends where λmax is lower than SGD's ({problem})", "lambda-max", LATE, PLAIN, where),
            direction="lower",
        )
        claim = (
            f"AGAINST the paper: a barrier of two points of training error lies between late SAM and SGD ({problem})"
        )
        yield _less(claim, "barrier", LATE, PLAIN, where, BARRIER)
        yield _less(f"SAM leaves SGD's end faster than SGD does ({problem})", "escape", LATE, PLAIN, where)


def _less(claim: str, measure: str, one: str, other: str, where: dict[str, str], smallest: float = 0.0) -> Difference:
    return Difference(
        claim=claim, measure=measure, treatment={"phase": one}, control={"phase": other}, where=where,
        smallest=smallest,
    )  # fmt: skip
