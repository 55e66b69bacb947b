"""Lines, curves and simplexes of nets: the runs of Wortsman et al. (ICML 2021), and small ones on digits.

A subspace has the settings of one net, the paper's way, and its penalty of strength 1. The radius of SAM on digits is
the one that was chosen for one net; for subspaces none was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from samnesia.models.subspaces.shapes import AnyShape, Curve, Line, Simplex
from samnesia.train.config import SAM, SGD, Cosine, RunConfig, Unperturbed
from samnesia.train.parts.data import Folder, Images
from samnesia.train.parts.models import CifarResNet, Model, Timm
from samnesia.train.recipes.about import About
from samnesia.train.recipes.demo import digits_noisy
from samnesia.train.recipes.images import BLACK, CIFAR_IMAGES, IMAGENET_IMAGES, cifar, imagenet
from samnesia.train.recipes.problems import BENCHES, digits_few
from samnesia.train.recipes.registry import register

SOURCE = "Wortsman et al., ICML 2021, paper and released code"
OURS = "this project's own: problems of docs/problems.md along subspaces"
SHAPES: dict[str, AnyShape] = {"line": Line(), "curve": Curve(), "simplex": Simplex(n=3)}
DIGITS: dict[str, Callable[..., RunConfig]] = {"digits-noisy": digits_noisy, "digits-few": digits_few}
RADII = {"digits-noisy": 0.4, "digits-few": 0.2}
"""Of SAM for one net."""
GMACS = {"digits-noisy": 0.0001, "digits-few": BENCHES["digits-few"].gmacs}
LARGER = {f"simplex-{n}": Simplex(n=n) for n in (3, 4, 5, 6)}
PAPERS: dict[str, AnyShape] = {"line": Line(), "line-layerwise": Line(layerwise=True), "curve": Curve(), **LARGER}
TINY_IMAGES = 100_000


@dataclass(frozen=True)
class Setting:
    """A net of the paper on its data."""

    model: Model
    data: Images
    images: int
    """Training images."""
    gmacs: float
    """Multiply-adds of a forward pass in 1e9."""
    weight_decay: float = 1e-4
    batch_size: int = 128
    epochs: int = 160
    shapes: Mapping[str, AnyShape] = field(default_factory=lambda: PAPERS)


def tiny_imagenet() -> Images:
    """TinyImageNet as a folder per class, at 64 pixels, with crops and flips as on CIFAR."""
    return Images(source=Folder(root="data/tiny-imagenet"), num_classes=200, image_size=64, augmentation=BLACK)


SETTINGS = {
    "resnet-20-cifar10": Setting(CifarResNet(depth=20), cifar(10, BLACK), CIFAR_IMAGES, 0.0406),
    "resnet-18-tinyimagenet": Setting(Timm(name="resnet18"), tiny_imagenet(), TINY_IMAGES, 0.148),
    "wrn-50-2-imagenet": Setting(
        Timm(name="wide_resnet50_2"), imagenet(smallest=0.08), IMAGENET_IMAGES, 11.4, 5e-5, 256, 200, {"line": Line()}
    ),
}


def training(name: str, setting: Setting, shape: AnyShape | None) -> RunConfig:
    """Return the run that all shapes share: SGD with a cosine after five epochs of warm-up."""
    return RunConfig(
        recipe=name,
        data=setting.data,
        model=setting.model,
        subspace=shape,
        optimizer=SGD(lr=0.1, momentum=0.9, weight_decay=setting.weight_decay),
        schedule=Cosine(warmup_epochs=5.0),
        epochs=setting.epochs,
        batch_size=setting.batch_size,
    )


def on_digits(name: str, problem: str, shape: AnyShape, *, sam: bool) -> RunConfig:
    """Return the run of a shape on a problem of ours, with SGD or with SAM."""
    method = SAM(rho=RADII[problem]) if sam else Unperturbed()
    return replace(DIGITS[problem](name, method), subspace=shape)


def register_all() -> None:
    """Register them."""
    for problem in DIGITS:
        about = About(OURS, images=400 if problem == "digits-few" else 800, gmacs=GMACS[problem])
        for shape_name, shape in SHAPES.items():
            for method in ("sgd", "sam"):
                name = f"subspaces-{problem}-{shape_name}-{method}"
                build = partial(on_digits, name, problem, shape, sam=method == "sam")
                register(name, build, says=f"{shape.called.capitalize()} of nets on {problem}: {method}.", about=about)
    for net, setting in SETTINGS.items():
        about = About(SOURCE, images=setting.images, gmacs=setting.gmacs)
        register(f"wortsman-{net}-sgd", partial(training, f"wortsman-{net}-sgd", setting, None),
                 says=f"{net}: one net, for comparison with subspaces.", about=about)  # fmt: skip
        for shape_name, shape in setting.shapes.items():
            name = f"wortsman-{net}-{shape_name}-sgd"
            layers = ", a place for each layer" if shape.layerwise else ""
            says = f"{net}: {shape.called} of nets{layers}."
            register(name, partial(training, name, setting, shape), says=says, about=about)
