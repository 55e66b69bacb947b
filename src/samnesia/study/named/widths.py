"""Does a radius that is right for one width of a net stay right for the others?

What counts as an answer was committed before the study ran; it stands in docs/widths.md and is computed by
:mod:`samnesia.study.named.peaks`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from samnesia.study.design import Design, Factor, Levels, Study
from samnesia.study.hypotheses import Difference
from samnesia.study.named import measures
from samnesia.study.named.registry import named
from samnesia.study.training import Training
from samnesia.study.work import Work
from samnesia.train.config import (
    CNN,
    MLP,
    SGD,
    AdamW,
    Checkpoints,
    Cosine,
    Digits,
    Evaluation,
    Logging,
    Perturbed,
    RunConfig,
    Timm,
)
from samnesia.train.parts.methods import ASAM, SAM, LayerSAM, Method, Unperturbed
from samnesia.train.parts.models import Model

SMALLEST = 1.0  # points of test accuracy
PLAIN = "plain"
MEASURES = (
    measures.LAST,
    measures.VALIDATION,
    measures.FLIPPED,
    measures.WEIGHTS,
    measures.SECONDS,
)


@dataclass(frozen=True)
class Family:
    """Nets of one kind that differ in their width."""

    widths: tuple[int, ...]
    """What is varied."""
    model: Callable[[int], Model]
    """The net of a width."""
    optimizer: Callable[[int, float], SGD | AdamW]
    """(width, factor) -> the base optimizer with its learning rate, times the factor."""


@dataclass(frozen=True)
class Geometry:
    """A ball in which radii are compared."""

    says: str
    """What its radius is."""
    radii: tuple[float, ...]
    """The grid: each twice the one before."""
    method: Callable[[float], Method]
    """The method of a radius."""
    fixed: dict[str, float]
    """By family, the radius that the claims are about: the best one of a pilot at a middle width, on a tuning seed."""


def _doubling(lowest: float, count: int) -> tuple[float, ...]:
    return tuple(lowest * 2**k for k in range(count))


def _vit(width: int) -> Timm:
    return Timm(
        "vit_tiny_patch16_224",
        width=width,
        depth=2,
        heads=4,
        patch=4,
        mlp_ratio=2.0,
        class_token=False,
        pooling="avg",
    )


FAMILIES = {
    "mlp": Family(
        (32, 64, 128, 256, 512),
        lambda width: MLP(hidden=(width, width)),
        lambda width, factor: SGD(lr=0.1 * factor),
    ),
    "cnn": Family(
        (16, 28, 48, 80, 128),
        lambda width: CNN(channels=(width, width), hidden=4 * width),
        lambda width, factor: SGD(lr=0.05 * (32 / width) ** 0.5 * factor),
    ),
    "vit": Family(
        (16, 28, 48, 80, 128),
        _vit,
        lambda width, factor: AdamW(lr=0.003 * (64 / width) * factor),
    ),
}
"""Each has a rule for the learning rate: constant, falling with the root of the width, and falling with the width, as
for Adam in the maximal update parametrization. benchmarks/widths_rates.py tries them on plain training.
"""

GEOMETRIES = {
    "l2": Geometry(
        "‖e‖₂ = ρ over all weights (SAM)",
        _doubling(0.05, 7),
        lambda rho: SAM(rho=rho),
        {"mlp": 1.6, "cnn": 0.2, "vit": 0.4},
    ),
    "layer": Geometry(
        "‖e_l‖₂ = ρ ‖W_l‖₂ for every tensor",
        _doubling(0.003125, 7),
        lambda rho: LayerSAM(rho=rho),
        {"mlp": 0.1, "cnn": 0.025, "vit": 0.05},
    ),
    "layers": Geometry(
        "Σ_l ‖e_l‖² / ‖W_l‖² = ρ² (ASAM's layer scaling, η = 0)",
        _doubling(0.00625, 7),
        lambda rho: ASAM(rho=rho, eta=0.0, scaling="layer", scaled="all"),
        {"mlp": 0.2, "cnn": 0.05, "vit": 0.1},
    ),
}


@named
def widths(quick: bool = False) -> Study:
    """SAM's best radius over five widths of MLP, CNN and ViT, in the plain ball and relative to each layer."""
    families = {name: family.widths[::2] if quick else family.widths for name, family in FAMILIES.items()}
    if quick:
        families = {name: families[name] for name in ("mlp",)}
    nets = {name: tuple(net_name(name, width) for width in of) for name, of in families.items()}
    methods = {geometry: tuple(method_name(geometry, rho) for rho in one.radii) for geometry, one in GEOMETRIES.items()}
    design = Design(
        name="widths-quick" if quick else "widths",
        question="Does the radius that is best for one width of a net stay the best for the others?",
        factors=(
            Factor("net", tuple(net for of in nets.values() for net in of)),
            Factor("method", (PLAIN, *(method for of in methods.values() for method in of))),
        ),
        measures=MEASURES,
        seeds=tuple(range(2 if quick else 3)),
        tuning_seeds=(1000, 1001),
        primary=tuple(
            Difference(
                claim=f"one radius for all widths of the {family.upper()} is better than plain training ({geometry})",
                measure="last",
                treatment={"method": method_name(geometry, one.fixed[family])},
                control={"method": PLAIN},
                over={"net": of},
                direction="higher",
                smallest=SMALLEST,
            )
            for geometry, one in GEOMETRIES.items()
            for family, of in nets.items()
        ),
        notes=(
            "The data are digits-noisy with 400 training images: 40 % of the training and validation labels are wrong.",
            "Rules for the learning rate were chosen by plain training, radii for the claims by a pilot of one run per "
            "radius at a middle width of each family, on tuning seeds.",
            *(f"{geometry}: {one.says}." for geometry, one in GEOMETRIES.items()),
            "Best radii, and whether they carry over, are in docs/widths.md: no verdict of this page is about that.",
        ),
    )
    return Study(design, _work)


def net_name(family: str, width: int) -> str:
    """The level of the factor net: mlp-32."""
    return f"{family}-{width}"


def method_name(geometry: str, rho: float) -> str:
    """The level of the factor method: l2-0.1."""
    return f"{geometry}-{rho:g}"


def _work(levels: Levels, seed: int) -> Work:
    geometry, _, rho = levels["method"].partition("-")
    method = GEOMETRIES[geometry].method(float(rho)) if rho else Unperturbed()
    return Training(configuration(levels["net"], method, seed))


def configuration(net: str, method: Method, seed: int, *, factor: float = 1.0) -> RunConfig:
    """The run of a net with a method; `factor` multiplies the learning rate of the family's rule."""
    name, _, width = net.partition("-")
    family = FAMILIES[name]
    return RunConfig(
        recipe=f"widths-{net}",
        data=Digits(flipped=0.4, train=400),
        model=family.model(int(width)),
        optimizer=family.optimizer(int(width), factor),
        schedule=Cosine(warmup_epochs=2.0),
        method=method,
        when=Perturbed(start_epoch=4.0),
        epochs=20,
        batch_size=40,
        checkpoints=Checkpoints(every_epochs=None, last=1, best=False),
        evaluation=Evaluation(every_epochs=5),
        logging=Logging(every_steps=0),
        seed=seed,
    )
