"""Kwon et al., ICML 2021: ASAM on CIFAR, with its SGD and SAM baselines."""

from __future__ import annotations

from functools import partial

from samnesia.train.config import SGD, Cosine, CrossEntropy, RunConfig
from samnesia.train.parts.methods import ASAM, SAM, Method, Unperturbed
from samnesia.train.parts.models import CifarResNet, Model, WideResNet
from samnesia.train.recipes.about import About, Published
from samnesia.train.recipes.images import BLACK, CIFAR_IMAGES, cifar
from samnesia.train.recipes.registry import register

SOURCE = "Kwon et al., ICML 2021, released example and paper"
NETS: dict[str, tuple[Model, float]] = {
    "wrn-28-10": (WideResNet(depth=28, width=10), 5.24),
    "wrn-28-2": (WideResNet(depth=28, width=2), 0.214),
    "resnet-20": (CifarResNet(depth=20), 0.0406),
    "resnet-56": (CifarResNet(depth=56), 0.126),
}
"""The nets of the released example that are known here, with the multiply-adds of a forward pass in 1e9."""
RADII = {10: (0.05, 0.5), 100: (0.1, 1.0)}
"""Of SAM and of ASAM, by number of classes."""
ACCURACY = {"sgd": 81.56, "sam": 83.42, "asam": 83.68}
"""WRN-28-10 on CIFAR-100, of the best epoch."""


def training(name: str, method: Method, *, model: Model, classes: int) -> RunConfig:
    """Return the run that all methods share: 200 epochs of SGD with a cosine and smoothed labels."""
    return RunConfig(
        recipe=name,
        data=cifar(classes, BLACK),
        model=model,
        loss=CrossEntropy(smoothing=0.1),
        optimizer=SGD(lr=0.1, momentum=0.9, weight_decay=5e-4),
        schedule=Cosine(),
        method=method,
        epochs=200,
        batch_size=128,
        drop_last=False,
    )


def methods(classes: int) -> dict[str, Method]:
    """The methods with the radii of this data set; ``asam-eta0`` as the example script's defaults have it."""
    sam, asam = RADII[classes]
    return {
        "sgd": Unperturbed(),
        "sam": SAM(rho=sam),
        "asam": ASAM(rho=asam, eta=0.01),
        "asam-eta0": ASAM(rho=asam, eta=0.0),
    }


def register_all() -> None:
    """Register them."""
    for net, (model, gmacs) in NETS.items():
        for classes in RADII:
            for ending, method in methods(classes).items():
                published = None
                if (net, classes) == ("wrn-28-10", 100) and ending in ACCURACY:
                    published = Published(ACCURACY[ending], "accuracy", "Kwon et al., best epoch", "unverified")
                name = f"kwon-{net}-cifar{classes}-{ending}"
                register(
                    name,
                    partial(training, name, method, model=model, classes=classes),
                    says=f"CIFAR-{classes}, {net}: {ending}",
                    about=About(SOURCE, images=CIFAR_IMAGES, gmacs=gmacs, published=published),
                )
