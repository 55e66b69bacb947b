"""What a perturbation in training does beyond the test split: corruptions, noisy weights, an adversary, calibration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from samnesia.study.design import Design, Factor, Levels, Measure, Study
from samnesia.study.hypotheses import Difference
from samnesia.study.measured import Measured
from samnesia.study.named import measures
from samnesia.study.named.cells.tested import OnTests
from samnesia.study.named.cost import LONGER, PLAIN, SAM, configuration
from samnesia.study.named.registry import named
from samnesia.study.work import Work

LOOKBEHIND = "lookbehind"
METHODS = (PLAIN, LONGER, SAM, "asam", "gsam", "obf", LOOKBEHIND)
PIXEL = 1 / 255


@dataclass(frozen=True)
class Harder:
    """How hard the tests of a problem are, so that plain SGD neither keeps nor loses all of its accuracy there."""

    noise: float
    """On weights, relative to each filter."""
    eps: float | None
    """Of the adversary, in pixels of 0 to 1."""


PROBLEMS = {
    "digits-noisy": Harder(0.3, 4 * PIXEL),
    "digits-few": Harder(0.5, 16 * PIXEL),
    "photographs": Harder(0.3, 1 * PIXEL),
    "wine": Harder(0.1, None),
    "digits-shortcut": Harder(0.5, 16 * PIXEL),
}
"""Chosen by one run of plain SGD each, on seed 1000."""
IMAGES = tuple(name for name, one in PROBLEMS.items() if one.eps is not None)
SMALLEST = 1.0  # points
SMALLEST_ECE = 0.01

ECE = Measure("ece", "tests.ece", "expected calibration error", "", False)
MEASURES = (
    measures.LAST,
    measures.BEST,
    Measure("corrupted", "tests.corrupted", "accuracy on corrupted images", "%", True),
    Measure("kept", "tests.kept", "of the accuracy, kept on corrupted images", "%", True),
    Measure("noisy", "tests.noisy", "accuracy under noise on the weights", "%", True),
    Measure("attacked", "tests.attacked", "accuracy under PGD", "%", True),
    ECE,
    Measure("nll", "tests.nll", "negative log-likelihood", "nats", False),
    Measure("aurc", "tests.aurc", "area under risk over coverage", "", False),
    measures.EVALUATIONS,
    measures.SECONDS,
)


@named
def robustness(quick: bool = False) -> Study:
    """SGD, SAM, ASAM, GSAM, OBF, Lookbehind under corruptions, noise on weights, an adversary; their calibration."""
    design = Design(
        name="robustness-quick" if quick else "robustness",
        question="Does a perturbation of the weights in training help beyond the test split?",
        factors=(Factor("method", METHODS), Factor("problem", tuple(PROBLEMS))),
        measures=MEASURES,
        seeds=tuple(range(5 if quick else 10)),
        tuning_seeds=tuple(range(1000, 1005)),
        primary=tuple(_claims()),
        exploratory=tuple(_looked_at()),
        notes=(
            "Test images are those of the problem under the 15 families of ImageNet-C, made on the fly "
            f"(docs/corruptions.md), at {'severities 2 and 4, 400 of them' if quick else 'all severities'}; the same "
            "for all methods of a seed.",
            "Noise on the weights is Gaussian, of a norm relative to that of each filter; the adversary is PGD in L∞ "
            "with 10 steps. Both are as strong as leaves plain SGD some of its accuracy, chosen on one tuning seed: "
            "noise 0.5 and 16/255 on digits-few and digits-shortcut, 0.3 and 4/255 on digits-noisy, 0.3 and 1/255 on "
            "photographs, 0.1 on wine, which are no images.",
            f"{LONGER} is SGD for as many epochs as cost a training by SAM. No claim is about it: the papers compare "
            "at equal epochs, and the exploratory effects show both.",
            "Radii of SAM, ASAM, GSAM and OBF were chosen on validation for each problem; that of Lookbehind on "
            "digits-noisy, and carried over by the ratio of SAM's radii.",
            "On digits-noisy, where SAM has 25 points more on the test as it is, it is bound to have more on harder "
            "ones; kept is the share of the accuracy that is left.",
        ),
    )

    def work(levels: Levels, seed: int) -> Work:
        harder = PROBLEMS[levels["problem"]]
        look = OnTests(harder.noise, harder.eps) if quick else OnTests(
            harder.noise, harder.eps, severities=(1, 2, 3, 4, 5), samples=None
        )  # fmt: skip
        return Measured(replace(configuration(levels["problem"], levels["method"]), seed=seed), look)

    return Study(design, work)


def _claims() -> Iterator[Difference]:
    """What is claimed of SAM and Lookbehind at equal epochs."""
    for problem in IMAGES:
        yield _less(f"SAM is better than SGD on corrupted images of {problem}", "corrupted", SAM, problem, SMALLEST)
    for problem in ("digits-few", "photographs"):
        yield _less(f"SAM is better than SGD under PGD on {problem}", "attacked", SAM, problem, SMALLEST)
        calibrated = _less(f"SAM is better calibrated than SGD on {problem}", "ece", SAM, problem, SMALLEST_ECE)
        yield replace(calibrated, direction="lower")
    for problem in ("digits-few", "digits-noisy"):
        claim = f"Lookbehind is better than SAM under noise on the weights on {problem} (Mordido et al. 2024)"
        yield _less(claim, "noisy", LOOKBEHIND, problem, SMALLEST, SAM)


def _looked_at() -> Iterator[Difference]:
    """The exploratory effects: of every method to SGD, and of SAM to SGD of its cost."""
    for problem, harder in PROBLEMS.items():
        shown = ("corrupted", "kept", "noisy", "attacked", "ece") if harder.eps is not None else ("noisy", "ece")
        for measure in shown:
            for method in METHODS[2:]:
                yield _less(f"{measure}, {method} less SGD ({problem})", measure, method, problem)
            yield _less(f"{measure}, SAM less SGD of its cost ({problem})", measure, SAM, problem, control=LONGER)


def _less(
    claim: str, measure: str, method: str, problem: str, smallest: float = 0.0, control: str = PLAIN
) -> Difference:
    return Difference(
        claim=claim, measure=measure, treatment={"method": method}, control={"method": control},
        where={"problem": problem}, smallest=smallest,
    )  # fmt: skip
