"""Models of which the landscape is known."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from samnesia.measure.subject import Subject
from tests.measure.test_subject import data, net


def convolutional(**options: object) -> Subject:
    """Convolution, BatchNorm, dropout, a frozen layer; 22 samples in batches of 5."""
    return Subject(net(), nn.CrossEntropyLoss(), DataLoader(data(), batch_size=5), **options)  # type: ignore[arg-type]


class Quadratic(nn.Module):
    """Gives its weights, whatever the input."""

    def __init__(self, start: Sequence[float]) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(start, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        """[samples, weights]."""
        return self.w.expand(len(inputs), -1)


def quadratic(curvatures: Sequence[float], start: Sequence[float], *, batches: int = 1) -> Subject:
    """``L(w) = sum_i h_i w_i^2 / 2``, a double."""
    h = torch.tensor(curvatures, dtype=torch.float64)

    def criterion(output: Tensor, target: Tensor) -> Tensor:
        return 0.5 * (h * output.square()).sum(1).mean()

    zeros = torch.zeros(3, 1, dtype=torch.float64)
    return Subject(Quadratic(start), criterion, [(zeros, zeros)] * batches)


def perceptron(hidden: int = 6, *, seed: int = 0, steps: int = 0) -> nn.Sequential:
    """Two layers in doubles, trained for some steps on :func:`classes`."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, 3)).double()
    inputs, targets = classes()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    return model.requires_grad_(True)


def classes(samples: int = 60) -> tuple[Tensor, Tensor]:
    """Inputs whose class is the largest of a nonlinear map."""
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(samples, 4, generator=generator, dtype=torch.float64)
    mixing = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    return inputs, (inputs.abs() @ mixing).argmax(1)


def seen(model: nn.Module, **options: object) -> Subject:
    """A perceptron on its samples, in unequal batches."""
    inputs, targets = classes()
    batches = list(zip(inputs.split(25), targets.split(25), strict=True))
    return Subject(model, nn.CrossEntropyLoss(), batches, **options)  # type: ignore[arg-type]
