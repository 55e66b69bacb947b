"""Models of two weights, whose ball can be searched exhaustively, and small networks."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

import samnesia
from samnesia.measure import Subject

BALLS = {
    f"{norm} {scaling}": samnesia.Ball(n, s)
    for norm, n in {"L2": samnesia.L2(), "Linf": samnesia.Linf()}.items()
    for scaling, s in {
        "unscaled": samnesia.Unscaled(),
        "element": samnesia.ElementScaling(eta=0.01),
        "filter": samnesia.FilterScaling(eta=0.0),
        "layer": samnesia.LayerScaling(eta=0.1),
    }.items()
}


class Logistic(nn.Module):
    """A linear classifier of two features: convex."""

    def __init__(self, weight: tuple[float, float] = (0.9, -0.3)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


class Wave(nn.Module):
    """``w₁ tanh(w₀ x)`` with weights in the shape of one filter: not convex."""

    def __init__(self, weight: tuple[float, float] = (1.5, 0.7)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float64).view(1, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.weight.view(2)
        return second * torch.tanh(first * x[:, 0])


def logistic_loss(output: Tensor, target: Tensor) -> Tensor:
    return nn.functional.softplus(-output * target).mean()


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[Tensor, Tensor], Tensor]]] = {
    "convex": (Logistic, logistic_loss),
    "wave": (Wave, nn.functional.mse_loss),
}


def points(samples: int = 23) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(samples, 2, generator=generator, dtype=torch.float64)
    noise = torch.randn(samples, generator=generator, dtype=torch.float64)
    return x, torch.where(x[:, 0] - 0.5 * x[:, 1] + 0.5 * noise > 0, 1.0, -1.0).double()


def cut(x: Tensor, y: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    return list(zip(x.split(size), y.split(size), strict=True))


def two_weights(name: str = "convex", size: int = 5) -> Subject:
    model, criterion = CASES[name]
    return Subject(model(), criterion, cut(*points(), size))


def brute_force(subject: Subject, ball: samnesia.Ball, rho: float) -> float:
    """The highest rise on a grid that covers the ball, its surface finely."""
    weight = subject.parameters[0].detach().clone()
    [factor] = ball.scaling.factors(subject.weights)
    scale = torch.ones(2, dtype=torch.float64) if factor is None else factor.expand_as(weight).reshape(2).clone()
    if isinstance(ball.norm, samnesia.L2):
        angles = torch.linspace(0, 2 * math.pi, 4001, dtype=torch.float64)
        surface = torch.stack([angles.cos(), angles.sin()], 1)
    else:
        side = torch.linspace(-1, 1, 1001, dtype=torch.float64)
        surface = torch.cat([torch.stack(pair, 1) for one in (side, torch.ones_like(side), -torch.ones_like(side))
                             for pair in ((one, side), (side, one))])  # fmt: skip
    grid = torch.cat([share * surface for share in torch.linspace(0.2, 1.0, 5)]) * scale * rho
    x, y = points()
    criterion = logistic_loss if isinstance(subject.model, Logistic) else nn.functional.mse_loss

    def loss(e: Tensor) -> Tensor:
        return criterion(torch.func.functional_call(subject.model, {"weight": weight + e.view_as(weight)}, (x,)), y)

    rises = torch.vmap(loss)(grid) - loss(torch.zeros(2, dtype=torch.float64))
    return max(float(rises.max()), 0.0)


class Pair(nn.Module):
    """Two convolutions and two linear layers with ReLU between, without biases: each pair of layers can be rescaled."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, bias=False)
        self.following = nn.Conv2d(4, 3, 3, bias=False)
        self.first = nn.Linear(12, 6, bias=False)
        self.second = nn.Linear(6, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.following(torch.relu(self.conv(x)))).flatten(1)
        return self.second(torch.relu(self.first(hidden)))

    @torch.no_grad()
    def rescaled(self, alpha: float) -> Pair:
        """The same function of other weights."""
        for layer, factor in ((self.conv, alpha), (self.following, 1 / alpha), (self.first, alpha)):
            layer.weight.mul_(factor)
        self.second.weight.div_(alpha)
        return self


def pair_of_layers() -> Pair:
    torch.manual_seed(5)
    return Pair().double()


def images(samples: int = 24) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(samples, 1, 6, 6, generator=generator, dtype=torch.float64)
    return x, torch.randint(3, (samples,), generator=generator)


def network(model: nn.Module | None = None, size: int = 8, **options: object) -> Subject:
    return Subject(model or pair_of_layers(), nn.CrossEntropyLoss(), cut(*images(), size), **options)  # type: ignore[arg-type]
