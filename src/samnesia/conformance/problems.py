"""Small models and batches for the rows, and what can be seen of a training state from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samnesia.conformance.adapters import Differentiate, Subject
from samnesia.conformance.outcome import Violation

TOLERANCE = 1e-6  # of weights in float64: far above rounding, also of a norm in float32, and far below any mistake
FEATURES, HIDDEN, CLASSES = 4, 8, 3
Batch = tuple[Tensor, Tensor]


class Net(nn.Module):
    """Two linear layers in float64, with a norm layer and dropout between them where asked for.

    Of three heads, each forward uses the one that `branch` names.
    """

    def __init__(self, *, norm: nn.Module | None = None, dropout: float = 0.0, heads: int = 1) -> None:
        super().__init__()
        self.trunk = nn.Linear(FEATURES, HIDDEN)
        self.norm = norm or nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleList(nn.Linear(HIDDEN, CLASSES) for _ in range(heads))
        self.double()

    def forward(self, x: Tensor, branch: int = 0) -> Tensor:
        """Logits."""
        output: Tensor = self.heads[branch](self.dropout(torch.tanh(self.norm(self.trunk(x)))))
        return output


def network(*, norm: nn.Module | None = None, dropout: float = 0.0, heads: int = 1) -> Net:
    """The same weights at every call."""
    torch.manual_seed(1)
    return Net(norm=norm, dropout=dropout, heads=heads)


def batches(count: int, *, samples: int = 8) -> list[Batch]:
    """The same batches at every call."""
    generator = torch.Generator().manual_seed(2)
    return [
        (
            torch.randn(samples, FEATURES, generator=generator, dtype=torch.float64),
            torch.randint(CLASSES, (samples,), generator=generator),
        )
        for _ in range(count)
    ]


def backward(loss: Tensor) -> Tensor:
    """Differentiate a loss and return it."""
    loss.backward()
    return loss


def pass_over(model: nn.Module, batch: Batch) -> Differentiate:
    """Forward, cross entropy and backward on a batch, alike in every pass."""
    x, y = batch
    return lambda index: backward(F.cross_entropy(model(x), y))


def train(subject: Subject, model: nn.Module, data: Iterable[Batch]) -> None:
    """An ordinary step for every batch."""
    for batch in data:
        subject.step(pass_over(model, batch))


def train_plainly(model: nn.Module, optimizer: torch.optim.Optimizer, data: Iterable[Batch]) -> None:
    """The base optimizer alone."""
    for batch in data:
        pass_over(model, batch)(0)
        optimizer.step()
        optimizer.zero_grad()


def whole(tensor: Tensor) -> Tensor:
    """A copy of a tensor, gathered from its shards if it has any."""
    from torch.distributed.tensor import DTensor

    detached = tensor.detach()
    return detached.full_tensor().clone() if isinstance(detached, DTensor) else detached.clone()


def weights(model: nn.Module) -> Tensor:
    """All parameters in one vector of double precision, tied ones once."""
    return torch.cat([whole(p).flatten().double() for p in model.parameters()])


def perturbation(subject: Subject, model: nn.Module, differentiate: Differentiate) -> Tensor:
    """How far the weights are from where they were, in the last pass of a step."""
    before, seen = weights(model), []

    def look(index: int) -> Tensor:
        seen.append(weights(model))
        return differentiate(index)

    subject.step(look)
    return seen[-1] - before


def distance(left: Tensor, right: Tensor) -> float:
    """The largest difference of two vectors; infinite where one is not finite."""
    difference = (left - right).abs()
    return float(difference.max()) if difference.isfinite().all() else float("inf")


def expect_close(actual: Tensor, expected: Tensor, tolerance: float, what: str) -> None:
    """Raise Violation unless two vectors agree within `tolerance`; `what` says what differs "by" how much."""
    apart = distance(actual, expected)
    if not apart <= tolerance:
        raise Violation(f"{what} by {apart:.1e}" if apart != float("inf") else f"{what}: some are not finite")


def expect_same(actual: Tensor, expected: Tensor, what: str) -> None:
    """Raise Violation unless two vectors are equal in every entry."""
    apart = distance(actual, expected)
    if not apart <= 0.0:
        count = int((actual != expected).sum())
        raise Violation(f"{what} by up to {apart:.1e} ({count} of {len(actual)} entries)")


def expect_finite(model: nn.Module, when: str) -> None:
    """Raise Violation if a weight is NaN or infinite."""
    bad = int((~weights(model).isfinite()).sum())
    if bad:
        raise Violation(f"{bad} of {len(weights(model))} weights are not finite {when}")


def attempt(action: Callable[[], object]) -> Exception | None:
    """The exception that an action raises, if any."""
    try:
        action()
    except Exception as error:
        return error
    return None


def counted_steps(subject: Subject) -> list[int]:
    """A list that gets an entry per step that hooks on the user's optimizer see."""
    steps: list[int] = []
    subject.optimizer.register_step_post_hook(lambda *_: steps.append(1))
    return steps
