"""Named federated runs: this project's on digits, and those of Caldarola et al. on CIFAR-10 and CIFAR-100."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from samnesia.federated.config import FederatedConfig
from samnesia.federated.parts import Partition, ServerSWA
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import (
    ASAM,
    MLP,
    SAM,
    SGD,
    Checkpoints,
    Constant,
    Digits,
    Evaluation,
    LeNet,
    Logging,
    Method,
    RunConfig,
    Unperturbed,
)
from samnesia.train.plain import nearest
from samnesia.train.recipes.about import Published
from samnesia.train.recipes.images import BLACK, cifar

METHODS = ("fedavg", "fedsam", "fedasam")
SOURCE = "Caldarola et al., ECCV 2022, released code (settings); accuracies from memory, unverified"


@dataclass(frozen=True)
class FederatedRecipe:
    """A named federated run; calling it returns the configuration."""

    name: str
    """``PROBLEM-[alphaA-]METHOD[-swa]``."""
    build: Callable[[], FederatedConfig]
    """Returns the configuration."""
    says: str
    """What it is, in a line."""
    source: str
    """What it reproduces."""
    published: Published | None = None
    """What its authors report."""

    def __call__(self) -> FederatedConfig:
        """Return the configuration."""
        return self.build()


RECIPES: dict[str, FederatedRecipe] = {}
"""Every federated recipe by its name."""

# -- digits ------------------------------------------------------------------------------------------------------------

ALPHAS = (0.0, 0.1, 1.0, 100.0)
RADII: dict[str, dict[float, Method]] = {
    "fedavg": dict.fromkeys(ALPHAS, Unperturbed()),
    "fedsam": dict.fromkeys(ALPHAS, SAM(rho=0.02)),
    "fedasam": dict.fromkeys(ALPHAS, ASAM(rho=0.1, eta=0.2)),
}
"""By validation at alpha 0 on tuning seeds: benchmarks/federated_radii.py. That of FedSAM is the smallest tried."""
LR = 0.3
ROUNDS, START, CYCLE = 60, 45, 3


def digits(name: str, method: Method, alpha: float, *, swa: bool) -> FederatedConfig:
    """The run that all methods share on digits: 20 clients of 40 images, 5 of them in a round."""
    training = RunConfig(
        recipe=name,
        data=Digits(),
        model=MLP(hidden=(64, 64), norm=False),
        optimizer=SGD(lr=LR, momentum=0.0, weight_decay=4e-4),
        schedule=Constant(),
        method=method,
        epochs=1,
        batch_size=10,
        drop_last=False,
        checkpoints=Checkpoints(every_epochs=10),
        evaluation=Evaluation(train=False),
        logging=Logging(every_steps=0),
    )
    return FederatedConfig(
        recipe=name,
        training=training,
        clients=20,
        participants=5,
        rounds=ROUNDS,
        partition=Partition(alpha),
        swa=ServerSWA(start=START, cycle=CYCLE, lr=LR / 100) if swa else None,
    )


# -- CIFAR -------------------------------------------------------------------------------------------------------------

CIFAR: dict[int, tuple[int, tuple[float, ...], dict[str, Method]]] = {
    10: (10_000, (0.0, 0.05, 100.0), {"fedsam": SAM(rho=0.1), "fedasam": ASAM(rho=0.7, eta=0.2)}),
    100: (20_000, (0.0, 0.5, 1000.0), {"fedsam": SAM(rho=0.02), "fedasam": ASAM(rho=0.5, eta=0.2)}),
}
"""By the number of classes: rounds, alphas, and the methods with their radii (of CIFAR-100 unverified)."""
ACCURACIES = {
    (100, "fedavg"): (30.25, 40.43, 49.92),
    (100, "fedsam"): (31.04, 44.73, 54.01),
    (100, "fedasam"): (36.04, 45.61, 54.81),
    (100, "fedavg-swa"): (39.34, 43.90, 50.98),
    (100, "fedsam-swa"): (39.30, 47.96, 53.90),
    (100, "fedasam-swa"): (42.01, 49.17, 53.86),
    (10, "fedavg"): (65.00, 69.24, 84.46),
    (10, "fedsam"): (70.16, 73.52, 84.58),
    (10, "fedasam"): (73.66, 75.61, 84.77),
}
"""Of five clients in a round, the mean over the last 100 rounds, by alpha; unverified."""


def caldarola(name: str, method: Method, classes: int, alpha: float, *, swa: bool) -> FederatedConfig:
    """The run that all methods share on CIFAR: 100 clients of 500 images, 5 of them in a round."""
    rounds = CIFAR[classes][0]
    training = RunConfig(
        recipe=name,
        data=cifar(classes, BLACK),
        model=LeNet(),
        optimizer=SGD(lr=0.01, momentum=0.0, weight_decay=4e-4),
        schedule=Constant(),
        method=method,
        epochs=1,
        batch_size=64,
        drop_last=False,
        checkpoints=Checkpoints(every_epochs=100, best=False),
        evaluation=Evaluation(train=False, every_epochs=10),
        logging=Logging(every_steps=0),
    )
    return FederatedConfig(
        recipe=name,
        training=training,
        clients=100,
        participants=5,
        rounds=rounds,
        partition=Partition(alpha),
        swa=ServerSWA(start=rounds * 3 // 4, cycle=10, lr=1e-4, take="high") if swa else None,
    )


def _register() -> None:
    for alpha in ALPHAS:
        for method in METHODS:
            for swa in (False, True):
                ending = f"{method}{'-swa' * swa}"
                name = f"digits-{ending}" if alpha == 0 else f"digits-alpha{alpha:g}-{ending}"
                says = f"digits, 20 clients, alpha {alpha:g}: {ending}"
                build = partial(digits, name, RADII[method][alpha], alpha, swa=swa)
                RECIPES[name] = FederatedRecipe(name, build, says, "this project's own, benchmarks/federated_radii.py")
    for classes, (_, alphas, ways) in CIFAR.items():
        for place, alpha in enumerate(alphas):
            for method in METHODS:
                for swa in (False, True):
                    ending = f"{method}{'-swa' * swa}"
                    name = f"caldarola-cifar{classes}-alpha{alpha:g}-{ending}"
                    found = ACCURACIES.get((classes, ending))
                    published = None
                    if found is not None:
                        published = Published(
                            found[place], "accuracy", "Caldarola et al., last 100 rounds", "unverified"
                        )
                    way = ways.get(method, Unperturbed())
                    build = partial(caldarola, name, way, classes, alpha, swa=swa)
                    says = f"CIFAR-{classes}, 100 clients, alpha {alpha:g}: {ending}"
                    RECIPES[name] = FederatedRecipe(name, build, says, SOURCE, published)


_register()


def find(name: str) -> FederatedConfig:
    """Return the configuration of a recipe.

    Raises:
        ConfigurationError: for an unknown name, with the nearest known one.
    """
    if name not in RECIPES:
        raise ConfigurationError(
            f"cannot train the federated recipe {name!r}, because there is no such recipe; "
            f"{nearest(name, list(RECIPES)) if len(name) > 3 else 'see samnesia federate --list'}"
        )
    return RECIPES[name]()


def listing(*, long: bool = False) -> Iterator[str]:
    """A line per recipe; long ones say what it reproduces."""
    width = max(map(len, RECIPES))
    for name, one in RECIPES.items():
        yield f"{name:{width}}  {one.says}"
        if long:
            yield f"  source     {one.source}"
            yield f"  published  {one.published or 'not known here'}"


__all__ = ["RADII", "RECIPES", "FederatedRecipe", "caldarola", "digits", "find", "listing"]
