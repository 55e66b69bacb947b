"""What two workers measure together."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard

from samnesia.measure.curvature.finite import DifferenceHessian
from samnesia.measure.curvature.operators import GaussNewton, Hessian, Matrix, Operator
from samnesia.measure.curvature.spectrum import eigenpairs
from samnesia.measure.curvature.trace import moments
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import SamnesiaError
from samnesia.perturb.tensors import local
from tests.distributed import problems

Batches = list[tuple[Tensor, Tensor]]
MATRICES: dict[str, Matrix] = {
    "hessian": Hessian(),
    "gauss-newton": GaussNewton(),
    "differences": DifferenceHessian(),
}


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(11, 1, 5, 5, dtype=torch.float64, generator=generator)
    return inputs, torch.randint(problems.CLASSES, (11,), generator=generator)


def share(rank: int | None) -> Batches:
    """Ragged batches of all samples, or of a rank's unequal part of them."""
    inputs, targets = data()
    cuts = {None: [0, 4, 8, 11], 0: [0, 4, 7], 1: [7, 8, 11]}[rank]
    return [(inputs[a:b], targets[a:b]) for a, b in zip(cuts[:-1], cuts[1:], strict=True)]


def figures(subject: Subject, matrix: str) -> dict[str, Any]:
    """Everything that is compared with one process."""
    operator = Operator(subject, MATRICES[matrix])
    vector = operator.space.gaussian(3)
    product = operator(vector)
    pairs = eigenpairs(subject, 2, matrix=MATRICES[matrix], ends="largest", tolerance=1e-3, max_products=40)
    found = moments(subject, matrix=MATRICES[matrix], vectors=2)
    return {
        "dot": float(operator.space.inner(vector[None], product)[0]),
        "norm": operator.space.norm(product),
        "product": product.numpy(),
        "values": [pair.value for pair in pairs.pairs],
        "residuals": [pair.residual for pair in pairs.pairs],
        "passes": pairs.products,
        "trace": found.trace.value,
        "norm_of_matrix": found.frobenius_norm.value,
        "samples": subject.samples,
        "error": pairs.error,
        "name": pairs.matrix,
    }


def alone(matrix: str) -> dict[str, Any]:
    return figures(Subject(problems.network(), nn.CrossEntropyLoss(), share(None)), matrix)


def together(matrix: str) -> dict[str, Any]:
    model = nn.parallel.DistributedDataParallel(problems.network())
    return figures(Subject(model, nn.CrossEntropyLoss(), share(dist.get_rank()), distributed=True), matrix)


def sharded_model(nested: bool) -> nn.Module:
    model = problems.network()
    for layer in (model.conv, model.middle, model.head) if nested else ():
        fully_shard(layer)
    return fully_shard(model)


def sharded(nested: bool, same_data: bool) -> dict[str, Any]:
    """By differences of gradients; the weights, their gradients and the mode are afterwards what they were."""
    model = sharded_model(nested)
    parameters = list(model.parameters())
    for p in parameters:
        p.grad = torch.full_like(p, 0.5)
    before = [(local(p.detach()).clone(), p.grad) for p in parameters]
    batches = share(None) if same_data else share(dist.get_rank())
    subject = Subject(model, nn.CrossEntropyLoss(), batches, distributed=not same_data)
    loss = subject.loss()
    gradient = [part.flatten() for part in subject.gradient()]
    with subject.looking(), subject.at([torch.full_like(part, 0.05) for part in subject.weights.tensors]):
        moved = subject.loss()
    with subject.looking(), torch.no_grad():
        subject.loss_of(batches[0])  # leaves the root's weights gathered
        with subject.at([torch.full_like(part, 0.05) for part in subject.weights.tensors]):
            assert subject.loss() == moved
        assert subject.loss() == loss
    found = figures(subject, "hessian")
    assert model.training
    for p, (value, slope) in zip(model.parameters(), before, strict=True):
        assert torch.equal(local(p.detach()), value)
        assert p.grad is slope and bool((local(slope) == 0.5).all())
    return {
        **found,
        "loss": loss,
        "moved": moved,
        "slope": float(subject.weights.norm(subject.gradient())),
        "parts": len(gradient),
    }


def refused(what: str) -> str:
    """What is said about something that sharded models cannot."""
    model = sharded_model(True)
    try:
        if what == "gauss-newton":
            Operator(Subject(model, nn.CrossEntropyLoss(), share(None)), GaussNewton())
        Subject(model, nn.CrossEntropyLoss(), share(None)[: 1 + dist.get_rank()], distributed=True)
    except SamnesiaError as error:
        return str(error)
    return "nothing"
