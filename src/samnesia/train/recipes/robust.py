"""Adversarial training, all along and late: on digits, and on CIFAR-10 as Zhou et al. (ICLR 2025).

The size of the change on digits, and SAM's radius, were chosen on validation, with seeds that no reported figure uses
(benchmarks/late_adversarial.py).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from samnesia.train.config import (
    MLP,
    SGD,
    Adversary,
    Checkpoints,
    CrossEntropy,
    Digits,
    Images,
    Perturbed,
    RunConfig,
    Steps,
)
from samnesia.train.parts.methods import SAM, Method, Unperturbed
from samnesia.train.recipes.about import About
from samnesia.train.recipes.images import BLACK, CIFAR_IMAGES
from samnesia.train.recipes.registry import register
from samnesia.train.recipes.zhou import NETS

SOURCE = "Zhou et al., ICLR 2025, released code: adversarial training from late in training on"
EPS = 0.15
"""Largest change of a digit's pixel of 0 to 1."""
RHO = 0.05
"""SAM's radius on the digits."""
LATE = 0.75
"""Share of the epochs before late adversarial training of digits."""
ZHOUS = Adversary(eps=0.0157, step=0.00784, steps=10)
"""4/255 and 2/255, as the authors' code writes them."""
WORDS = {"": "plain", "-at": "adversarial training", "-late-at": "adversarial training late"}
METHODS: dict[str, Method] = {"sgd": Unperturbed(), "sam": SAM(rho=RHO)}


def digits(name: str, method: Method) -> RunConfig:
    """Return the run shared by all on clean digits: an MLP, and Zhou et al.'s course of the learning rate."""
    return RunConfig(
        recipe=name,
        data=Digits(),
        model=MLP(hidden=(64, 64)),
        optimizer=SGD(lr=0.1, momentum=0.9, weight_decay=5e-4),
        schedule=Steps(warmup_epochs=2.0, milestones=(0.3, 0.6), gamma=0.2),
        method=method,
        epochs=40,
        batch_size=80,
        checkpoints=Checkpoints(every_epochs=20),
    )


def adversary(eps: float = EPS, start_epoch: float = 0.0, stop_epoch: float | None = None) -> Adversary:
    """Return Zhou et al.'s adversary for digits: ten steps of half of the radius, in the largest change of a pixel."""
    return Adversary(eps=eps, step=eps / 2, steps=10, start_epoch=start_epoch, stop_epoch=stop_epoch)


def robust_digits(name: str, method: Method, start: float | None) -> RunConfig:
    """Return the run with adversarial training from a share of its epochs on; None is none."""
    run = digits(name, method)
    return run if start is None else replace(run, adversary=adversary(start_epoch=start * run.epochs))


def robust_cifar(net: str, name: str, start: float | None) -> RunConfig:
    """Return Zhou et al.'s run: as for late SAM, but no smoothing, no cutout, pixels as they are, and one optimizer."""
    run = NETS[net][0](name, Unperturbed(), Perturbed())
    assert isinstance(run.data, Images)
    run = replace(run, data=replace(run.data, augmentation=BLACK, mean=None, std=None), loss=CrossEntropy())
    return run if start is None else replace(run, adversary=replace(ZHOUS, start_epoch=start))


def register_all() -> None:
    """Register them."""
    about = About("this project's own, docs/adversaries.md", images=800, gmacs=0.0000088)
    phases = {"": None, "-at": 0.0, "-late-at": LATE}
    for phase, share in phases.items():
        for ending, method in METHODS.items():
            name = f"digits-robust{phase}-{ending}"
            build = partial(robust_digits, name, method, share)
            register(name, build, says=f"Digits, {WORDS[phase]}: {ending}", about=about)
    for net, (_, late, gmacs) in NETS.items():
        about = About(SOURCE, images=CIFAR_IMAGES, gmacs=gmacs)
        for phase, share in phases.items():
            name = f"zhou-{net}-cifar10-robust{phase}-sgd"
            build = partial(robust_cifar, net, name, late if share else share)
            register(name, build, says=f"CIFAR-10, {net}, {WORDS[phase]}: sgd", about=about)
