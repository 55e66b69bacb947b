"""Mordido et al., ICML 2024: the baselines of Lookbehind on CIFAR."""

from __future__ import annotations

from functools import partial

from samnesia.train.config import SGD, RunConfig, Steps
from samnesia.train.parts.methods import ASAM, SAM, Method, Unperturbed
from samnesia.train.parts.models import Timm
from samnesia.train.recipes.about import About
from samnesia.train.recipes.images import BLACK, CIFAR_IMAGES, cifar
from samnesia.train.recipes.registry import register

SOURCE = "Mordido et al., ICML 2024, released example"
GMACS = {34: 1.16, 50: 1.30}
"""Multiply-adds of a forward pass in 1e9, by depth."""
METHODS: dict[str, Method] = {"sgd": Unperturbed(), "sam": SAM(rho=0.05), "asam": ASAM(rho=0.5, eta=0.0)}


def training(name: str, method: Method, *, depth: int, classes: int) -> RunConfig:
    """Return the run that all methods share: 200 epochs of SGD, a tenth of the learning rate at 50, 100 and 150."""
    return RunConfig(
        recipe=name,
        data=cifar(classes, BLACK),
        model=Timm(name=f"resnet{depth}", small_stem=True),
        optimizer=SGD(lr=0.1, momentum=0.9, weight_decay=5e-4),
        schedule=Steps(milestones=(0.25, 0.5, 0.75), gamma=0.1),
        method=method,
        epochs=200,
        batch_size=128,
        drop_last=False,
    )


def register_all() -> None:
    """Register them."""
    for depth, gmacs in GMACS.items():
        for classes in (10, 100):
            for ending, method in METHODS.items():
                name = f"mordido-resnet-{depth}-cifar{classes}-{ending}"
                register(
                    name,
                    partial(training, name, method, depth=depth, classes=classes),
                    says=f"CIFAR-{classes}, ResNet-{depth}: {ending}",
                    about=About(SOURCE, images=CIFAR_IMAGES, gmacs=gmacs),
                )
