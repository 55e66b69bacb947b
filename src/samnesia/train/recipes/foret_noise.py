"""Foret et al., ICLR 2021: CIFAR-10 with wrong labels."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from samnesia.train.parts.data import Images, Mixing
from samnesia.train.parts.methods import SAM, Method, Unperturbed
from samnesia.train.recipes.about import About, Published
from samnesia.train.recipes.foret_cifar import SMALL, training
from samnesia.train.recipes.images import CIFAR_IMAGES, REFLECTED, cifar
from samnesia.train.recipes.registry import register

SOURCE = "Foret et al., ICLR 2021, Table 4"
RADII = {20: 0.1, 40: 0.1, 60: 0.1, 80: 0.05}
"""SAM's radius by percent of wrong labels."""
ACCURACY = {
    ("", "sgd"): {20: 84.8, 40: 68.8, 60: 48.2, 80: 26.2},
    ("", "sam"): {20: 95.1, 40: 93.4, 60: 90.5, 80: 77.9},
    ("-bootstrap", "sam"): {20: 95.4, 40: 94.2, 60: 91.8, 80: 79.9},
}
"""The table, by arm, method and percent of wrong labels."""


def wrong(percent: int) -> Images:
    """CIFAR-10 with so many percent of the labels drawn anew from all classes."""
    return replace(cifar(10, REFLECTED), flipped=percent / 100, noise="all")


def mixed(percent: int) -> Images:
    """With mixup."""
    return replace(wrong(percent), mixing=Mixing(mixup=1.0))


def relabelled(percent: int, ending: str) -> Images:
    """With the labels that a run without this arm predicts; :func:`samnesia.train.recipes.write_predictions` does."""
    return replace(wrong(percent), relabel=f"runs/foret-resnet-32-noise-{percent}-{ending}/predicted.npy")


def register_all() -> None:
    """Register them."""
    for percent, rho in RADII.items():
        methods: dict[str, Method] = {"sgd": Unperturbed(), "sam": SAM(rho=rho)}
        for ending, method in methods.items():
            arms = {"": wrong(percent), "-mixup": mixed(percent), "-bootstrap": relabelled(percent, ending)}
            for arm, data in arms.items():
                accuracy = ACCURACY.get((arm, ending), {}).get(percent)
                name = f"foret-resnet-32-noise-{percent}{arm}-{ending}"
                published = None if accuracy is None else Published(accuracy, "accuracy", SOURCE, "text")
                register(
                    name,
                    partial(training, name, method, net=SMALL, data=data),
                    says=f"CIFAR-10, ResNet-32, {percent} % wrong labels{arm.replace('-', ', ')}: {ending}",
                    about=About(SOURCE, CIFAR_IMAGES, SMALL.gmacs, published=published),
                )
