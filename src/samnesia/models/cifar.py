"""The CIFAR nets of the papers: residual nets, wide residual nets and VGG, for images of 32 pixels or so."""

from __future__ import annotations

from torch import Tensor, nn

from samnesia.models.residual import PaddedShortcut, Residual, classifier, conv


def cifar_resnet(in_channels: int, num_classes: int, *, depth: int = 20, width: int = 16) -> nn.Sequential:
    """Residual net of He et al. (2016), section 4.2: three stages of basic blocks, shortcuts of option A (no weights).

    With 3 channels and 10 classes: 0.27 M weights at depth 20, 0.46 M at 32, 0.66 M at 44, 0.85 M at 56.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits.
        depth: layers with weights, 6 n + 2.
        width: channels of the first stage; each further stage has twice as many.
    """
    blocks, before = [], width
    for stage in range(3):
        for block in range((depth - 2) // 6):
            stride, after = (2 if stage and not block else 1), width << stage
            blocks.append(_basic_block(before, after, stride))
            before = after
    stem = nn.Sequential(conv(in_channels, width), nn.BatchNorm2d(width), nn.ReLU())
    return classifier(stem, blocks, nn.Identity(), features=before, num_classes=num_classes)


def _basic_block(before: int, after: int, stride: int) -> Residual:
    branch = nn.Sequential(
        conv(before, after, stride=stride),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        conv(after, after),
        nn.BatchNorm2d(after),
    )
    shortcut: nn.Module = nn.Identity()
    if stride > 1 or after > before:
        shortcut = PaddedShortcut(after - before, nn.AvgPool2d(1, stride))
    return Residual(branch, shortcut, nn.ReLU())


def wide_resnet(
    in_channels: int, num_classes: int, *, depth: int = 28, width: int = 10, dropout: float = 0.0
) -> nn.Sequential:
    """Wide residual net WRN-depth-width (Zagoruyko & Komodakis, 2016): BatchNorm and ReLU before the convolutions.

    With 3 channels and 10 classes: 36.5 M weights for WRN-28-10, 11.0 M for WRN-16-8.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits.
        depth: layers with weights, 6 n + 4.
        width: factor of the channels 16, 32 and 64 of the three stages.
        dropout: probability of a zero between the two convolutions of a block.
    """
    blocks, before = [], 16
    for stage in range(3):
        for block in range((depth - 4) // 6):
            stride, after = (2 if stage and not block else 1), 16 * width << stage
            blocks.append(WideBlock(before, after, stride, dropout))
            before = after
    last = nn.Sequential(nn.BatchNorm2d(before), nn.ReLU())
    return classifier(conv(in_channels, 16), blocks, last, features=before, num_classes=num_classes)


class WideBlock(nn.Module):
    """Two convolutions, each after BatchNorm and ReLU; a shortcut that changes shape starts behind the first ReLU."""

    def __init__(self, before: int, after: int, stride: int, dropout: float) -> None:
        super().__init__()
        changes = stride > 1 or before != after
        self.first = nn.Sequential(nn.BatchNorm2d(before), nn.ReLU())
        self.branch = nn.Sequential(
            conv(before, after, stride=stride),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Dropout(dropout),
            conv(after, after),
        )
        self.shortcut = conv(before, after, 1, stride=stride) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """Shape [n, c, h, w] to [n, after, h / stride, w / stride]."""
        activated = self.first(x)
        out: Tensor = (x if self.shortcut is None else self.shortcut(activated)) + self.branch(activated)
        return out


VGG_STAGES = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
"""Convolutions per stage, by depth (Simonyan & Zisserman, 2015, table 1, without the layers of the classifier)."""


def vgg_bn(in_channels: int, num_classes: int, *, depth: int = 16, width: int = 64) -> nn.Sequential:
    """VGG with BatchNorm for small images: its convolutions, then one linear layer instead of three.

    The form that CIFAR papers use, 14.7 M weights at depth 16; the three layers of the original hold 120 M more and are
    made for 224 pixels. (Which head late-phase SAM's VGG-16-BN had is not known here.)

    Args:
        in_channels: channels of the images, whose side is at least 32 pixels.
        num_classes: number of logits.
        depth: 11, 13, 16 or 19.
        width: channels of the first stage; 2, 4, 8 and 8 times as many in the others.
    """
    blocks, before = [], in_channels
    for factor, count in zip((1, 2, 4, 8, 8), VGG_STAGES[depth], strict=True):
        for _ in range(count):
            blocks += [conv(before, width * factor), nn.BatchNorm2d(width * factor), nn.ReLU()]
            before = width * factor
        blocks.append(nn.MaxPool2d(2))
    return classifier(nn.Identity(), blocks, nn.Identity(), features=before, num_classes=num_classes)
