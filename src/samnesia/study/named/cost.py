"""Accuracy for what it costs: the whole family, baselines, and SAM and SGD that train shorter and longer.

A method that is cheaper than SAM has two rivals: SAM itself, behind which it must not fall, and SAM that is trained for
fewer epochs until it costs as little. The papers of cheaper methods claim the first; the second is what anybody can do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from samnesia.study.design import Design, Factor, Levels, Study
from samnesia.study.hypotheses import Difference
from samnesia.study.named import measures
from samnesia.study.named.registry import named
from samnesia.study.training import Training
from samnesia.study.work import Work
from samnesia.train.config import EMA, SWA, Checkpoints, CrossEntropy, Evaluation, Logging, Method, RunConfig
from samnesia.train.parts.presets import Radial
from samnesia.train.recipes import find
from samnesia.train.recipes.family import BASELINES, METHODS
from samnesia.train.recipes.problems import BENCHES

CLAIMED_ON = "digits-noisy"
"""The one problem on which SAM gains enough for a share of it to mean anything (docs/findings.md)."""
PROBLEMS = (CLAIMED_ON, *BENCHES)
PLAIN, SAM, LONGER = "sgd", "sam", "sgd-longer"
TUNED = ("sgd", "sam", "asam", "gsam", "obf", "random")
"""Methods that have a recipe of their own on every problem, with a radius chosen there."""
SHORTER = {"sam-1.0x": 1.0, "sam-1.2x": 1.2, "sam-1.33x": 1.33}
"""SAM for fewer epochs: by name, what it costs in plain trainings."""
HALF = {"sam-0.5x": SAM, "sgd-0.5x": PLAIN}
"""SAM and SGD for what costs half a plain training; added when shorter SAM was seen to be the better one."""
AFTER = 4
"""Epochs before the first perturbation, of all recipes of these problems."""
REFERENCE = {"asam-after": "asam", "asam-before": "asam", "lookbehind-asam": "asam", "obf-steps": "obf"}
"""Whose radii a method's radius follows from one problem to another, where it is not SAM."""
UNFIT = {"digits-few": ("sam-on",)}
"""By problem, what cannot run there: its net has no normalization layers."""
SMALLEST = 1.0
"""Points of test accuracy: a twentieth of what SAM gains on digits-noisy is 1.2."""


@dataclass(frozen=True)
class Cheaper:
    """A method that costs less than SAM."""

    source: str
    """The paper, or code, that says it keeps SAM's accuracy."""
    rival: str | None = None
    """Shorter SAM of about its cost; None where it costs more than half again as much as plain training."""


CHEAPER = {
    "sam-interval": Cheaper("Composer", "sam-1.2x"),
    "sam-late": Cheaper("Zhou et al. 2025", "sam-1.2x"),
    "looksam": Cheaper("Liu et al. 2022", "sam-1.2x"),
    "ae-sam": Cheaper("Jiang et al. 2023"),
    "esam": Cheaper("Du et al. 2022, ESAM"),
    "momentum-sam": Cheaper("Becker et al. 2025", "sam-1.0x"),
    "mesa": Cheaper("Du et al. 2022, MESA", "sam-1.33x"),
}
CHEAP = (*TUNED, LONGER, *SHORTER, *CHEAPER, "saf", "lookahead", "shrink", *BASELINES, *HALF)
"""What costs less than SAM, and the best known of what costs as much."""
ARMS = (*CHEAP, *(name for name in METHODS if name not in CHEAP))
QUICK_NOTE = "Methods of the family that cost as much as SAM or more are in the full form, as are the other problems."
FULL_NOTE = (
    "On the other problems the radii of the family were not tuned: each is that on digits-noisy times the ratio of "
    "SAM's radii (ASAM's, OBF's) on the two. Nothing is claimed there."
)
MEASURES = (
    measures.LAST,
    measures.BEST,
    measures.FLIPPED,
    measures.EVALUATIONS,
    measures.SECONDS,
)


