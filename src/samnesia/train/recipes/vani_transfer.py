"""Vani et al., ICML 2024: fine-tuning on CIFAR in both protocols."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from samnesia.train.config import SGD, BinaryCrossEntropy, CrossEntropy, Linear, RunConfig
from samnesia.train.parts.losses import Loss
from samnesia.train.parts.methods import SAM, Method, Unperturbed
from samnesia.train.parts.models import Timm
from samnesia.train.recipes.about import About
from samnesia.train.recipes.images import CIFAR_IMAGES, cifar_large
from samnesia.train.recipes.registry import register
from samnesia.train.recipes.vani import LINEAR_MARGIN, MICRO_BATCH, NETS, VIT_S32, obf

SOURCE = "Vani et al., ICML 2024, released scripts"


@dataclass(frozen=True)
class Net:
    """What the nets differ in."""

    model: Timm
    """Without its weights."""
    base: str
    """The ending of the recipe that pretrains it without perturbation."""
    lr: float
    rho: float
    device_batch: int
    after_perturbed: Loss
    """The loss when the pretraining was perturbed."""
    after_vanilla: Loss = BinaryCrossEntropy()
    """The loss when the pretraining was not perturbed."""


TUNED = {
    "vit-s32": Net(VIT_S32, "adamw", lr=0.003, rho=0.05, device_batch=512, after_perturbed=BinaryCrossEntropy()),
    "resnet-50": Net(Timm(name="resnet50"), "sgd", lr=0.01, rho=0.1, device_batch=128, after_perturbed=CrossEntropy()),
}
"""The nets that the released scripts fine-tune."""


def fine_tuning(name: str, method: Method, *, net: str, classes: int, pretrained: str) -> RunConfig:
    """Return the run that all methods share after this pretraining, which is the ending of an ImageNet recipe."""
    tuned = TUNED[net]
    return RunConfig(
        recipe=name,
        data=cifar_large(classes),
        model=replace(tuned.model, weights=f"runs/vani-{net}-{pretrained}", new_head=True),
        loss=tuned.after_vanilla if pretrained == tuned.base else tuned.after_perturbed,
        optimizer=SGD(lr=tuned.lr, momentum=0.9, weight_decay=0.0),
        schedule=Linear(warmup_epochs=5.0),
        method=method,
        epochs=100,
        batch_size=512,
        micro_batch=MICRO_BATCH,
        device_batch=tuned.device_batch,
        clip_norm=1.0,
    )


def register_all() -> None:
    """Register them."""
    for net, tuned in TUNED.items():
        arms: tuple[tuple[str, str, Method], ...] = (
            ("sam", "sgd", Unperturbed()),
            ("obf", "sgd", Unperturbed()),
            (tuned.base, "sam", SAM(rho=tuned.rho)),
            (tuned.base, "obf", obf(tuned.rho, LINEAR_MARGIN)),
        )
        for classes in (10, 100):
            about = About(SOURCE, images=CIFAR_IMAGES, gmacs=NETS[net][1])
            for pretrained, ending, method in arms:
                name = f"vani-{net}-cifar{classes}-after-{pretrained}-{ending}"
                build = partial(fine_tuning, name, method, net=net, classes=classes, pretrained=pretrained)
                says = f"CIFAR-{classes}, {net} pretrained with {pretrained}: {ending}"
                register(name, build, says=says, about=about)
