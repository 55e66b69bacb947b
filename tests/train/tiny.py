"""A recipe made small enough for a CPU, with as much of it left as it is as can be.

What stays: augmentation, mixing, label noise, loss, optimizer and learning rate, course, method with its radii, when it
perturbs, clipping, shrink-and-perturb, kind and options of the model. What shrinks: the images, the net's depth and
width, the batch and its chunks (in the same order of size), the epochs. Weights to start from are those of a fresh net
of the same kind in a file.
"""

import dataclasses
from dataclasses import replace

import torch
from safetensors.torch import save_file

from samnesia.train.config import IntervalSAM, LateSAM, LookSAM
from samnesia.train.parts.data import Digits, Folder, Photographs, Table, Text, Torchvision
from samnesia.train.parts.models import (
    CNN,
    MLP,
    VGG,
    CifarResNet,
    PyramidNet,
    ShakeShake,
    Timm,
    Transformer,
    WideResNet,
)

STEPS, BATCH, CLASSES, SIDE = 2, 10, 4, 32
TRAINING_IMAGES = STEPS * BATCH
BUNDLED = (Digits, Photographs, Table, Text)  # come with a package, and are small as they are

SMALLER_NETS = {
    "vit_small_patch16_224": "vit_tiny_patch16_224",
    "vit_small_patch32_224": "vit_tiny_patch16_224",
    "resnet18": "resnet18",
    "resnet34": "resnet18",
    "resnet50": "resnet26",
    "resnet101": "resnet26",
    "resnet152": "resnet26",
    "wide_resnet50_2": "resnet26",
    "tf_efficientnet_b7.ra_in1k": "tf_efficientnet_b0.in1k",
    "tf_efficientnet_l2.ns_jft_in1k_475": "tf_efficientnet_b0.ns_jft_in1k",
}
SMALLER = {
    CNN: {},
    MLP: {},
    CifarResNet: {"depth": 8},
    WideResNet: {"depth": 10, "width": 1},
    VGG: {"depth": 11, "width": 4},
    ShakeShake: {"depth": 8, "width": 4},
    PyramidNet: {"depth": 20, "alpha": 12.0},
    Transformer: {"depth": 1},
}


def smaller_model(model):
    """The model with less of the same; nothing that would be fetched or read."""
    if isinstance(model, Timm):
        return replace(model, name=SMALLER_NETS[model.name], weights=None, new_head=False, pretrained=False)
    return replace(model, **SMALLER[type(model)], weights=None, new_head=False)


def pretrained(small, model, data, files):
    """The small model with weights as after pretraining, with another number of classes, where it starts from some."""
    if model.weights is None:
        return small
    shape = data.load(0).shape if isinstance(data, BUNDLED) else (3, SIDE, SIDE)
    path = files / f"{getattr(small, 'name', type(small).__name__)}.safetensors"
    if not path.exists():
        torch.manual_seed(7)
        save_file(small.build(shape, 1000).state_dict(), path)
    return replace(small, weights=str(path), new_head=model.new_head)


def smaller_data(data, files):
    """The data from small files in the same format: CIFAR's batches, and folders of JPEGs for all else."""
    if isinstance(data, BUNDLED):
        return data
    cifar = isinstance(data.source, Torchvision) and data.source.name.startswith("CIFAR")
    changes = {"image_size": SIDE, "relabel": data.relabel and str(files / "labels.npy")}
    if cifar:
        return replace(data, source=replace(data.source, root=str(files)), **changes)
    return replace(data, source=Folder(root=str(files / "folders")), num_classes=CLASSES, **changes)


def smaller_chunks(config):
    """Samples per perturbation: one where it was one, the batch where it was the batch, half a batch between."""
    if config.micro_batch in (None, 1):
        return config.micro_batch
    return BATCH if config.micro_batch == config.batch_size else BATCH // 2


def smaller_method(method):
    """The method, so that it perturbs on one of two steps."""
    if isinstance(method, LateSAM):
        return replace(method, start=0.5)
    return replace(method, k=1) if isinstance(method, IntervalSAM | LookSAM) else method


def smaller_adversary(adversary):
    """The adversary, so that a late one attacks one of two steps."""
    return adversary and replace(adversary, start_epoch=0.5 if adversary.start_epoch else 0.0)


def tiny(config, files):
    """The recipe's configuration for two steps on the small files, and weights in them where it starts from some."""
    when = replace(config.when, start_epoch=0.5 if config.when.start_epoch else 0.0)
    return replace(
        config,
        data=smaller_data(config.data, files),
        model=pretrained(smaller_model(config.model), config.model, config.data, files),
        method=smaller_method(config.method),
        when=when,
        adversary=smaller_adversary(config.adversary),
        average=config.average and replace(config.average, start_epoch=0.0),
        epochs=1,
        batch_size=len(config.data.load(0).train) // STEPS if isinstance(config.data, BUNDLED) else BATCH,
        micro_batch=smaller_chunks(config),
        device_batch=config.device_batch and BATCH // 2,
        schedule=replace(config.schedule, warmup_epochs=config.schedule.warmup_epochs / config.epochs),
    )


def traits(config):
    """What a run is made of, without its numbers and names: the code that it passes through, piece by piece."""
    family = "ours" if isinstance(config.data, BUNDLED) else config.recipe.partition("-")[0]
    method = type(config.method).__name__
    average = type(config.average).__name__
    return {
        ("average", average),
        ("adversary", config.adversary is None, bool(config.adversary and config.adversary.start_epoch)),
        (family, method, tuple(kinds(config.method)), tuple(kinds(config.when))),
        (method, type(config.model).__name__, *kinds(config.model)),
        ("data", *kinds(config.data)),
        ("loss", type(config.loss).__name__, *kinds(config.loss), type(config.optimizer).__name__, family),
        ("optimizer", type(config.optimizer).__name__, *kinds(config.optimizer), config.shrink_perturb > 0),
        ("course", type(config.schedule).__name__, smaller_chunks(config), config.drop_last, config.clip_norm is None),
    }


def kinds(part):
    """The fields of a part that name kinds, switch something, or are off."""
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if dataclasses.is_dataclass(value):
            yield field.name, type(value).__name__
            yield from kinds(value)
        elif isinstance(value, str) and field.name not in ("backup", "scaled", "decayed", "link", "fill"):
            yield field.name, "a text"  # a name or a path
        elif isinstance(value, bool | str | None):
            yield field.name, value
        elif isinstance(value, int | float):
            yield field.name, bool(value)  # whether it is off


def cover(configs):
    """Return few configurations that have all traits of all, the one with most new ones first."""
    left, chosen = {config.recipe: traits(config) for config in configs}, []
    while any(left.values()):
        name = max(left, key=lambda recipe: len(left[recipe]))
        new = left[name]
        left = {recipe: rest - new for recipe, rest in left.items()}
        chosen.append(name)
    return chosen