@named
def cost(quick: bool = False) -> Study:
    """Accuracy for what it costs: the whole family, and SAM that trains shorter, on five problems."""
    problems, arms = (PROBLEMS[:1], CHEAP) if quick else (PROBLEMS, ARMS)
    design = Design(
        name="cost-quick" if quick else "cost",
        question="Which method gets most of what SAM gains for least, and is it better than SAM trained for less?",
        factors=(Factor("method", arms), Factor("problem", problems)),
        measures=MEASURES,
        seeds=tuple(range(8 if quick else 10)),
        tuning_seeds=tuple(range(1000, 1005)),
        primary=(*_falls_behind(), *_beats_shorter()),
        left_out=tuple(
            {"method": method, "problem": problem} for problem in problems for method in UNFIT.get(problem, ())
        ),
        notes=(
            "That a method falls behind SAM by a point or more is what its paper denies: contradicted is good news for "
            "it, and a point is about 4 % of what SAM gains on digits-noisy.",
            "sam-1.0x, sam-1.2x and sam-1.33x are SAM for as many epochs as cost 1, 1.2 and 1.33 plain trainings; "
            "sgd-longer is SGD for as many epochs as cost a training by SAM. Schedules are stretched or shortened.",
            "sam-0.5x and sgd-0.5x, for what costs half a plain training, were added after the first results.",
            "A gradient evaluation is one forward and backward pass over a batch; a forward pass alone counts as a "
            "third. Perturbation begins at epoch 4.",
            "Radii on digits-noisy were chosen on validation, those of sgd, sam, asam, gsam, obf and random on a long "
            "grid with five seeds, of the others on three values with two seeds, or not at all "
            "(samnesia/train/recipes/family.py): the family's laggards may be badly tuned.",
            QUICK_NOTE if quick else FULL_NOTE,
            "Runs are evaluated every tenth epoch, so that seconds are those of training; the best epoch is one of "
            "these, and those of a longer training are more.",
        ),
    )  # fmt: skip
    return Study(design, _work)


def _falls_behind() -> tuple[Difference, ...]:
    return tuple(
        Difference(
            claim=f"{method} falls behind SAM by a point or more (not so: {one.source})", measure="last",
            treatment={"method": method}, control={"method": SAM}, where={"problem": CLAIMED_ON}, direction="lower",
            smallest=SMALLEST,
        )
        for method, one in CHEAPER.items()
    )  # fmt: skip


def _beats_shorter() -> tuple[Difference, ...]:
    return tuple(
        Difference(
            claim=f"{method} is better than SAM trained for its cost", measure="last", treatment={"method": method},
            control={"method": one.rival}, where={"problem": CLAIMED_ON}, direction="higher", smallest=SMALLEST,
        )
        for method, one in CHEAPER.items()
        if one.rival is not None
    )  # fmt: skip


def _work(levels: Levels, seed: int) -> Work:
    return Training(replace(configuration(levels["problem"], levels["method"]), seed=seed))


def configuration(problem: str, arm: str) -> RunConfig:
    """The run of an arm, but for its seed."""
    return replace(
        _trained(problem, arm),
        checkpoints=Checkpoints(every_epochs=None, last=1, best=False),
        evaluation=Evaluation(every_epochs=10),
        logging=Logging(every_steps=0),
    )


def _trained(problem: str, arm: str) -> RunConfig:
    if arm in (LONGER, *SHORTER, *HALF):
        return _of_another_length(problem, arm)
    if problem == CLAIMED_ON or arm in TUNED:
        return find(f"{problem}-{arm}")
    return _carried_over(arm, problem)


def _of_another_length(problem: str, arm: str) -> RunConfig:
    sam, plain = find(f"{problem}-{SAM}"), find(f"{problem}-{PLAIN}")
    if arm == LONGER:
        return replace(plain, epochs=2 * sam.epochs - AFTER)
    times = SHORTER.get(arm, 0.5)
    if HALF.get(arm) == PLAIN:
        return replace(plain, epochs=round(times * plain.epochs))
    return replace(sam, epochs=round((times * plain.epochs + AFTER) / 2))


def _carried_over(arm: str, problem: str) -> RunConfig:
    """What has a recipe on digits-noisy alone, on another problem."""
    plain = find(f"{problem}-{PLAIN}")
    if arm in METHODS:
        return replace(plain, recipe=f"{problem}-{arm}", method=_scaled(METHODS[arm], arm, problem))
    match BASELINES[arm]:
        case SWA() as average:
            return replace(plain, average=replace(average, start_epoch=plain.epochs / 2))
        case EMA() as average:
            return replace(plain, average=average)
        case CrossEntropy() as loss:
            return replace(plain, loss=loss)


def _scaled(method: Method, arm: str, problem: str) -> Method:
    """The method at its radius on digits-noisy times the ratio of the radii of its reference."""
    if not isinstance(method, Radial):
        return method
    here, there = (find(f"{one}-{REFERENCE.get(arm, SAM)}").method for one in (problem, CLAIMED_ON))
    assert isinstance(here, Radial) and isinstance(there, Radial)  # the recipes of SAM, ASAM and OBF
    return replace(method, rho=method.rho * here.rho / there.rho)
