"""Named sequences of tasks: this project's on digits, and split CIFAR."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from samnesia.lifelong.config import EWC, LifelongConfig
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import (
    ASAM,
    MLP,
    SAM,
    SGD,
    ByClasses,
    Checkpoints,
    Constant,
    Digits,
    Evaluation,
    Logging,
    Lookbehind,
    LookbehindASAM,
    Method,
    Permuted,
    Reservoir,
    RunConfig,
    Timm,
    Unperturbed,
)
from samnesia.train.plain import nearest
from samnesia.train.recipes.images import BLACK, cifar


@dataclass(frozen=True)
class LifelongRecipe:
    """A named sequence of tasks; calling it returns the configuration."""

    name: str
    """``PROBLEM-METHOD[-STRATEGY]``."""
    build: Callable[[], LifelongConfig]
    """Returns the configuration."""
    says: str
    """What it is, in a line."""

    def __call__(self) -> LifelongConfig:
        """Return the configuration."""
        return self.build()


RECIPES: dict[str, LifelongRecipe] = {}
"""Every recipe of a sequence of tasks by its name."""
METHODS = ("sgd", "sam", "asam", "lookbehind", "lookbehind-asam")
MEMORY = 50
"""Samples that replay keeps on digits: ten for each task."""
CHOSEN: dict[str, dict[str, float]] = {
    "split-digits": {"lr": 0.05, "sam": 0.1, "asam": 0.5, "lookbehind": 0.05, "lookbehind-asam": 0.25, "ewc": 100.0},
    "permuted-digits": {"lr": 0.05, "sam": 0.1, "asam": 0.5, "lookbehind": 0.05, "lookbehind-asam": 0.25, "ewc": 100.0},
}
"""Learning rate, radius by method, strength of EWC: first guesses, until benchmarks/lifelong_radii.py has run."""
SHAPES: dict[str, dict[str, Any]] = {
    "split-digits": {"epochs": 8, "batch_size": 20, "data": Digits()},
    "permuted-digits": {"epochs": 6, "batch_size": 40, "data": Digits(train=400)},
}


def method(name: str, rho: float) -> Method:
    """Return the method of this name with a radius."""
    made: dict[str, Method] = {
        "sgd": Unperturbed(),
        "sam": SAM(rho=rho),
        "asam": ASAM(rho=rho),
        "lookbehind": Lookbehind(rho=rho, k=2),
        "lookbehind-asam": LookbehindASAM(rho=rho, k=2),
    }
    return made[name]


def strategies(size: int, strength: float) -> dict[str, dict[str, Any]]:
    """Return what is done about forgetting, by name, as fields of a configuration."""
    return {
        "plain": {},
        "replay": {"memory": Reservoir(size)},
        "ewc": {"ewc": EWC(strength)},
        "joint": {"together": True},
    }


def digits(problem: str, name: str, strategy: str = "plain") -> LifelongConfig:
    """Return a sequence of five tasks of digits; ``name`` is that of the method.

    Split: two classes each, and a head each. Permuted: all ten classes, and one head for all.
    """
    chosen, shape = CHOSEN[problem], SHAPES[problem]
    recipe = "-".join((problem, name, *([] if strategy == "plain" else [strategy])))
    training = RunConfig(
        recipe=recipe,
        data=shape["data"],
        model=MLP(hidden=(64, 64), norm=False),
        optimizer=SGD(lr=chosen["lr"], momentum=0.9, weight_decay=0.0),
        schedule=Constant(),
        method=method(name, chosen.get(name, 0.0)),
        epochs=shape["epochs"],
        batch_size=shape["batch_size"],
        checkpoints=Checkpoints(every_epochs=None, last=1, best=False),
        evaluation=Evaluation(every_epochs=shape["epochs"]),
        logging=Logging(every_steps=0),
    )
    split = problem.startswith("split")
    return LifelongConfig(
        recipe,
        training,
        ByClasses(5) if split else Permuted(5),
        known=split,
        **strategies(MEMORY, chosen["ewc"])[strategy],
    )


def split_cifar(classes: int, name: str, strategy: str = "plain") -> LifelongConfig:
    """Return split CIFAR, a head each: five tasks of two of CIFAR-10's classes, or twenty of five of CIFAR-100's.

    Settings are this project's own: those of Mordido et al. for their lifelong runs are not known here.
    """
    recipe = "-".join((f"split-cifar{classes}", name, *([] if strategy == "plain" else [strategy])))
    radii = {"sam": 0.05, "asam": 0.5, "lookbehind": 0.05, "lookbehind-asam": 0.5}
    training = RunConfig(
        recipe=recipe,
        data=cifar(classes, BLACK),
        model=Timm(name="resnet18", small_stem=True),
        optimizer=SGD(lr=0.03, momentum=0.9, weight_decay=5e-4),
        schedule=Constant(),
        method=method(name, radii.get(name, 0.0)),
        epochs=10,
        batch_size=128,
        drop_last=False,
        checkpoints=Checkpoints(last=1, best=False),
    )
    return LifelongConfig(
        recipe, training, ByClasses(5 if classes == 10 else 20), **strategies(10 * classes, 100.0)[strategy]
    )


WORDS = {
    "plain": "nothing is done about forgetting",
    "replay": "a reservoir of earlier samples",
    "ewc": "elastic weight consolidation",
    "joint": "all tasks together, the upper line",
}


def _register() -> None:
    problems: dict[str, tuple[Callable[..., LifelongConfig], str]] = {
        "split-digits": (partial(digits, "split-digits"), "digits, 5 tasks of 2 classes, a head each"),
        "permuted-digits": (partial(digits, "permuted-digits"), "digits, 5 tasks of permuted pixels, one head"),
        "split-cifar10": (partial(split_cifar, 10), "CIFAR-10, 5 tasks of 2 classes, a head each"),
        "split-cifar100": (partial(split_cifar, 100), "CIFAR-100, 20 tasks of 5 classes, a head each"),
    }
    for problem, (build, says) in problems.items():
        for name in METHODS:
            for strategy, words in WORDS.items():
                recipe = "-".join((problem, name, *([] if strategy == "plain" else [strategy])))
                RECIPES[recipe] = LifelongRecipe(recipe, partial(build, name, strategy), f"{says}: {name}, {words}")


_register()


def find(name: str) -> LifelongConfig:
    """Return the configuration of a recipe.

    Raises:
        ConfigurationError: for an unknown name, with the nearest known one.
    """
    if name not in RECIPES:
        raise ConfigurationError(
            f"cannot learn {name!r}, because there is no such recipe of a sequence of tasks; "
            f"{nearest(name, list(RECIPES))}"
        )
    return replace(RECIPES[name](), recipe=name)


def listing() -> Iterator[str]:
    """Yield a line for each recipe."""
    width = max(len(name) for name in RECIPES)
    for name, recipe in RECIPES.items():
        yield f"{name:{width}}  {recipe.says}"
