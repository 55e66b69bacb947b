"""A small problem in float64 without BatchNorm: 37 samples of 7 classes, where no number divides another."""

import torch
from torch import nn

from samnesia.data.problem import Problem, TensorSplit

CLASSES, FEATURES = 7, 5


def split(count, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    centers = torch.randn(CLASSES, FEATURES, generator=torch.Generator().manual_seed(99))
    return TensorSplit(centers[labels] + 0.5 * torch.randn(count, FEATURES, generator=generator), labels)


def data(seed):
    return Problem(split(37, 1), split(13, 2), split(1, 3), CLASSES, (FEATURES,))


def net(shape, num_outputs):
    """Weights whose sizes two ranks do not divide; a layer in a list, and one outside of it."""
    return nn.Sequential(
        nn.Linear(shape[0], 9), nn.Tanh(), nn.Sequential(nn.Linear(9, 3), nn.Tanh()), nn.Linear(3, num_outputs)
    )


class Rooted(nn.Module):
    """Layers that belong to the root: an evaluation leaves them gathered under FSDP2."""

    def __init__(self, inputs, outputs, *, norm):
        super().__init__()
        self.first = nn.Linear(inputs, 9)
        self.norm = nn.BatchNorm1d(9) if norm else nn.Identity()
        self.blocks = nn.ModuleList([nn.Linear(9, 9), nn.Linear(9, 9)])
        self.head = nn.Linear(9, outputs)

    def forward(self, x):
        x = self.norm(self.first(x))
        for block in self.blocks:
            x = torch.tanh(block(x))
        return self.head(x)


def rooted(shape, num_outputs):
    return Rooted(shape[0], num_outputs, norm=False)


def normed(shape, num_outputs):
    return Rooted(shape[0], num_outputs, norm=True)
