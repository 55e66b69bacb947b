"""The directions in which a training run moved most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from samnesia.measure.landscape.directions import Axis
from samnesia.measure.landscape.weights import OtherWeights, weights_of
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError

_FLAT = 1e-10  # second variance over the first, from which on a path is a straight line


@dataclass(frozen=True, slots=True, eq=False)
class PrincipalDirections:
    """What :func:`principal_directions` found.

    Attributes:
        axes: two orthogonal directions of length 1.
        path: coordinates of each checkpoint along them, the subject's weights being (0, 0).
        explained: share of the variance along each.
        outside: distance of each checkpoint from the plane, as a share of the longest way from the subject's weights to
            a checkpoint.
    """

    axes: tuple[Axis, Axis]
    path: tuple[tuple[float, float], ...]
    explained: tuple[float, float]
    outside: tuple[float, ...]


@torch.no_grad()
def principal_directions(subject: Subject, checkpoints: Sequence[OtherWeights]) -> PrincipalDirections:
    r"""The two leading principal components of checkpoints (Li et al., NeurIPS 2018).

    With :math:`x_i = w_i - w` for checkpoints :math:`w_i` and the subject's weights w (one point more, unless a
    checkpoint is equal to them) and :math:`\bar x` their mean: the leading right singular vectors :math:`d_k` of the
    rows :math:`x_i - \bar x`, by their Gram matrix in double precision, one tensor of all checkpoints at a time. The
    shares of variance are :math:`s_k^2 / \sum_l s_l^2`, coordinates are :math:`\langle x_i, d_k \rangle`. Signs are
    such that the first checkpoint has no negative coordinate.

    Raises:
        ConfigurationError: for checkpoints of another architecture, or fewer than three points that are not on a line.
    """
    trajectory = [weights_of(subject, checkpoint) for checkpoint in checkpoints]
    points = _Points(subject, trajectory)
    gram = points.gram()
    if len(trajectory) and bool((gram.diagonal() > 0.0).all()):
        points, gram = (
            _Points(subject, [*trajectory, subject.weights.tensors]),
            torch.nn.functional.pad(gram, (0, 1, 0, 1)),
        )
    count = len(gram)
    centre = torch.eye(count, dtype=torch.float64) - 1.0 / max(count, 1)
    values, vectors = torch.linalg.eigh(centre @ gram @ centre) if count else (gram[0:0], gram)
    if count < 3 or not values[-2] > _FLAT * values[-1]:
        raise ConfigurationError(
            f"cannot lay a plane through {len(trajectory)} checkpoint{'s' * (len(trajectory) != 1)}, because with the "
            "subject's weights they are no three points off one line; give more checkpoints, or look along the way "
            "with line() and direction_to()"
        )
    leading = vectors[:, [-1, -2]].T * values[[-1, -2], None].rsqrt() @ centre  # directions as sums of the points
    coordinates = gram @ leading.T
    signs = torch.where(coordinates[0] < 0.0, -1.0, 1.0).double()
    coordinates, leading = (coordinates * signs)[: len(trajectory)], leading * signs[:, None]
    squares = gram.diagonal()[: len(trajectory)]
    left = (squares - coordinates.square().sum(1)).clamp_min(0.0)
    total = float(values.clamp_min(0.0).sum())
    shares = (float(values[-1]) / total, float(values[-2]) / total)
    axes = (
        Axis(points.combined(leading[0]), f"1st principal direction ({shares[0]:.1%} of variance)"),
        Axis(points.combined(leading[1]), f"2nd principal direction ({shares[1]:.1%} of variance)"),
    )
    return PrincipalDirections(
        axes,
        tuple((float(a), float(b)) for a, b in coordinates),
        shares,
        tuple((left / squares.max()).sqrt().tolist()),
    )


class _Points:
    """Checkpoints as seen from the subject's weights."""

    def __init__(self, subject: Subject, trajectory: Sequence[Sequence[Tensor]]) -> None:
        self._weights, self._trajectory = subject.weights, trajectory

    def gram(self) -> Tensor:
        """Inner products of the points with one another, over all processes that hold a share of the weights."""
        count = len(self._trajectory)
        total = torch.zeros(count, count, dtype=torch.float64)
        for index in range(len(self._weights.tensors) if count else 0):
            rows = self._rows(index)
            total += self._weights.reduce_tensor(index, rows @ rows.T).cpu()
        return total

    def combined(self, coefficients: Tensor) -> tuple[Tensor, ...]:
        """The sum of the points times the coefficients."""
        return tuple(
            (coefficients.to(tensor.device) @ self._rows(index)).view(tensor.shape).to(tensor.dtype)
            for index, tensor in enumerate(self._weights.tensors)
        )

    def _rows(self, index: int) -> Tensor:
        origin = self._weights.tensors[index].double().reshape(-1)
        return torch.stack(
            [tensors[index].to(origin.device, torch.float64).reshape(-1) - origin for tensors in self._trajectory]
        )
