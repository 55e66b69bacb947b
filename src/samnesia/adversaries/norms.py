"""How large a change of an image is: by its largest change of a pixel, or by its Euclidean length.

Changes have the shape ``[n, channels, height, width]``; each sample has a ball of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samnesia.data.draws import uniforms


class Norm(ABC):
    """A norm of changes, and what an attack needs of it."""

    @property
    @abstractmethod
    def name(self) -> str:
        """In options and results."""

    @property
    @abstractmethod
    def symbol(self) -> str:
        """For people."""

    @abstractmethod
    def size(self, change: Tensor) -> Tensor:
        """The norm of each sample's change, ``[n]``."""

    @abstractmethod
    def steepest(self, gradient: Tensor) -> Tensor:
        """The change of size 1 along which each sample's loss rises most; 0 where its gradient is 0."""

    @abstractmethod
    def project(self, change: Tensor, eps: float) -> Tensor:
        """The nearest change (in the Euclidean sense) of size ``eps`` at most."""

    @abstractmethod
    def uniform(self, entries: int, *, key: tuple[int, ...]) -> NDArray[np.float64]:
        """A change of so many entries, drawn uniformly from the ball of size 1 by its key alone."""


@dataclass(frozen=True)
class Linf(Norm):
    r""":math:`\max_i |\delta_i|`."""

    @property
    def name(self) -> str:
        """In options and results."""
        return "linf"

    @property
    def symbol(self) -> str:
        """For people."""
        return "L∞"

    def size(self, change: Tensor) -> Tensor:
        """The largest change of a pixel."""
        return change.flatten(1).abs().amax(1)

    def steepest(self, gradient: Tensor) -> Tensor:
        """The signs of the gradient."""
        return gradient.sign()

    def project(self, change: Tensor, eps: float) -> Tensor:
        """Entries cut to -eps and eps."""
        return change.clamp(-eps, eps)

    def uniform(self, entries: int, *, key: tuple[int, ...]) -> NDArray[np.float64]:
        """Entries of -1 to 1."""
        return 2.0 * uniforms(entries, key=key) - 1.0


@dataclass(frozen=True)
class L2(Norm):
    r""":math:`\sqrt{\sum_i \delta_i^2}`."""

    @property
    def name(self) -> str:
        """In options and results."""
        return "l2"

    @property
    def symbol(self) -> str:
        """For people."""
        return "L2"

    def size(self, change: Tensor) -> Tensor:
        """The length."""
        length: Tensor = torch.linalg.vector_norm(change.flatten(1), dim=1)
        return length

    def steepest(self, gradient: Tensor) -> Tensor:
        """The gradient over its length; scaled before, so that squares of small entries do not vanish."""
        largest = gradient.flatten(1).abs().amax(1)
        scaled = gradient / _each(torch.where(largest > 0, largest, 1.0), gradient)
        return scaled / _each(self.size(scaled).clamp(min=1.0), gradient)

    def project(self, change: Tensor, eps: float) -> Tensor:
        """Shortened to the length eps where it is longer."""
        length = self.size(change)
        return change * _each(torch.where(length > eps, eps / length.clamp(min=_TINY), 1.0), change)

    def uniform(self, entries: int, *, key: tuple[int, ...]) -> NDArray[np.float64]:
        """A direction of the sphere, and a length whose power of the dimension is uniform."""
        drawn = torch.from_numpy(uniforms(entries + 1, key=key) + 2.0**-54)  # never 0, of which there is no normal
        direction = torch.special.ndtri(drawn[:-1])
        ball: NDArray[np.float64] = (direction * (drawn[-1] ** (1.0 / entries) / direction.norm())).numpy()
        return ball


NORMS: dict[str, Norm] = {norm.name: norm for norm in (Linf(), L2())}
"""By their names."""
_TINY = 1e-30


def _each(values: Tensor, like: Tensor) -> Tensor:
    """A number for each sample, to be multiplied with its entries."""
    return values.view(-1, *(1,) * (like.ndim - 1)).to(like.dtype)
