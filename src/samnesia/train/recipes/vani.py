"""Vani et al., ICML 2024: the ImageNet runs of the released scripts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from samnesia.train.config import SGD, AdamW, BinaryCrossEntropy, CrossEntropy, Linear, RunConfig
from samnesia.train.parts.methods import (
    GSAM,
    OBF,
    SAM,
    ASAMAfterNorm,
    ASAMBeforeNorm,
    Method,
    OutputBias,
    Random,
    Unperturbed,
)
from samnesia.train.parts.models import Timm
from samnesia.train.recipes.about import About, Published
from samnesia.train.recipes.images import IMAGENET_IMAGES, imagenet
from samnesia.train.recipes.registry import register

SOURCE = "Vani et al., ICML 2024, released scripts"
MICRO_BATCH = 64
LINEAR_MARGIN = 1e-12
"""The gamma of all runs but the ViTs' SAM and GSAM: it leaves the linear margin, in which the link does not matter."""


VIT_S32 = Timm(name="vit_small_patch32_224", class_token=False, pooling="avg", head_zero=True, head_bias=-10.0)
"""No class token, the average of the tokens, and a head that starts at 0 with a bias of -10."""


def vit(name: str, method: Method, *, patch: int, smoothing: float = 0.0, shrink_perturb: float = 0.0) -> RunConfig:
    """Return the run that all methods share on a ViT-S: AdamW, sigmoid loss, no class token, head bias -10."""
    return RunConfig(
        recipe=name,
        data=imagenet(),
        model=Timm(
            name=f"vit_small_patch{patch}_224", class_token=False, pooling="avg", head_zero=True, head_bias=-10.0
        ),
        loss=BinaryCrossEntropy(smoothing),
        optimizer=AdamW(lr=3e-3, weight_decay=0.3, decayed="matrices"),
        schedule=Linear(warmup_epochs=32.0, final=0.01),
        method=method,
        epochs=300,
        batch_size=4096,
        micro_batch=MICRO_BATCH,
        device_batch=512,
        clip_norm=1.0,
        shrink_perturb=shrink_perturb,
    )


def resnet(name: str, method: Method, *, depth: int, smoothing: float = 0.0, shrink_perturb: float = 0.0) -> RunConfig:
    """Return the run that all methods share on a ResNet: SGD with decoupled weight decay, softmax loss."""
    return RunConfig(
        recipe=name,
        data=imagenet(),
        model=Timm(name=f"resnet{depth}"),
        loss=CrossEntropy(smoothing),
        optimizer=SGD(lr=1.6, momentum=0.9, weight_decay=0.001, decoupled=True, decayed="matrices"),
        schedule=Linear(warmup_epochs=16.0, final=0.01),
        method=method,
        epochs=90,
        batch_size=4096,
        micro_batch=MICRO_BATCH,
        device_batch=256,
        shrink_perturb=shrink_perturb,
    )


def obf(rho: float, gamma: float) -> OBF:
    """Output-bias forgetting as released: sigmoid always, threshold at chance, constant radius."""
    return OBF(rho=rho, gamma=gamma, link="sigmoid")


def output_bias(gamma: float) -> OutputBias:
    """The objective of :func:`obf`, for other frameworks than SAM."""
    return OutputBias(gamma=gamma, link="sigmoid")


_VIT_OBF: dict[str, Method] = {
    "obf": obf(0.6, 1.0),
    "gsam-obf": GSAM(rho=0.6, alpha=0.4, backup="normalized", objective=output_bias(1.0)),
}
_RESNET: dict[str, Method] = {
    "sgd": Unperturbed(),
    "sam": SAM(rho=0.04, rho_min=0.02),
    "obf": obf(0.04, LINEAR_MARGIN),
    "gsam": GSAM(rho=0.04, rho_min=0.02, alpha=0.01, backup="normalized"),
    "gsam-obf": GSAM(rho=0.04, alpha=0.01, backup="raw", objective=output_bias(LINEAR_MARGIN)),
}
METHODS: Mapping[str, Mapping[str, Method]] = {
    "vit-s32": {
        "adamw": Unperturbed(),
        "sam": SAM(rho=0.6, rho_min=0.0),
        "gsam": GSAM(rho=0.6, rho_min=0.0, alpha=0.4, backup="raw"),
        **_VIT_OBF,
        "random": Random(rho=0.6, clean_statistics=True),
        "asam-after": ASAMAfterNorm(rho=6.0),
        "asam-after-obf": ASAMAfterNorm(rho=6.0, objective=output_bias(LINEAR_MARGIN)),
    },
    "vit-s16": {
        "adamw": Unperturbed(),
        "sam": SAM(rho=0.6),
        "gsam": GSAM(rho=0.6, rho_min=0.0, alpha=1.0, backup="raw"),
        **_VIT_OBF,
    },
    "resnet-50": {
        **_RESNET,
        "random": Random(rho=0.04, clean_statistics=True),
        "asam-before": ASAMBeforeNorm(rho=0.8, rho_min=0.4),
        "asam-before-obf": ASAMBeforeNorm(rho=0.8, objective=output_bias(LINEAR_MARGIN)),
    },
    "resnet-101": _RESNET,
}
"""The methods of the released scripts on each net."""

NETS = {
    "vit-s32": (partial(vit, patch=32), 1.12),
    "vit-s16": (partial(vit, patch=16), 4.57),
    "resnet-50": (partial(resnet, depth=50), 4.09),
    "resnet-101": (partial(resnet, depth=101), 7.80),
}
"""For each net the run that its methods share, and the multiply-adds of a forward pass in 1e9."""

GSAM_TABLE_1 = {
    "vit-s32": {"adamw": 68.4, "sam": 70.5, "gsam": 73.8},
    "vit-s16": {"adamw": 74.4, "sam": 78.1, "gsam": 79.5},
    "resnet-50": {"sgd": 76.0, "sam": 76.9, "gsam": 77.2},
    "resnet-101": {"sgd": 77.8, "sam": 78.6, "gsam": 78.9},
}
"""ImageNet accuracy of the GSAM paper, whose base settings Vani et al. copy; these are not Vani's numbers."""


def _about(net: str, method: str) -> About:
    accuracy = GSAM_TABLE_1[net].get(method)
    yardstick = None
    if accuracy is not None:
        yardstick = Published(accuracy, "accuracy", "Zhuang et al., ICLR 2022, Table 1", "text")
    return About(SOURCE, images=IMAGENET_IMAGES, gmacs=NETS[net][1], yardstick=yardstick)


def register_all() -> None:
    """Register them."""
    for net, methods in METHODS.items():
        for ending, method in methods.items():
            name = f"vani-{net}-{ending}"
            build = partial(NETS[net][0], name, method)
            register(name, build, says=f"ImageNet, {net}: {ending}", about=_about(net, ending))
    for net, base in (("vit-s32", "adamw"), ("resnet-50", "sgd")):
        for arm, changes in (("smoothing", {"smoothing": 0.1}), ("shrink-perturb", {"shrink_perturb": 1e-5})):
            name = f"vani-{net}-{arm}-{base}"
            build = partial(NETS[net][0], name, Unperturbed(), **changes)
            register(name, build, says=f"ImageNet, {net}: {base} with {arm}", about=_about(net, arm))
