"""Foret et al., ICLR 2021: CIFAR from scratch, and how the size of the perturbed chunks matters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from samnesia.train.config import SGD, Cosine, RunConfig
from samnesia.train.parts.data import Images
from samnesia.train.parts.methods import SAM, Method, Unperturbed
from samnesia.train.parts.models import CifarResNet, Model, PyramidNet, ShakeShake, WideResNet
from samnesia.train.recipes.about import About, Published
from samnesia.train.recipes.images import CIFAR_IMAGES, REFLECTED, cifar
from samnesia.train.recipes.registry import register

SOURCE = "Foret et al., ICLR 2021, paper and released code"
BATCH_SIZE = 256
REPLICAS = 8
"""Devices of the authors' runs on CIFAR: each perturbs its own share of the batch."""


@dataclass(frozen=True)
class Net:
    """A net with its base settings."""

    model: Model
    gmacs: float
    """Multiply-adds of a forward pass in 1e9."""
    lr: float = 0.1
    weight_decay: float = 5e-4
    rho: float | None = None
    """Radius on both data sets; None is the usual one."""
    rho_autoaugment: float | None = None
    """Radius with AutoAugment; None is that without."""

    def radius(self, classes: int, augmentation: str) -> float:
        """Return SAM's radius on CIFAR-10 or CIFAR-100."""
        if augmentation == "autoaugment" and self.rho_autoaugment is not None:
            return self.rho_autoaugment
        return self.rho or {10: 0.05, 100: 0.1}[classes]


NETS = {
    "wrn-28-10": Net(WideResNet(depth=28, width=10), 5.24),
    "shake-shake": Net(ShakeShake(depth=26, width=96), 3.78, lr=0.02, weight_decay=1e-3, rho=0.02),
    "pyramidnet": Net(PyramidNet(depth=272, alpha=200.0, shakedrop=0.0), 4.45, rho_autoaugment=0.2),
    "pyramidnet-shakedrop": Net(PyramidNet(depth=272, alpha=200.0, shakedrop=0.5), 4.45, rho_autoaugment=0.2),
}
"""The nets of the paper's CIFAR tables."""
SMALL = Net(CifarResNet(depth=32), 0.069)
"""The net of its table on wrong labels."""

CUTOUT = replace(REFLECTED, cutout=16)
AUGMENTATIONS = {"basic": REFLECTED, "cutout": CUTOUT, "autoaugment": replace(CUTOUT, autoaugment=True)}
"""The columns of the paper's CIFAR tables."""

ERRORS = {
    ("wrn-28-10", 100, "basic", 200): {
        "sgd": Published(18.8, "error", "Foret et al., WRN-28-10 on CIFAR-100", "unverified"),
        "sam": Published(16.5, "error", "Foret et al., WRN-28-10 on CIFAR-100, via a review", "text"),
    }
}
"""What is known of the paper's table, by net, classes, augmentation and epochs."""


def training(name: str, method: Method, *, net: Net, data: Images, epochs: int = 200) -> RunConfig:
    """Return the run that all methods share: Nesterov's SGD, cosine without warm-up, a perturbation per replica."""
    return RunConfig(
        recipe=name,
        data=data,
        model=net.model,
        optimizer=SGD(lr=net.lr, momentum=0.9, weight_decay=net.weight_decay, nesterov=True),
        schedule=Cosine(),
        method=method,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        micro_batch=BATCH_SIZE // REPLICAS,
        clip_norm=5.0,
    )


def in_chunks(name: str, micro_batch: int) -> RunConfig:
    """Return SAM with one perturbation per ``micro_batch`` images."""
    config = training(name, SAM(rho=SMALL.radius(10, "basic")), net=SMALL, data=cifar(10, REFLECTED))
    return replace(config, micro_batch=micro_batch)


def register_all() -> None:
    """Register them."""
    _register_chunks()
    for net_name, net in NETS.items():
        for classes in (10, 100):
            for augmentation, views in AUGMENTATIONS.items():
                sam = SAM(rho=net.radius(classes, augmentation))
                for epochs in (200, 1800):
                    published = ERRORS.get((net_name, classes, augmentation, epochs), {})
                    for ending, method in (("sgd", Unperturbed()), ("sam", sam)):
                        name = f"foret-{net_name}-cifar{classes}-{augmentation}-{epochs}-{ending}"
                        data = cifar(classes, views)
                        register(
                            name,
                            partial(training, name, method, net=net, data=data, epochs=epochs),
                            says=f"CIFAR-{classes}, {net_name}, {augmentation}, {epochs} epochs: {ending}",
                            about=About(SOURCE, CIFAR_IMAGES, net.gmacs, published=published.get(ending)),
                        )


def _register_chunks() -> None:
    about = About("Foret et al., ICLR 2021, figure 3", CIFAR_IMAGES, SMALL.gmacs)
    for micro_batch in (1, 4, 16, 64, 256):
        name = f"foret-resnet-32-cifar10-m{micro_batch}-sam"
        says = f"CIFAR-10, ResNet-32: SAM with a perturbation per {micro_batch} of {BATCH_SIZE} images"
        register(name, partial(in_chunks, name, micro_batch), says=says, about=about)
