"""Small reference nets for small images: they train in seconds on one CPU core."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import nn


def small_cnn(
    in_channels: int, num_classes: int, *, channels: tuple[int, ...] = (16, 32), hidden: int = 128, size: int = 8
) -> nn.Sequential:
    """Convolutions with BatchNorm, each followed by 2 x 2 max-pooling, then one hidden layer.

    Per entry of ``channels``: 3 x 3 convolution (no bias, padding 1), BatchNorm, ReLU, pooling; then linear, ReLU,
    linear. With the defaults on digits: 22,650 weights.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits.
        channels: output channels of the convolutions; each halves the side of the image.
        hidden: width of the hidden layer.
        size: side of the square images in pixels; the side left after all poolings must be at least 1.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise((in_channels, *channels)):
        layers += [
            nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
    side = size >> len(channels)
    features = (channels[-1] if channels else in_channels) * side * side
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, num_classes))


def mlp(
    num_features: int, num_classes: int, *, hidden: tuple[int, ...] = (128, 128), norm: bool = True, scale: float = 1.0
) -> nn.Sequential:
    """Flatten, then per entry of ``hidden`` linear, BatchNorm, ReLU; then the linear layer of the logits.

    Without ``norm`` the linear layers have a bias in place of BatchNorm, and the scale of the inputs matters.

    With a ``scale`` c the weights and biases of the first linear layer start c times as large and the weights of the
    second one c times as small. Without ``norm`` that is the same function, because ``relu(c z) = c relu(z)``.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise((num_features, *hidden)):
        layers += [nn.Linear(before, after, bias=not norm), *([nn.BatchNorm1d(after)] if norm else []), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(hidden[-1] if hidden else num_features, num_classes))
    if scale != 1.0:
        first, second = [layer for layer in net if isinstance(layer, nn.Linear)][:2]
        with torch.no_grad():
            for tensor in first.parameters():
                tensor.mul_(scale)
            second.weight.div_(scale)
    return net


NORMS: dict[str, Callable[[int], list[nn.Module]]] = {
    "none": lambda width: [],
    "batch": lambda width: [nn.BatchNorm2d(width)],
    "group": lambda width: [nn.GroupNorm(width // 2, width)],
}
"""What normalizes so many channels."""


def lenet(
    in_channels: int,
    num_classes: int,
    *,
    channels: tuple[int, ...] = (64, 64),
    hidden: tuple[int, ...] = (384, 192),
    kernel: int = 5,
    padding: int = 0,
    size: int = 32,
    norm: str = "none",
) -> nn.Sequential:
    """Convolutions, each followed by 2 x 2 max-pooling, then hidden layers; without BatchNorm unless asked for.

    Per entry of ``channels``: convolution, norm if there is one, ReLU, pooling; per entry of ``hidden``: linear, ReLU.
    With the defaults it is the net of federated CIFAR-10 of Hsu et al. (2020) and Caldarola et al. (ECCV 2022).

    Args:
        in_channels: channels of the images.
        num_classes: number of logits.
        channels: output channels of the convolutions.
        hidden: widths of the hidden layers.
        kernel: side of the convolutions.
        padding: pixels of zeros around their inputs.
        size: side of the square images in pixels; the side left after all poolings must be at least 1.
        norm: what follows a convolution: none, batch, or group (GroupNorm, two channels to a group).
    """
    layers: list[nn.Module] = []
    for before, after in pairwise((in_channels, *channels)):
        layers += [nn.Conv2d(before, after, kernel, padding=padding), *NORMS[norm](after), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
        size = (size + 2 * padding - kernel + 1) // 2
    layers.append(nn.Flatten())
    features = (channels[-1] if channels else in_channels) * size * size
    for before, after in pairwise((features, *hidden)):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden[-1] if hidden else features, num_classes))
