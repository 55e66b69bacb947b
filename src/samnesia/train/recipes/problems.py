"""Small problems with room for a difference: seconds on one CPU core each, and nothing to download.

What each of them is, and how hard, stands in docs/problems.md. Learning rate and weight decay were chosen by plain SGD
alone, on validation and tuning seeds (benchmarks/problems.py); the radii on the same, all else as it was
(benchmarks/choose_radii.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from samnesia.train.config import (
    CNN,
    MLP,
    SGD,
    Checkpoints,
    Cosine,
    Digits,
    Perturbed,
    Photographs,
    RunConfig,
    Table,
)
from samnesia.train.parts.methods import ASAM, GSAM, OBF, SAM, Method, Random, Unperturbed
from samnesia.train.recipes.about import About
from samnesia.train.recipes.registry import register

WHEN = Perturbed(start_epoch=4.0)
"""As in the demo: after the warm-up, for all methods of a problem."""
WARMUP = Cosine(warmup_epochs=2.0)


def digits_few(name: str, method: Method) -> RunConfig:
    """Return the run shared by all methods on 400 clean digits: an MLP without BatchNorm."""
    return RunConfig(
        recipe=name,
        data=Digits(train=400),
        model=MLP(hidden=(64, 64), norm=False),
        optimizer=SGD(lr=0.1, momentum=0.9, weight_decay=2e-3),
        schedule=WARMUP,
        method=method,
        when=WHEN,
        epochs=60,
        batch_size=40,
        checkpoints=Checkpoints(every_epochs=20),
    )


def digits_shortcut(name: str, method: Method) -> RunConfig:
    """Return the run shared by all methods on digits with a planted shortcut, right for 95 % of the training images."""
    return RunConfig(
        recipe=name,
        data=Digits(marks=0.95),
        model=MLP(hidden=(64, 64)),
        optimizer=SGD(lr=0.3, momentum=0.9, weight_decay=5e-4),
        schedule=WARMUP,
        method=method,
        when=WHEN,
        epochs=40,
        batch_size=80,
        checkpoints=Checkpoints(every_epochs=20),
    )


def photographs(name: str, method: Method) -> RunConfig:
    """Return the run shared by all methods on patches of eight photographs: a small CNN."""
    return RunConfig(
        recipe=name,
        data=Photographs(),
        model=CNN(channels=(16, 32), hidden=64),
        optimizer=SGD(lr=0.03, momentum=0.9, weight_decay=2e-3),
        schedule=WARMUP,
        method=method,
        when=WHEN,
        epochs=15,
        batch_size=64,
        checkpoints=Checkpoints(every_epochs=20),
    )


def wine(name: str, method: Method) -> RunConfig:
    """Return the run shared by all methods on wines with raw features: an MLP that does not normalise its inputs."""
    return RunConfig(
        recipe=name,
        data=Table("wine", train=80, validation=40),
        model=MLP(hidden=(64, 64)),
        optimizer=SGD(lr=0.003, momentum=0.9, weight_decay=0.01),
        schedule=WARMUP,
        method=method,
        when=WHEN,
        epochs=100,
        batch_size=16,
        checkpoints=Checkpoints(every_epochs=50),
    )


@dataclass(frozen=True)
class Bench:
    """A problem, and the methods that have a recipe for it."""

    training: Callable[[str, Method], RunConfig]
    """(name, method) -> the run."""
    says: str
    """What the problem is, in a few words."""
    images: int
    """Training samples of an epoch."""
    gmacs: float
    """Multiply-adds of one sample's forward pass, in 1e9."""
    methods: dict[str, Method]
    """By the ending of the recipe's name; radii are chosen on validation, on seeds that no reported figure uses."""


BENCHES = {
    "digits-few": Bench(
        digits_few,
        "400 digits, clean labels",
        images=400,
        gmacs=0.0000088,
        methods={
            "sgd": Unperturbed(),
            "sam": SAM(rho=0.2),
            "asam": ASAM(rho=0.1),
            "gsam": GSAM(rho=0.2, alpha=0.1),
            "obf": OBF(rho=0.05),
            "random": Random(rho=2.0),
        },
    ),
    "digits-shortcut": Bench(
        digits_shortcut,
        "Digits with marks that are right in training, not in the test",
        images=800,
        gmacs=0.0000088,
        methods={
            "sgd": Unperturbed(),
            "sam": SAM(rho=0.05),
            "asam": ASAM(rho=0.25),
            "gsam": GSAM(rho=0.05, alpha=0.1),
            "obf": OBF(rho=0.4),
            "random": Random(rho=4.0),
        },
    ),
    "photographs": Bench(
        photographs,
        "Patches of eight photographs, tested in other places",
        images=768,
        gmacs=0.000365,
        methods={
            "sgd": Unperturbed(),
            "sam": SAM(rho=0.002),
            "asam": ASAM(rho=0.01),
            "gsam": GSAM(rho=0.005, alpha=0.3),
            "obf": OBF(rho=0.002),
            "random": Random(rho=1.0),
        },
    ),
    "wine": Bench(
        wine,
        "Wines by 13 raw features",
        images=80,
        gmacs=0.0000051,
        methods={
            "sgd": Unperturbed(),
            "sam": SAM(rho=0.0005),
            "asam": ASAM(rho=0.01),
            "gsam": GSAM(rho=0.001, alpha=0.3),
            "obf": OBF(rho=0.02),
            "random": Random(rho=0.2),
        },
    ),
}
"""The problems by name. ``digits-noisy``, which belongs to them, is the demo's."""

WORDS = {
    "sgd": "the base optimizer alone",
    "sam": "sharpness-aware minimization",
    "asam": "adaptive SAM, with the perturbation scaled by the weights",
    "gsam": "SAM that also lowers the surrogate gap",
    "obf": "perturbation by output-bias forgetting",
    "random": "random perturbation",
}


def register_all() -> None:
    """Register them."""
    for problem, bench in BENCHES.items():
        about = About("this project's own problem, docs/problems.md", images=bench.images, gmacs=bench.gmacs)
        for ending, method in bench.methods.items():
            name = f"{problem}-{ending}"
            says = f"{bench.says}: {WORDS[ending]}."
            register(name, partial(bench.training, name, method), says=says, about=about)
