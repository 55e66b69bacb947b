"""Foret et al., ICLR 2021: residual nets on ImageNet."""

from __future__ import annotations

from functools import partial

from samnesia.train.config import SGD, Cosine, CrossEntropy, RunConfig
from samnesia.train.parts.methods import SAM, Method, Unperturbed
from samnesia.train.parts.models import Timm
from samnesia.train.recipes.about import About, Published
from samnesia.train.recipes.images import IMAGENET_IMAGES, imagenet
from samnesia.train.recipes.registry import register

SOURCE = "Foret et al., ICLR 2021"
GMACS = {50: 4.09, 101: 7.80, 152: 11.5}
"""Multiply-adds of a forward pass in 1e9, by depth."""
ERRORS = {
    (50, 100): {"sgd": 22.9, "sam": 22.5},
    (50, 200): {"sgd": 22.3, "sam": 21.4},
    (50, 400): {"sgd": 22.3, "sam": 20.9},
    (152, 400): {"sgd": 20.9, "sam": 18.4},
}
"""Top-1 errors of the paper, by depth and epochs."""


def training(name: str, method: Method, *, depth: int, epochs: int) -> RunConfig:
    """Return the run that all methods share: batch 4096, cosine, smoothed labels, a perturbation per 128 images."""
    return RunConfig(
        recipe=name,
        data=imagenet(smallest=0.08),
        model=Timm(name=f"resnet{depth}"),
        loss=CrossEntropy(smoothing=0.1),
        optimizer=SGD(lr=1.0, momentum=0.9, weight_decay=1e-4, nesterov=True),
        schedule=Cosine(),
        method=method,
        epochs=epochs,
        batch_size=4096,
        micro_batch=128,
        device_batch=256,
        clip_norm=5.0,
    )


def register_all() -> None:
    """Register them."""
    for depth, gmacs in GMACS.items():
        for epochs in (100, 200, 400):
            for ending, method in (("sgd", Unperturbed()), ("sam", SAM(rho=0.05))):
                error = ERRORS.get((depth, epochs), {}).get(ending)
                published = None if error is None else Published(error, "error", "Foret et al.", "unverified")
                name = f"foret-resnet-{depth}-imagenet-{epochs}-{ending}"
                register(
                    name,
                    partial(training, name, method, depth=depth, epochs=epochs),
                    says=f"ImageNet, ResNet-{depth}, {epochs} epochs: {ending}",
                    about=About(SOURCE, images=IMAGENET_IMAGES, gmacs=gmacs, published=published),
                )
