"""Does adaptive sharpness-aware minimization help where inputs are not normalised?

Coldenhoff et al. (2022) report that ASAM improves generalization on data that are not normalised. Here the inputs of
each problem are once normalised and once as they come, and each arm has a learning rate and a radius of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from samnesia.study.design import Design, Factor, Levels, Study
from samnesia.study.hypotheses import Difference, Hypothesis
from samnesia.study.named import measures
from samnesia.study.named.registry import named
from samnesia.study.training import Training
from samnesia.study.work import Work
from samnesia.train.config import (
    ASAM,
    SAM,
    SGD,
    Checkpoints,
    Digits,
    Evaluation,
    Logging,
    Method,
    RunConfig,
    Table,
    Unperturbed,
)
from samnesia.train.recipes import find

INPUTS = ("normalized", "raw")
TWICE = "sgd-twice"
"""SGD over twice the epochs: as many gradient evaluations as SAM and ASAM have."""
METHODS: dict[str, Callable[[float], Method]] = {
    "sgd": lambda rho: Unperturbed(),
    TWICE: lambda rho: Unperturbed(),
    "sam": lambda rho: SAM(rho=rho),
    "asam": lambda rho: ASAM(rho=rho),
}
EPOCHS = {"wine": 100, "digits-few": 30}
"""By problem; all else but data, learning rate and method is that of its recipes."""
RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
"""Learning rates that are tried: of the perturbed arms and of twice the epochs, the best of SGD and its neighbours."""
RADII = {"sgd": (0.0,), TWICE: (0.0,), "sam": (0.001, 0.02, 0.2), "asam": (0.02, 0.2, 2.0)}
"""Radii that are tried, each with each of these learning rates."""


@dataclass(frozen=True)
class Setting:
    """What is chosen for an arm by validation accuracy on tuning seeds: benchmarks/study_settings.py."""

    lr: float
    """Learning rate."""
    rho: float = 0.0
    """Radius."""


CHOSEN: dict[tuple[str, str, str], Setting] = {
    ("wine", "normalized", "sgd"): Setting(0.1),
    ("wine", "normalized", "sgd-twice"): Setting(0.3),
    ("wine", "normalized", "sam"): Setting(0.3, 0.001),
    ("wine", "normalized", "asam"): Setting(0.3, 2),
    ("wine", "raw", "sgd"): Setting(0.003),
    ("wine", "raw", "sgd-twice"): Setting(0.003),
    ("wine", "raw", "sam"): Setting(0.003, 0.001),
    ("wine", "raw", "asam"): Setting(0.003, 0.02),
    ("digits-few", "normalized", "sgd"): Setting(0.1),
    ("digits-few", "normalized", "sgd-twice"): Setting(0.1),
    ("digits-few", "normalized", "sam"): Setting(0.1, 0.02),
    ("digits-few", "normalized", "asam"): Setting(0.1, 0.2),
    ("digits-few", "raw", "sgd"): Setting(0.01),
    ("digits-few", "raw", "sgd-twice"): Setting(0.01),
    ("digits-few", "raw", "sam"): Setting(0.01, 0.001),
    ("digits-few", "raw", "asam"): Setting(0.01, 0.2),
}
"""By problem, input and method."""


SMALLEST = {"wine": 1.0, "digits-few": 0.5}
"""Points of test accuracy. SGD errs on 5 % of the digits, so that a point would be a fifth of all errors there."""

MEASURES = (
    measures.LAST,
    measures.BEST,
    measures.LAST_LOSS,
    measures.TRAIN,
    measures.WEIGHTS,
    measures.EVALUATIONS,
    measures.SECONDS,
)


@named
def unnormalized(quick: bool = False) -> Study:
    """SGD, SAM and ASAM on normalised inputs and on raw ones, each with a learning rate of its own."""
    problems = tuple(EPOCHS)
    design = Design(
        name="unnormalized-quick" if quick else "unnormalized",
        question="Is ASAM better than SGD and SAM where inputs are not normalised?",
        factors=(Factor("method", tuple(METHODS)), Factor("input", INPUTS), Factor("problem", problems)),
        measures=MEASURES,
        seeds=tuple(range(10 if quick else 24)),
        tuning_seeds=(1000, 1001, 1002),
        primary=tuple(
            _less(f"ASAM is better than {rival.upper()} on raw inputs of {problem}", "asam", rival, "raw", problem)
            for problem in problems
            for rival in ("sgd", "sam")
        ),
        exploratory=tuple(one for problem in problems for one in _looked_at(problem)),
        notes=(
            "The claim is that of Coldenhoff et al. (2022), who report that ASAM could improve generalization on data "
            "that are not normalised.",
            "Learning rate and radius of every arm, raw and normalised inputs apart, are those of the highest "
            "validation accuracy on the tuning seeds: of seven learning rates for SGD, and of its best one and the "
            "neighbours with three radii each for SAM and ASAM, with one for twice the epochs.",
            "sgd-twice is SGD for twice the epochs: as many gradient evaluations as SAM and ASAM have.",
            "Raw wines have features from tenths to thousands, and normalised ones mean 0 and standard deviation 1 "
            "over the training rows; digits have pixels of 0 to 16, or of mean 0 and standard deviation 1 over all "
            "images, one shift and one factor for all pixels.",
            "The net for wines has BatchNorm behind its first layer, that for digits none.",
            "Patches of photographs are not in it: as they come their brightness tells the class, so that raw and "
            "normalised ones would be two problems.",
        ),
    )
    return Study(design, _work)


def _work(levels: Levels, seed: int) -> Work:
    arm = levels["problem"], levels["input"], levels["method"]
    return Training(configuration(*arm, CHOSEN[arm], seed))


def configuration(problem: str, inputs: str, method: str, setting: Setting, seed: int) -> RunConfig:
    """The run of an arm with a setting."""
    base = find(f"{problem}-sgd")
    data, optimizer = base.data, base.optimizer
    assert isinstance(data, Digits | Table) and isinstance(optimizer, SGD)
    return replace(
        base,
        recipe=f"unnormalized-{problem}",
        data=replace(data, normalized=inputs == "normalized"),
        optimizer=replace(optimizer, lr=setting.lr),
        method=METHODS[method](setting.rho),
        epochs=EPOCHS[problem] * (2 if method == TWICE else 1),
        evaluation=Evaluation(every_epochs=EPOCHS[problem] // 10),
        checkpoints=Checkpoints(every_epochs=None, last=1, best=False),
        logging=Logging(every_steps=0),
        seed=seed,
    )


def _less(claim: str, method: str, control: str, inputs: str, problem: str, measure: str = "last") -> Difference:
    return Difference(
        claim=claim,
        measure=measure,
        treatment={"method": method},
        control={"method": control},
        where={"input": inputs, "problem": problem},
        smallest=SMALLEST[problem],
    )


def _looked_at(problem: str) -> Iterator[Hypothesis]:
    """The same on normalised inputs, at equal gradient evaluations and at the best epoch; and what raw inputs cost."""
    pairs = (("asam", "sgd"), ("asam", "sam"), ("asam", TWICE), ("sam", "sgd"), ("sam", TWICE), (TWICE, "sgd"))
    for inputs in INPUTS:
        for method, control in pairs:
            if (inputs, method, control) not in (("raw", "asam", "sgd"), ("raw", "asam", "sam")):
                yield _less(f"{method} less {control}, {inputs} ({problem})", method, control, inputs, problem)
        for control in ("sgd", "sam"):
            said = f"asam less {control}, {inputs}, best epoch ({problem})"
            yield _less(said, "asam", control, inputs, problem, "best")
    for method in METHODS:
        yield Difference(
            claim=f"{method}, raw less normalized ({problem})", measure="last", treatment={"input": "raw"},
            control={"input": "normalized"}, where={"method": method, "problem": problem},
        )  # fmt: skip
