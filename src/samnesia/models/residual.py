"""What the residual nets for small images share: layers, shortcuts and the frame around the blocks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn import functional as F


def conv(before: int, after: int, size: int = 3, *, stride: int = 1) -> nn.Conv2d:
    """Return a convolution without bias (BatchNorm has one) that divides the side of the image by ``stride``."""
    return nn.Conv2d(before, after, size, stride=stride, padding=size // 2, bias=False)


class PaddedShortcut(nn.Module):
    """A shortcut without weights: a pooling, then channels of zeros (option A of He et al., 2016).

    Args:
        extra: channels of zeros to append.
        pool: what makes the image smaller; ``nn.AvgPool2d(1, stride)`` takes every other pixel.
    """

    def __init__(self, extra: int, pool: nn.Module) -> None:
        super().__init__()
        self.extra = extra
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """Shape [n, c, h, w] to [n, c + extra, pooled h, pooled w]."""
        return F.pad(self.pool(x), (0, 0, 0, 0, 0, self.extra))


class Residual(nn.Module):
    """``shortcut(x) + branch(x)``, then ``last`` (an activation, or nothing)."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        """Shape [n, c, h, w] to that of the branch."""
        out: Tensor = self.last(self.shortcut(x) + self.branch(x))
        return out


def classifier(
    stem: nn.Module, blocks: Iterable[nn.Module], last: nn.Module, *, features: int, num_classes: int
) -> nn.Sequential:
    """Return stem, blocks, last activation, global average pooling and a linear head, with the papers' initial weights.

    Convolutions are normal with variance 2 / (kernel's pixels x output channels) (He et al., 2015); the head keeps
    PyTorch's uniform weights and starts with bias 0.
    """
    head = nn.Linear(features, num_classes)
    nn.init.zeros_(head.bias)
    net = nn.Sequential(
        OrderedDict(
            stem=stem,
            blocks=nn.Sequential(*blocks),
            last=last,
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            head=head,
        )
    )
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return net
