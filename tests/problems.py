"""Small problems for the battery, and what can be seen of a training state from outside."""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samnesia import Pass, PerturbedGradient

FEATURES, CLASSES = 4, 3


def network(*, norm: Callable[[int], nn.Module] = lambda _: nn.Identity(), dropout: float = 0.0) -> nn.Module:
    """A convolution and a fully connected layer in float64, on four features read as a 2 x 2 image.

    Weights of both kinds and biases: the scalings of ASAM differ on them.
    """
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 2)),
        nn.Conv2d(1, 5, 2, padding=1),
        norm(5),
        nn.Tanh(),
        nn.Dropout(dropout),
        nn.Flatten(),
        nn.Linear(45, CLASSES),
    ).double()


def batch(num_samples: int = 8, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num_samples, FEATURES, generator=generator, dtype=torch.float64)
    return x, torch.randint(CLASSES, (num_samples,), generator=generator)


def batches(count: int, num_samples: int = 8) -> list[tuple[Tensor, Tensor]]:
    return [batch(num_samples, seed=seed) for seed in range(count)]


def sgd(model: nn.Module, lr: float = 0.1, momentum: float = 0.9) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)


def loss_of(p: Pass, model: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, samples: Tensor | None = None) -> Tensor:
    """The loss of a pass as every method can be given it: of the samples that it selects, which are named."""
    x, y, samples = p.batch(x, y, torch.arange(len(x)) if samples is None else samples)
    return p.loss(model(x), y, samples=samples)


def criterion_of(method: PerturbedGradient, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The same in a closure."""
    x, y, samples = method.batch(x, y, torch.arange(len(x)))
    return method.criterion(model(x), y, samples)


def differentiate(
    method: PerturbedGradient,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    samples: Tensor | None = None,
    *,
    scale: float = 1.0,
) -> None:
    """All passes of one micro-batch."""
    for p in method.passes():
        loss = scale * loss_of(p, model, x, y, samples)
        if p.needs_gradient:
            loss.backward()


def train(method: PerturbedGradient, model: nn.Module, data: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Also with methods that step the optimizer by themselves."""
    for x, y in data:
        if method.inner is None:
            differentiate(method, model, x, y)
            method.optimizer.step()
            method.optimizer.zero_grad()
        else:
            step_inside(method, model, x, y)


def step_inside(method: PerturbedGradient, model: nn.Module, x: Tensor, y: Tensor) -> None:
    """A step with those of the optimizer between its passes."""
    for p in method.stepping():
        loss = loss_of(p, model, x, y)
        if p.needs_gradient:
            loss.backward()
    method.optimizer.zero_grad()


def train_plainly(model: nn.Module, optimizer: torch.optim.Optimizer, data: Iterable[tuple[Tensor, Tensor]]) -> None:
    """The base optimizer alone."""
    for x, y in data:
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """Every gradient; fails where one is missing."""
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def flat(tensors: dict[str, Tensor]) -> Tensor:
    return torch.cat([t.flatten() for t in tensors.values()])


def observed(model: nn.Module) -> dict[str, Tensor]:
    """Weights, gradients, buffers, modes and random state."""
    return {
        **weights(model),
        **{f"gradient of {name}": p.grad.clone() for name, p in model.named_parameters() if p.grad is not None},
        **{f"buffer {name}": b.clone() for name, b in model.named_buffers()},
        "modes": torch.tensor([m.training for m in model.modules()]),
        "random state": torch.get_rng_state(),
    }


def assert_same(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """The same names, bit for bit the same tensors."""
    assert actual.keys() == expected.keys()
    differing = [name for name in expected if not same_bits(actual[name], expected[name])]
    assert not differing


def same_bits(left: Tensor, right: Tensor) -> bool:
    """Also NaN equals NaN, and -0.0 is not 0.0."""
    left, right = left.detach().contiguous(), right.detach().contiguous()
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    return torch.equal(left.reshape(-1).view(torch.uint8), right.reshape(-1).view(torch.uint8))


def assert_close(actual: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-12) -> None:
    """Within `tolerance` of the norm of all tensors together."""
    assert actual.keys() == expected.keys()
    difference, size = (flat(actual) - flat(expected)).norm(), flat(expected).norm()
    assert difference <= tolerance * size, f"relative error {float(difference / size):.1e}"
