"""Foret et al., ICLR 2021: EfficientNets fine-tuned on small data sets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from samnesia.train.config import SGD, Cosine, CrossEntropy, RunConfig
from samnesia.train.parts.data import Images
from samnesia.train.parts.methods import SAM, Method, Unperturbed
from samnesia.train.parts.models import Timm
from samnesia.train.recipes.about import About
from samnesia.train.recipes.images import FINE_TUNED
from samnesia.train.recipes.registry import register

SOURCE = "Foret et al., ICLR 2021, released command for EfficientNet-L2-475"


@dataclass(frozen=True)
class Net:
    """A pretrained net of timm, and how it sees images in evaluation (as timm says of these weights)."""

    name: str
    image_size: int
    crop_pct: float
    gmacs: float
    """Multiply-adds of a forward pass in 1e9."""


NETS = {
    "b7": Net("tf_efficientnet_b7.ra_in1k", 600, 0.949, 37.7),
    "l2": Net("tf_efficientnet_l2.ns_jft_in1k_475", 475, 0.936, 171.0),
}


def fine_tuning(name: str, method: Method, *, net: str, data: str) -> RunConfig:
    """Return the run that all methods share: ten epochs with the settings of the released command."""
    tuned, found = NETS[net], FINE_TUNED[data]
    return RunConfig(
        recipe=name,
        data=Images(
            source=found.source,
            num_classes=found.classes,
            image_size=tuned.image_size,
            crop_pct=tuned.crop_pct,
            interpolation="bicubic",
        ),
        model=Timm(name=tuned.name, pretrained=True),
        loss=CrossEntropy(smoothing=0.1),
        optimizer=SGD(lr=0.1, momentum=0.9, weight_decay=1e-3, nesterov=True),
        schedule=Cosine(),
        method=method,
        epochs=10,
        batch_size=512,
        micro_batch=16,
        device_batch=16,
        clip_norm=1.0,
    )


def register_all() -> None:
    """Register them."""
    for net, tuned in NETS.items():
        for data, found in FINE_TUNED.items():
            for ending, method in (("sgd", Unperturbed()), ("sam", SAM(rho=0.05))):
                name = f"foret-efficientnet-{net}-{data}-{ending}"
                register(
                    name,
                    partial(fine_tuning, name, method, net=net, data=data),
                    says=f"{data}, EfficientNet-{net.upper()} pretrained: {ending}",
                    about=About(SOURCE, images=found.images, gmacs=tuned.gmacs),
                )
