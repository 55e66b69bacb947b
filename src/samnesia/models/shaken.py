"""The two nets with random backward passes in Foret et al.'s table (ICLR 2021): Shake-Shake, PyramidNet + ShakeDrop."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from samnesia.models.ascent import Shake, ShakeDrop
from samnesia.models.residual import PaddedShortcut, Residual, classifier, conv


def shake_shake(in_channels: int, num_classes: int, *, depth: int = 26, width: int = 96) -> nn.Sequential:
    """Shake-Shake ``depth`` 2 x ``width``d, the variant "Shake-Shake-Image" (Gastaldi, 2017).

    Two residual branches per block, mixed at random per image, anew in the backward pass (:class:`Shake`). With 3
    channels and 10 classes: 26.2 M weights for 26 2x96d, 2.9 M for 26 2x32d.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits.
        depth: layers with weights along one branch, 6 n + 2.
        width: channels of the first stage; each further stage has twice as many.
    """
    blocks, before = [], 16
    for stage in range(3):
        for block in range((depth - 2) // 6):
            stride, after = (2 if stage and not block else 1), width << stage
            blocks.append(ShakeBlock(before, after, stride))
            before = after
    stem = nn.Sequential(conv(in_channels, 16), nn.BatchNorm2d(16))
    return classifier(stem, blocks, nn.ReLU(), features=before, num_classes=num_classes)


class ShakeBlock(nn.Module):
    """``shortcut(x) + mix(left(x), right(x))``; each branch is twice ReLU, convolution, BatchNorm."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.left, self.right = (_shake_branch(before, after, stride) for _ in range(2))
        self.mix = Shake()
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            self.shortcut = ShiftedShortcut(before, after)
        elif before != after:
            self.shortcut = nn.Sequential(nn.ReLU(), conv(before, after, 1), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        """Shape [n, c, h, w] to [n, after, h / stride, w / stride]."""
        out: Tensor = self.shortcut(x) + self.mix(self.left(x), self.right(x))
        return out


def _shake_branch(before: int, after: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        conv(before, after, stride=stride),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        conv(after, after),
        nn.BatchNorm2d(after),
    )


class ShiftedShortcut(nn.Module):
    """Half the side and other channels: two 1 x 1 convolutions of every other pixel, one of them shifted by a pixel."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.straight = conv(before, after // 2, 1)
        self.shifted = conv(before, after - after // 2, 1)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        """Shape [n, before, h, w] to [n, after, ⌈h / 2⌉, ⌈w / 2⌉]."""
        x = F.relu(x)
        moved = F.pad(x, (-1, 1, -1, 1))
        out: Tensor = self.norm(torch.cat([self.straight(x[..., ::2, ::2]), self.shifted(moved[..., ::2, ::2])], dim=1))
        return out


def pyramid_net(
    in_channels: int, num_classes: int, *, depth: int = 272, alpha: float = 200.0, shakedrop: float = 0.5
) -> nn.Sequential:
    """PyramidNet of bottleneck blocks (Han et al., 2017) with ShakeDrop (Yamada et al., 2019).

    The width of block k of N is ``⌊16 + k alpha / N⌋`` (its output has four times as many channels); shortcuts have no
    weights. Block k keeps its branch with probability ``1 - (k / N) shakedrop`` (linear decay). With 3 channels and 10
    classes: 26.0 M weights at depth 272 and alpha 200.

    Args:
        in_channels: channels of the images.
        num_classes: number of logits.
        depth: layers with weights, 9 n + 2.
        alpha: what the width grows by from first to last block.
        shakedrop: probability with which the last block is shaken, 0 to 1; 0 is a plain PyramidNet.
    """
    per_stage = (depth - 2) // 9
    total, blocks, before = 3 * per_stage, [], 16
    for index in range(total):
        width = int(16 + (index + 1) * alpha / total + 1e-9)  # a sum of shares may fall just short of a whole number
        stride = 2 if index in (per_stage, 2 * per_stage) else 1
        branch = _pyramid_branch(before, width, stride)
        if shakedrop:
            branch.append(ShakeDrop(1 - (index + 1) / total * shakedrop))
        pool = nn.AvgPool2d(2, ceil_mode=True) if stride > 1 else nn.Identity()
        blocks.append(Residual(branch, PaddedShortcut(4 * width - before, pool), nn.Identity()))
        before = 4 * width
    stem = nn.Sequential(conv(in_channels, 16), nn.BatchNorm2d(16))
    last = nn.Sequential(nn.BatchNorm2d(before), nn.ReLU())
    return classifier(stem, blocks, last, features=before, num_classes=num_classes)


def _pyramid_branch(before: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(before),
        conv(before, width, 1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        conv(width, width, stride=stride),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        conv(width, 4 * width, 1),
        nn.BatchNorm2d(4 * width),
    )
