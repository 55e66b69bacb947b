"""The model of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self

from samnesia.train.parts.checks import check_positive, require
from samnesia.train.parts.lenet import LeNet as LeNet
from samnesia.train.parts.net import MOST_LAYERS, MOST_UNITS, Net, check_rate
from samnesia.train.parts.transformer import Transformer as Transformer

if TYPE_CHECKING:
    from torch import nn


def _check_depth(net: str, depth: int, per: int, rest: int) -> None:
    require(
        rest < depth <= MOST_LAYERS and (depth - rest) % per == 0,
        f"cannot build a {net} of depth {depth}, because its three equal stages and the layers around them make "
        f"{per} n + {rest} layers; use {max(1, round((depth - rest) / per)) * per + rest}, say",
    )


def _check_width(net: str, width: int) -> None:
    require(
        1 <= width <= MOST_UNITS,
        f"cannot build a {net} of width {width}, because every layer has 1 to {MOST_UNITS} units; use such a width",
    )


def _channels(net: str, shape: tuple[int, ...]) -> int:
    require(
        len(shape) == 3,
        f"cannot build {net} for inputs of shape {shape}, because it needs images (channels, height, width); "
        "use an MLP or a model of your own",
    )
    return shape[0]


@dataclass(frozen=True)
class CNN(Net):
    """A small convolutional net with BatchNorm."""

    channels: tuple[int, ...] = (16, 32)
    """Output channels of the 3 x 3 convolutions; each is followed by a 2 x 2 pooling."""
    hidden: int = 128
    """Width of the hidden layer before the logits."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            all(1 <= width <= MOST_UNITS for width in (*self.channels, self.hidden)),
            f"cannot build a net with channels {self.channels} and hidden {self.hidden}, because every layer has 1 to "
            f"{MOST_UNITS} units; use such widths",
        )

    def _new(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        from samnesia.models.small import small_cnn

        channels, height = _channels("a CNN", shape), shape[1]
        require(
            height >> len(self.channels) >= 1,
            f"cannot build a net of {len(self.channels)} convolutions for images of {height} pixels, because each "
            f"halves the image; use at most {int(math.log2(height))} channels",
        )
        return small_cnn(channels, num_outputs, channels=self.channels, hidden=self.hidden, size=height)


@dataclass(frozen=True)
class MLP(Net):
    """Fully connected layers, with BatchNorm or without."""

    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers."""
    norm: bool = True
    """BatchNorm after every hidden layer; without it the scale of the inputs matters."""
    scale: float = 1.0
    """Start with the first layer so many times as large and the next one as much smaller: the same function."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            all(1 <= width <= MOST_UNITS for width in self.hidden),
            f"cannot build a net with hidden {self.hidden}, because every layer has 1 to {MOST_UNITS} units; "
            "use such widths",
        )
        check_positive(self.scale, "build a net with scale", "1")
        require(
            self.scale == 1.0 or (bool(self.hidden) and not self.norm),
            f"cannot build a net with scale {self.scale:g}, because only with a hidden layer and without BatchNorm it "
            "is the same function; leave scale at 1",
        )

    def _new(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        from samnesia.models.small import mlp

        return mlp(math.prod(shape), num_outputs, hidden=self.hidden, norm=self.norm, scale=self.scale)


@dataclass(frozen=True)
class CifarResNet(Net):
    """Residual net for small images (He et al., 2016, section 4.2): three stages, shortcuts without weights."""

    depth: int = 20
    """Layers with weights, 6 n + 2: 20, 32, 44, 56, 110."""
    width: int = 16
    """Channels of the first stage; each further stage has twice as many."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_depth("CifarResNet", self.depth, 6, 2)
        _check_width("CifarResNet", self.width)

    def _new(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        from samnesia.models.cifar import cifar_resnet

        return cifar_resnet(_channels("a CifarResNet", shape), num_outputs, depth=self.depth, width=self.width)


@dataclass(frozen=True)
class WideResNet(Net):
    """Wide residual net WRN-depth-width (Zagoruyko & Komodakis, 2016)."""

    depth: int = 28
    """Layers with weights, 6 n + 4: 16, 22, 28, 40."""
    width: int = 10
    """Factor of the channels 16, 32 and 64 of the three stages."""
    dropout: float = 0.0
    """Probability of a zero between the two convolutions of a block."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_depth("WideResNet", self.depth, 6, 4)
        _check_width("WideResNet", self.width)
        check_rate(self.dropout, "dropout")

    def _new(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        from samnesia.models.cifar import wide_resnet

        return wide_resnet(
            _channels("a WideResNet", shape), num_outputs, depth=self.depth, width=self.width, dropout=self.dropout
        )


@dataclass(frozen=True)
class VGG(Net):
    """VGG with BatchNorm for small images of at least 32 pixels: one linear layer behind the convolutions."""

    depth: Literal[11, 13, 16, 19] = 16
    """The variant, named by the layers with weights of the original, which has three linear ones."""
    width: int = 64
    """Channels of the first stage; the others have 2, 4, 8 and 8 times as many."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.depth in (11, 13, 16, 19),
            f"cannot build a VGG of depth {self.depth}, because there are four variants; use 11, 13, 16 or 19",
        )
        _check_width("VGG", self.width)

    def _new(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        from samnesia.models.cifar import vgg_bn

        channels = _channels("a VGG", shape)
        require(
            min(shape[1:]) >= 32,
            f"cannot build a VGG for images of {min(shape[1:])} pixels, because it halves them five times; use images "
            "of at least 32 pixels, or another net",
        )
        return vgg_bn(channels, num_outputs, depth=self.depth, width=self.width)


@dataclass(frozen=True)
class ShakeShake(Net):
    """Shake-Shake-Image with two residual branches (Gastaldi, 2017); in ascent passes with the true gradient."""

    depth: int = 26
    """Layers with weights along one branch, 6 n + 2."""
    width: int = 96
    """Channels of the first stage; each further stage has twice as many."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_depth("ShakeShake", self.depth, 6, 2)
        _check_width("ShakeShake", self.width)

    def _new(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        from samnesia.models.shaken import shake_shake

        return shake_shake(_channels("a ShakeShake", shape), num_outputs, depth=self.depth, width=self.width)


@dataclass(frozen=True)
class PyramidNet(Net):
    """PyramidNet of bottlenecks (Han et al., 2017) with ShakeDrop; in ascent passes with the true gradient."""

    depth: int = 272
    """Layers with weights, 9 n + 2."""
    alpha: float = 200.0
    """What the width of the blocks grows by from first to last."""
    shakedrop: float = 0.5
    """Probability with which the last block is shaken, falling linearly to the first; 0 is none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_depth("PyramidNet", self.depth, 9, 2)
        require(
            0.0 <= self.alpha <= MOST_UNITS,
            f"cannot build a PyramidNet with alpha {self.alpha}, because it is a number of channels; use 200, say",
        )
        require(
            0.0 <= self.shakedrop <= 1.0,
            f"cannot build a PyramidNet with shakedrop {self.shakedrop}, because it is a probability; use 0 to 1",
        )

    def _new(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        from samnesia.models.shaken import pyramid_net

        return pyramid_net(
            _channels("a PyramidNet", shape),
            num_outputs,
            depth=self.depth,
            alpha=self.alpha,
            shakedrop=self.shakedrop,
        )


@dataclass(frozen=True)
class Timm(Net):
    """A model of timm by name. An option that is None is as timm has it; one that the model lacks is refused."""

    name: str = "resnet50"
    """The name, as in timm.list_models(); with a tag (resnet50.a1_in1k) it names pretrained weights too."""
    pretrained: bool = False
    """Start from timm's weights; with another number of classes the head is new."""
    class_token: bool | None = None
    """Whether a vision transformer has a class token; without one it needs pooling "avg"."""
    pooling: Literal["avg", "max", "avgmax", "catavgmax", "token", "map"] | None = None
    """What makes one vector of an image's features."""
    head_bias: float | None = None
    """Initial bias of every class in a new head (-10 for vision transformers with binary cross-entropy)."""
    head_zero: bool = False
    """Start a new head with weights of zero."""
    image_size: int | None = None
    """Side of the images that the model must be for; None takes it from the data."""
    drop_rate: float | None = None
    """Dropout before the head."""
    drop_path_rate: float | None = None
    """Stochastic depth: probability of leaving out the last block."""
    bn_momentum: float | None = None
    """Share of each batch in the running statistics of all BatchNorm layers."""
    bn_eps: float | None = None
    """Added to the variance in all BatchNorm layers."""
    small_stem: bool = False
    """Start a ResNet with a 3 x 3 convolution of stride 1 and no pooling, for images of 32 pixels or so."""
    width: int | None = None
    """Length of a token in a vision transformer; None, here and below, is as the name says."""
    depth: int | None = None
    """Number of blocks of a vision transformer."""
    heads: int | None = None
    """Attention heads of a vision transformer; they divide its width."""
    patch: int | None = None
    """Side of the patches of a vision transformer, in pixels."""
    mlp_ratio: float | None = None
    """Hidden units of the blocks of a vision transformer, as a multiple of its width."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.class_token is not False or self.pooling not in (None, "token"),
            f"cannot build {self.name} without class token and with pooling {self.pooling}, because pooling would take "
            'the token; use pooling "avg"',
        )
        for what in ("weights", "small_stem"):
            require(
                not (self.pretrained and getattr(self, what)),
                f"cannot build {self.name} with both pretrained and {what}, because each sets layers that the other "
                "sets too; leave one out",
            )
        require(
            self.head_bias is None or math.isfinite(self.head_bias),
            f"cannot start the head with bias {self.head_bias}, because it must be a finite number; use -10, say",
        )
        require(
            self.image_size is None or self.image_size >= 1,
            f"cannot build {self.name} for images of {self.image_size} pixels, because they have a side of 1 or more; "
            "use 224, or None for that of the data",
        )
        require(
            self.bn_momentum is None or 0.0 <= self.bn_momentum <= 1.0,
            f"cannot use BatchNorm with momentum {self.bn_momentum}, because it is a share; use 0.1, say",
        )
        if self.bn_eps is not None:
            check_positive(self.bn_eps, "use BatchNorm with eps", "1e-5")
        check_rate(self.drop_rate, "drop_rate")
        check_rate(self.drop_path_rate, "drop_path_rate")
        self._check_size()

    def _check_size(self) -> None:
        for what in ("width", "depth", "heads", "patch"):
            value = getattr(self, what)
            require(
                value is None or 1 <= value <= MOST_UNITS,
                f"cannot build {self.name} with {what} {value}, because that is a number from 1 to {MOST_UNITS}; "
                "use such a number, or None for what the name says",
            )
        if self.mlp_ratio is not None:
            check_positive(self.mlp_ratio, f"build {self.name} with mlp_ratio", "4")
        require(
            self.width is None or self.heads is None or self.width % self.heads == 0,
            f"cannot build {self.name} with {self.heads} heads and width {self.width}, because heads share the width "
            "equally; use a multiple",
        )

    def at_random(self) -> Self:
        """Return the model without weights to start from, timm's included."""
        return replace(self, weights=None, new_head=False, pretrained=False)

    def _new(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        from samnesia.models import zoo

        _channels(self.name, shape)
        sides = " x ".join(map(str, shape[1:]))
        require(
            self.image_size is None or shape[1:] == (self.image_size, self.image_size),
            f"cannot build {self.name} with image_size {self.image_size} for images of {sides} pixels, because "
            "they would not fit; let the data make images of that size, or leave image_size out",
        )
        net = zoo.timm_model(
            self.name,
            shape=shape,
            num_classes=num_outputs,
            pretrained=self.pretrained,
            class_token=self.class_token,
            pooling=self.pooling,
            drop_rate=self.drop_rate,
            drop_path_rate=self.drop_path_rate,
            width=self.width,
            depth=self.depth,
            heads=self.heads,
            patch=self.patch,
            mlp_ratio=self.mlp_ratio,
        )
        if self.small_stem:
            zoo.use_small_stem(net, self.name)
        zoo.set_batchnorm(net, self.name, momentum=self.bn_momentum, eps=self.bn_eps)
        if not (self.pretrained and zoo.pretrained_classes(net) == num_outputs):
            zoo.set_head(net, self.name, bias=self.head_bias, zero=self.head_zero)
        return net


Model = CNN | MLP | LeNet | CifarResNet | WideResNet | VGG | ShakeShake | PyramidNet | Timm | Transformer
