"""Zhou et al., ICLR 2025: SAM in the late phase of training."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from samnesia.train.config import SGD, CrossEntropy, Perturbed, RunConfig, Steps
from samnesia.train.parts.methods import ASAM, SAM, Method, Unperturbed
from samnesia.train.parts.models import VGG, WideResNet
from samnesia.train.recipes.about import About
from samnesia.train.recipes.images import BLACK, CIFAR_IMAGES, cifar
from samnesia.train.recipes.registry import register

SOURCE = "Zhou et al., ICLR 2025, released scripts and figure 1a"
SMOOTHING = 0.1 * 10 / 9
"""A tenth over the 9 wrong classes is this share over all 10."""

METHODS: dict[str, Method] = {"sam": SAM(rho=0.05), "asam": ASAM(rho=2.0, eta=0.0, scaled="all")}


def wide(name: str, method: Method, when: Perturbed) -> RunConfig:
    """Return the run of figure 1a: WRN-16-8 on CIFAR-10, 200 epochs, a fifth of the learning rate at 30 and 60 %."""
    return RunConfig(
        recipe=name,
        data=cifar(10, replace(BLACK, cutout=16, cutout_probability=0.5)),
        model=WideResNet(depth=16, width=8),
        loss=CrossEntropy(SMOOTHING),
        optimizer=SGD(lr=0.01, momentum=0.9, weight_decay=1e-4),
        schedule=Steps(milestones=(0.3, 0.6), gamma=0.2),
        method=method,
        when=when,
        epochs=200,
        batch_size=128,
        drop_last=False,
    )


def vgg(name: str, method: Method, when: Perturbed) -> RunConfig:
    """Return the run of the scripts' defaults: VGG-16-BN on CIFAR-10, 160 epochs, a tenth from the 80th on."""
    return replace(
        wide(name, method, when),
        data=cifar(10, BLACK),
        model=VGG(depth=16),
        schedule=Steps(milestones=(0.5,), gamma=0.1),
        epochs=160,
    )


NETS = {"wrn-16-8": (wide, 175.0, 1.55), "vgg-16": (vgg, 150.0, 0.313)}
"""For each net its run, the epoch from which on SAM comes late, and the multiply-adds of a forward pass in 1e9."""


def register_all() -> None:
    """Register them."""
    for net, (shared, late, gmacs) in NETS.items():
        about = About(SOURCE, images=CIFAR_IMAGES, gmacs=gmacs)
        phases = {
            "": (Perturbed(), "all along"),
            "-late": (Perturbed(start_epoch=late, fresh_state=True), f"from epoch {late:g} on, with fresh momentum"),
            "-late-kept": (Perturbed(start_epoch=late), f"from epoch {late:g} on, momentum kept"),
        }
        name = f"zhou-{net}-cifar10-sgd"
        register(name, partial(shared, name, Unperturbed(), Perturbed()), says=f"CIFAR-10, {net}: sgd", about=about)
        for phase, (when, says) in phases.items():
            for ending, method in METHODS.items():
                name = f"zhou-{net}-cifar10{phase}-{ending}"
                build = partial(shared, name, method, when)
                register(name, build, says=f"CIFAR-10, {net}: {ending} {says}", about=about)
