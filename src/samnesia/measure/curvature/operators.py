r"""Matrices of second derivatives as something to multiply with; one product is one pass over the batches.

The loss is :math:`L(w) = \frac1N \sum_i \ell(f_w(x_i), y_i)` over all samples of the subject, of ragged batches and of
all processes. A product with a batch's matrix is formed for each batch and averaged as the loss is.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor, nn

from samnesia.extras import require
from samnesia.measure.batches import Batch
from samnesia.measure.curvature.criterion import check_criterion, check_graph
from samnesia.measure.curvature.space import Space
from samnesia.measure.statistics import BatchStatistics, normalizers
from samnesia.measure.subject import Criterion, Subject
from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from samnesia.perturb.modules import parameters_kept

Ends = Literal["both", "largest", "smallest", "magnitude"]
"""Of a spectrum: algebraically, or the largest magnitudes wherever they lie."""


@dataclass(frozen=True, slots=True)
class Product:
    """How one batch's matrix is multiplied with a vector (a list of tensors like the parameters)."""

    name: str
    """Of the matrix, for results."""
    of: Callable[[Batch, list[Tensor]], Sequence[Tensor]]
    error: float = 0.0
    """How far a product may be off beyond rounding, relative to its size; 0 for exact derivatives."""


class Matrix(ABC):
    """A symmetric matrix over the trained parameters."""

    ends: ClassVar[Ends] = "both"
    """Where its eigenvalues are worth looking at."""

    @abstractmethod
    def product(self, subject: Subject) -> Product:
        """How it is multiplied with a vector, for a subject; raises UnsupportedError if it cannot be."""


@final
@dataclass(frozen=True, slots=True)
class Hessian(Matrix):
    r""":math:`H = \nabla^2 L(w)`, by differentiating the gradient once more (Pearlmutter, Neural Computation 1994).

    Parameters sharded by ``fully_shard`` have no second derivatives in torch: they get
    :class:`DifferenceHessian` instead, and the results say how far it may be off.
    """

    def product(self, subject: Subject) -> Product:
        """Two backwards per batch."""
        if subject.sharded:
            from samnesia.measure.curvature.finite import DifferenceHessian

            return DifferenceHessian().product(subject)
        check_criterion(subject)
        unseen = [True]

        def of(batch: Batch, vector: list[Tensor]) -> Sequence[Tensor]:
            with torch.enable_grad(), _twice("Hessian"):
                slope = subject.gradient_of(batch, create_graph=True)
                if unseen:
                    check_graph(slope)
                    unseen.clear()
                bent = [(g, v) for g, v in zip(slope, vector, strict=True) if g.requires_grad]
                if not bent:
                    return [torch.zeros_like(v) for v in vector]
                return torch.autograd.grad(
                    [g for g, _ in bent],
                    subject.parameters,
                    [v for _, v in bent],
                    allow_unused=True,
                    materialize_grads=True,
                )

        return Product("Hessian", of)


@final
@dataclass(frozen=True, slots=True)
class GaussNewton(Matrix):
    r"""The generalized Gauss-Newton matrix :math:`G = \frac1N \sum_i J_i^\top \nabla^2_f \ell_i\, J_i`.

    :math:`J_i` is the Jacobian of the output by the parameters. G is the Hessian without the curvature of the network
    itself; for a criterion that is convex in the output it has no negative eigenvalues (Schraudolph, Neural Computation
    2002), and for cross-entropy it is the Fisher information. By curvlinops' ``GGNLinearOperator``.

    Raises (when it is used):
        UnsupportedError: for sharded parameters, for statistics of each batch, or for an output that is no tensor.
    """

    ends: ClassVar[Ends] = "largest"

    def product(self, subject: Subject) -> Product:
        """One forward with tangents, one more and one backward per batch."""
        _check_gauss_newton(subject)
        check_criterion(subject)
        slot: list[Any] = [(torch.zeros(1), torch.zeros(1))]  # the batch at hand: the subject does the loop
        operator = _curvlinops().GGNLinearOperator(
            subject.model,
            _Mean(subject.criterion),
            subject.parameters,
            slot,
            check_deterministic=False,
            num_data=1,
            batch_size_fn=lambda _: 1,
        )

        def of(batch: Batch, vector: list[Tensor]) -> Sequence[Tensor]:
            slot[0] = batch
            with _twice("Gauss-Newton matrix"), _no_fast_path(), parameters_kept(subject.model):
                found: list[Tensor] = operator @ vector
            return found

        return Product("Gauss-Newton", of)


class Operator:
    """A matrix bound to a subject: ``operator(vector)`` is the product with a flat vector, in one pass.

    Raises:
        UnsupportedError: for a model or criterion that cannot be differentiated as the matrix needs.
        ConfigurationError: for a product that is not finite.
    """

    def __init__(self, subject: Subject, matrix: Matrix) -> None:
        self.subject, self.space = subject, Space(subject)
        self._product = matrix.product(subject)
        self.name, self.error = self._product.name, self._product.error
        self.products = 0

    def __call__(self, vector: Tensor) -> Tensor:
        """The product with a flat vector."""
        parts = self.space.split(vector)
        found = self.space.join(self.subject.mean(lambda batch: self._product.of(batch, parts)))
        self.products += 1
        if not math.isfinite(self.space.norm(found)):
            raise ConfigurationError(
                f"cannot measure curvature here, because a product with the {self.name} is not finite; look for "
                "samples or weights at which loss or gradient are NaN or infinite"
            )
        return found


class _Mean(nn.Module):
    """A criterion as curvlinops asks for it: a module that names its reduction."""

    reduction = "mean"

    def __init__(self, criterion: Criterion) -> None:
        super().__init__()
        self.criterion = criterion

    def forward(self, output: Any, target: Tensor) -> Tensor:
        """The criterion."""
        return self.criterion(output, target)


def _check_gauss_newton(subject: Subject) -> None:
    if subject.sharded:
        raise UnsupportedError(
            "cannot multiply with the Gauss-Newton matrix of sharded parameters, because torch has no tangents for "
            "them; give matrix=Hessian(), which is then formed by differences of gradients"
        )
    if isinstance(subject.statistics, BatchStatistics) and normalizers(subject.model):
        raise UnsupportedError(
            "cannot multiply with the Gauss-Newton matrix by the statistics of each batch, because it is a sum over "
            "samples, and these are no longer independent; leave statistics= out, or give matrix=Hessian()"
        )
    with subject.looking(), torch.no_grad():
        output = subject.model(next(subject.batches())[0])
    if not isinstance(output, Tensor):
        raise UnsupportedError(
            f"cannot multiply with the Gauss-Newton matrix of a model whose output is a {type(output).__name__}, "
            "because its Jacobian is that of one tensor; wrap the model to return the tensor that the criterion takes, "
            "or give matrix=Hessian()"
        )


@contextmanager
def _twice(name: str) -> Iterator[None]:
    """Say in words that something has no second derivative."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, NotImplementedError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UnsupportedError(
            f"cannot multiply with the {name} of this model and criterion, because they cannot be differentiated as it "
            f"needs ({reason}); give matrix=DifferenceHessian(), which needs first derivatives alone"
        ) from error


@contextmanager
def _no_fast_path() -> Iterator[None]:
    """Without torch's fused attention layers for inference, which have no tangents."""
    kept = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(kept)


def _curvlinops() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch itself, where tangents are used for the first time
        module = require("curvlinops", extra="analysis")
        torch.func.jvp(torch.sin, (torch.zeros(1),), (torch.zeros(1),))
    return module
