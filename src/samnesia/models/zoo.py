"""timm's models by name, with the options of the studies."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from samnesia.extras import require
from samnesia.models.weights import first_sentence, head_names
from samnesia.perturb.errors import ConfigurationError, UnsupportedError

_TIMM_NAMES = {
    "channels": "in_chans",
    "classes": "num_classes",
    "image_size": "img_size",
    "pooling": "global_pool",
    "width": "embed_dim",
    "heads": "num_heads",
    "patch": "patch_size",
}


def timm_model(
    name: str, *, shape: tuple[int, ...], num_classes: int, pretrained: bool = False, **options: Any
) -> nn.Module:
    """Return timm's model ``name`` for images of ``shape``.

    Models that are built for one image size (they take ``img_size``) are built for that of ``shape``.

    Args:
        name: as in ``timm.list_models()``, with the tag of its pretrained weights if it is to start from those.
        shape: channels, height, width.
        num_classes: number of logits.
        pretrained: load timm's weights; the head is new if they have another number of classes.
        options: further arguments of the model, and ``pooling``, ``width``, ``heads`` and ``patch`` for timm's
            ``global_pool``, ``embed_dim``, ``num_heads`` and ``patch_size``; those that are None stay at the model's
            own values.

    Raises:
        ConfigurationError: for an unknown name (with the nearest ones), an option or image size that the model does not
            take, and pretrained weights that do not exist or cannot be fetched.
    """
    timm = require("timm", extra="vision")
    _check_name(timm, name)
    options = {key: value for key, value in options.items() if value is not None}
    options |= {"channels": shape[0], "classes": num_classes}
    state = torch.get_rng_state()
    try:
        net = _create(timm, name, {**options, "image_size": shape[1:]})
        options["image_size"] = shape[1:]
    except _NoSuchOptionError:
        torch.set_rng_state(state)  # so that the initial weights do not depend on how far the attempt came
        try:
            net = _create(timm, name, options)
        except _NoSuchOptionError as error:
            raise ConfigurationError(
                f"cannot build {name} with {error.option}, because this timm model takes no such option; leave it out"
            ) from None
    _check_patches(net, name, shape[1:])
    return _pretrained(timm, name, options) if pretrained else net


class _NoSuchOptionError(Exception):
    def __init__(self, option: str) -> None:
        super().__init__(option)
        self.option = option


def _check_name(timm: Any, name: str) -> None:
    architecture, _, tag = name.partition(".")
    known = timm.list_models()
    if architecture not in known:
        near = get_close_matches(architecture, known, n=3, cutoff=0.5)
        advice = f"did you mean {' or '.join(near)}" if near else "timm.list_models() lists them"
        raise ConfigurationError(f"cannot build the model {name!r}, because timm knows no such name; {advice}")
    tags = [full.partition(".")[2] for full in timm.list_models(f"{architecture}.*", pretrained=True)]
    if tag and tag not in tags:
        advice = f"use {' or '.join(tags)}" if tags else "leave it out"
        raise ConfigurationError(
            f"cannot build the model {name!r}, because timm knows no weights {tag!r} of {architecture}; {advice}"
        )


def _as_timm_says(options: dict[str, Any]) -> dict[str, Any]:
    return {_TIMM_NAMES.get(key, key): value for key, value in options.items()}


def _create(timm: Any, name: str, options: dict[str, Any]) -> nn.Module:
    try:
        net: nn.Module = timm.create_model(name, **_as_timm_says(options))
    except TypeError as error:
        option = next((key for key in options if f"'{_TIMM_NAMES.get(key, key)}'" in str(error)), None)
        if option is None:
            raise
        raise _NoSuchOptionError(option) from None
    except (AssertionError, ValueError, RuntimeError, KeyError, ZeroDivisionError) as error:
        given = ", ".join(f"{key}={value}" for key, value in options.items())
        raise ConfigurationError(
            f"cannot build {name} with {given}, because timm refuses that ({first_sentence(error)}); change it"
        ) from error
    return net


def _check_patches(net: nn.Module, name: str, image: tuple[int, ...]) -> None:
    """A grid of patches that leaves pixels over, or is empty, fails in the middle of training or not at all."""
    embed = getattr(net, "patch_embed", None)
    if not isinstance(embed, require("timm.layers", extra="vision").PatchEmbed) or embed.dynamic_img_pad:
        return
    patch = embed.patch_size
    if any(pixels % side for pixels, side in zip(image, patch, strict=True)):
        raise ConfigurationError(
            f"cannot build {name} for images of {image[0]} x {image[1]} pixels, because its patches are {patch[0]} x "
            f"{patch[1]} and must cover them exactly; use images of {patch[0] * max(1, image[0] // patch[0])} pixels, "
            "say"
        )


def _pretrained(timm: Any, name: str, options: dict[str, Any]) -> nn.Module:
    try:
        net: nn.Module = timm.create_model(name, pretrained=True, **_as_timm_says(options))
    except Exception as error:  # the network and the hub's client fail in their own many ways
        raise ConfigurationError(
            f"cannot load the pretrained weights of {name}, because they do not exist or could not be fetched "
            f"({first_sentence(error)}); check name and network, or give weights=PATH of a file on this machine"
        ) from error
    return net


def set_batchnorm(net: nn.Module, name: str, *, momentum: float | None, eps: float | None) -> None:
    """Give all BatchNorm layers this momentum and eps; None leaves each layer's own.

    Raises:
        ConfigurationError: if a value is given and there is no BatchNorm.
    """
    if momentum is None and eps is None:
        return
    layers = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not layers:
        raise ConfigurationError(
            f"cannot set momentum or eps of BatchNorm in {name}, because it has none; leave bn_momentum and bn_eps out"
        )
    for layer in layers:
        layer.momentum = layer.momentum if momentum is None else momentum
        layer.eps = layer.eps if eps is None else eps


def set_head(net: nn.Module, name: str, *, bias: float | None, zero: bool) -> None:
    """Start the head with this bias in every class (None: as it is), and with weights of zero.

    Raises:
        ConfigurationError: if something is asked for and the head has no weight or bias.
    """
    if bias is None and not zero:
        return
    heads = [net.get_submodule(head) for head in head_names(net)]
    if not heads or any(getattr(head, part, None) is None for head in heads for part in ("weight", "bias")):
        raise ConfigurationError(
            f"cannot set the head of {name}, because it is no linear layer with a bias; leave head_bias and head_zero "
            "out"
        )
    for head in heads:
        if bias is not None:
            nn.init.constant_(head.get_parameter("bias"), bias)
        if zero:
            nn.init.zeros_(head.get_parameter("weight"))


def use_small_stem(net: nn.Module, name: str) -> None:
    """Start a ResNet with a 3 x 3 convolution of stride 1 and no pooling, as papers do on CIFAR.

    Raises:
        ConfigurationError: if the model does not start with a convolution and a pooling as timm's ResNets do.
    """
    stem, pool = getattr(net, "conv1", None), getattr(net, "maxpool", None)
    if not isinstance(stem, nn.Conv2d) or not isinstance(pool, nn.MaxPool2d):
        raise ConfigurationError(
            f"cannot give {name} a small stem, because it does not start with one convolution and a pooling as ResNets "
            "do; leave small_stem out"
        )
    small = nn.Conv2d(stem.in_channels, stem.out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(small.weight, mode="fan_out", nonlinearity="relu")
    net.add_module("conv1", small)
    net.add_module("maxpool", nn.Identity())


def pretrained_look(name: str) -> dict[str, Any]:
    """How images look to a pretrained model: ``image_size``, ``mean``, ``std``, ``crop_pct``, ``interpolation``.

    Raises:
        ConfigurationError: for an unknown name (with the nearest ones).
        UnsupportedError: for a model that does not see the centre of the image.
    """
    timm = require("timm", extra="vision")
    _check_name(timm, name)
    config = timm.models.get_pretrained_cfg(name)
    found = require("timm.data", extra="vision").resolve_data_config({}, pretrained_cfg=config.to_dict())
    if found["crop_mode"] != "center":
        raise UnsupportedError(
            f"cannot show images to {name} as it was pretrained, because it saw them with crop_mode "
            f"{found['crop_mode']!r}, and only the centre of an image can be cropped here; use another model"
        )
    return {
        "image_size": found["input_size"][1],
        "mean": tuple(found["mean"]),
        "std": tuple(found["std"]),
        "crop_pct": found["crop_pct"],
        "interpolation": found["interpolation"],
    }


def pretrained_classes(net: nn.Module) -> int | None:
    """Return the number of classes of timm's weights for this model, None without such weights."""
    known: dict[str, Any] = getattr(net, "pretrained_cfg", None) or {}
    return known.get("num_classes")
