"""Directions in the space of the trained parameters: random ones, given ones, and those towards other weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from samnesia.measure.landscape.weights import OtherWeights, as_tensors, weights_of
from samnesia.measure.subject import Subject
from samnesia.measure.traceless import seeded
from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.modules import parameter_name
from samnesia.perturb.tensors import Weights

_NORMALIZING = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """A direction with a name: one tensor per trained parameter, in the order of ``subject.parameters``."""

    tensors: tuple[Tensor, ...]
    label: str


Direction = Axis | Sequence[Tensor]
"""What lines and planes go along: an :class:`Axis`, or tensors in the order of ``subject.parameters``."""


def given_direction(subject: Subject, tensors: Sequence[Tensor], *, label: str = "given direction") -> Axis:
    """A direction from tensors, such as an eigenvector of the Hessian, as it is (not normalized).

    Raises:
        ConfigurationError: for tensors of other shapes, or not finite.
    """
    found = [
        t.to(p.device, p.dtype)
        for t, p in zip(as_tensors(subject, tensors, "this direction"), subject.parameters, strict=True)
    ]
    if not all(bool(t.isfinite().all()) for t in found):
        raise ConfigurationError(
            f"cannot go along {label!r}, because a direction has to be finite and this one has NaN or infinite "
            "entries; look at where it comes from"
        )
    return Axis(tuple(found), label)


def as_axis(subject: Subject, direction: Direction) -> Axis:
    """The direction, checked to be one of this subject."""
    if isinstance(direction, Axis):
        return given_direction(subject, direction.tensors, label=direction.label)
    return given_direction(subject, direction)


def random_direction(subject: Subject, *, seed: int = 0, vectors: bool = False) -> Axis:
    r"""A filter-normalized random direction (Li et al., NeurIPS 2018): where each filter moves by its own size.

    Gaussian noise :math:`d`, of which each filter is scaled to the norm of the model's filter,
    :math:`d_j \leftarrow \lVert w_j \rVert \, d_j / \lVert d_j \rVert`; see :func:`filter_normalized` for what a filter
    is. Position 1 on such a line is a move as long as the weights that move, and networks that differ only by a
    rescaling of filters (ReLU, BatchNorm) have equal lines.

    Args:
        subject: whose weights.
        seed: of the noise. Each tensor's noise is the same whether ``vectors`` move or not, and on every process.
        vectors: whether biases and the parameters of normalization layers move, too, each normalized as one vector.
    """
    noise = subject.weights.gaussian(seeded(seed))
    return Axis(tuple(filter_normalized(subject, noise, vectors=vectors)), f"random direction (seed {seed})")


def filter_normalized(subject: Subject, tensors: Sequence[Tensor], *, vectors: bool = False) -> list[Tensor]:
    r"""Each filter of a direction scaled to the norm of the model's own filter, once per tensor.

    Filters are the slices along the first dimension of tensors with two dimensions or more: the filters of a
    convolution, the rows of a linear layer (what makes one unit). A filter of zeros, in the model or in the direction,
    gives zeros.

    ``vectors`` are told by their names and owners: biases (the last part of the name ends with "bias"), the parameters
    of normalization layers, and other tensors with fewer than two dimensions. They are left out (zero), or normalized
    as one vector each.
    """
    weights, found = subject.weights, []
    alone = vector_names(subject)
    for index, direction in enumerate(as_tensors(subject, tensors, "this direction")):
        if subject.names[index] not in alone:
            wanted, size = (_filter_norms(weights, index, t) for t in (weights.tensors[index], direction))
        elif vectors:
            wanted, size = (_whole_norm(weights, index, t) for t in (weights.tensors[index], direction))
        else:
            found.append(torch.zeros_like(direction))
            continue
        found.append(direction * torch.where(size > 0.0, wanted / size, 0.0))
    return found


def vector_names(subject: Subject) -> set[str]:
    """The trained parameters that have no filters: biases, those of normalization layers, and other vectors."""
    normalizing = {
        id(p)
        for module in subject.model.modules()
        if isinstance(module, _NORMALIZING)
        for p in module.parameters(recurse=False)
    }
    return {
        name
        for name, p in zip(subject.names, subject.parameters, strict=True)
        if p.ndim < 2 or parameter_name(name).endswith("bias") or id(p) in normalizing
    }


def direction_to(subject: Subject, other: OtherWeights, *, label: str = "way to the other weights") -> Axis:
    """``w' - w``: position 0 is the subject's weights, position 1 the other ones.

    Raises:
        ConfigurationError: for weights of another architecture.
    """
    pairs = zip(weights_of(subject, other), subject.weights.tensors, strict=True)
    return given_direction(subject, [v.to(w.device, w.dtype) - w for v, w in pairs], label=label)


def orthogonalized(subject: Subject, direction: Direction, against: Direction) -> Axis:
    r"""The part of a direction that is orthogonal to another, at the length that it had.

    :math:`d' = \lVert d \rVert\, r / \lVert r \rVert` with :math:`r = d - \frac{\langle d, a \rangle}{\langle a, a
    \rangle} a`. In high dimension two random directions are nearly orthogonal already.

    Raises:
        ConfigurationError: for directions that are parallel, or zero.
    """
    first, second, weights = as_axis(subject, direction), as_axis(subject, against), subject.weights
    length = weights.norm(first.tensors)
    rest = list(first.tensors)
    for _ in range(2):  # once more for what rounding left of the first
        share = weights.dot(rest, second.tensors) / weights.dot(second.tensors, second.tensors)
        rest = [d - share.to(d.device, d.dtype) * a for d, a in zip(rest, second.tensors, strict=True)]
    size = weights.norm(rest)
    if not bool(size > 100.0 * torch.finfo(size.dtype).eps * length):
        raise ConfigurationError(
            f"cannot span a plane by {first.label!r} and {second.label!r}, because they are parallel or one is zero; "
            "choose another direction"
        )
    factor = length / size
    return Axis(tuple(d * factor.to(d.device, d.dtype) for d in rest), first.label)


def combined(axes: Sequence[Axis], coefficients: Sequence[float]) -> list[Tensor]:
    """The sum of the axes times their coefficients."""
    total = [coefficients[0] * t for t in axes[0].tensors]
    for axis, coefficient in zip(axes[1:], coefficients[1:], strict=True):
        for sums, t in zip(total, axis.tensors, strict=True):
            sums.add_(t, alpha=coefficient)
    return total


def _filter_norms(weights: Weights, index: int, tensor: Tensor) -> Tensor:
    squares = tensor.double().square().sum(dim=tuple(range(1, tensor.ndim)), keepdim=True)
    return weights.reduce_tensor(index, squares, kept_dimension=0).sqrt().to(tensor.dtype)


def _whole_norm(weights: Weights, index: int, tensor: Tensor) -> Tensor:
    return weights.reduce_tensor(index, tensor.double().square().sum()).sqrt().to(tensor.dtype)
