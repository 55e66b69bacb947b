"""Small models with their criteria, in double precision, and their matrices written out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samnesia.measure.curvature.operators import Matrix, Product
from samnesia.measure.curvature.space import Space
from samnesia.measure.subject import Subject

SAMPLES, CLASSES = 22, 4


def cnn() -> nn.Module:
    """Convolution and BatchNorm, 232 parameters, whose dominant eigenvalue is given by `tilted` a sign."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(48, CLASSES))
    model.double()
    model(images())  # running statistics
    return model


class ViT(nn.Module):
    """A vision transformer of no size: patches, a class token, positions, attention, LayerNorm; 340 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 4, 3, stride=3)
        self.token = nn.Parameter(torch.randn(1, 1, 4))
        self.positions = nn.Parameter(0.1 * torch.randn(1, 5, 4))
        layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.2, activation="gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1) + self.positions
        return self.head(self.norm(self.blocks(tokens))[:, 0])


def vit() -> nn.Module:
    torch.manual_seed(0)
    return ViT().double()


def images() -> Tensor:
    return torch.randn(SAMPLES, 1, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def classes() -> Tensor:
    return torch.randint(0, CLASSES, (SAMPLES,), generator=torch.Generator().manual_seed(2))


def bce_summed(output: Tensor, target: Tensor) -> Tensor:
    """Over classes, and averaged over samples."""
    return F.binary_cross_entropy_with_logits(output, target, reduction="none").sum(1).mean()


def cubed(output: Tensor, target: Tensor) -> Tensor:
    """A user's own: not even convex in the output."""
    return (output.gather(1, target[:, None]) ** 3).mean() + 0.1 * output.square().mean()


@dataclass(frozen=True)
class Case:
    model: Callable[[], nn.Module]
    criterion: Callable[[Any, Tensor], Tensor]
    one_hot: bool = False

    def subject(self, model: nn.Module | None = None, **options: Any) -> Subject:
        """Over ragged batches."""
        return Subject(model or self.model(), self.criterion, self.batches(), **options)

    def batches(self) -> list[tuple[Tensor, Tensor]]:
        targets = F.one_hot(classes(), CLASSES).double() if self.one_hot else classes()
        return list(zip(images().split(9), targets.split(9), strict=True))


CASES = {
    "cnn, cross-entropy": Case(cnn, nn.CrossEntropyLoss()),
    "cnn, smoothed": Case(cnn, nn.CrossEntropyLoss(label_smoothing=0.1)),
    "cnn, bce": Case(cnn, bce_summed, one_hot=True),
    "cnn, mse": Case(cnn, nn.MSELoss(), one_hot=True),
    "cnn, own": Case(cnn, cubed),
    "vit, cross-entropy": Case(vit, nn.CrossEntropyLoss()),
    "vit, bce": Case(vit, bce_summed, one_hot=True),
}
DENSE = ["cnn, cross-entropy", "vit, cross-entropy", "cnn, own"]


def _everything(case: Case) -> tuple[nn.Module, list[Tensor], Tensor, Tensor]:
    """All samples in one batch, with no code of ours."""
    model = case.model().eval()
    targets = torch.cat([target for _, target in case.batches()])
    return model, [p for p in model.parameters() if p.requires_grad], images(), targets


def _row(found: Any) -> Tensor:
    return torch.cat([part.reshape(-1) for part in found])


@cache
def dense_hessian(name: str) -> Tensor:
    """Row by row, by autograd over all samples at once."""
    model, parameters, inputs, targets = _everything(CASES[name])
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        loss = CASES[name].criterion(model(inputs), targets)
        slope = _row(torch.autograd.grad(loss, parameters, create_graph=True))
        rows = [torch.autograd.grad(entry, parameters, retain_graph=True, materialize_grads=True) for entry in slope]
    return torch.stack([_row(row) for row in rows])


@cache
def dense_gauss_newton(name: str) -> Tensor:
    """Jacobian and the criterion's Hessian, written out."""
    model, parameters, inputs, targets = _everything(CASES[name])
    output = model(inputs)
    jacobian = torch.stack(
        [_row(torch.autograd.grad(z, parameters, retain_graph=True, materialize_grads=True)) for z in output.flatten()]
    )
    shape = output.shape
    inner = torch.autograd.functional.hessian(
        lambda z: CASES[name].criterion(z.view(shape), targets), output.detach().flatten()
    )
    return jacobian.T @ inner @ jacobian


@cache
def eigenvalues(name: str) -> Tensor:
    """Of the Hessian, ascending."""
    hessian = dense_hessian(name)
    torch.testing.assert_close(hessian, hessian.T, rtol=1e-9, atol=1e-11)
    return torch.linalg.eigvalsh(hessian)


@dataclass(frozen=True)
class Written(Matrix):
    """A matrix that is written out, for tests of what is done with products: they are fast."""

    matrix: Tensor

    def product(self, subject: Subject) -> Product:
        space = Space(subject)
        return Product("written", lambda batch, vector: space.split(self.matrix @ space.join(vector)))


def written(name: str) -> tuple[Subject, Written]:
    """The Hessian of a case, and a subject of one sample that has its parameters."""
    batches = [(images()[:1], CASES[name].batches()[0][1][:1])]
    return Subject(CASES[name].model(), CASES[name].criterion, batches), Written(dense_hessian(name))
