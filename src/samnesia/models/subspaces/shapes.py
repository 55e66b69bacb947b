"""Shapes of a subspace: how many endpoints it has, and what a place on it is made of.

A place is a share of each endpoint, and the shares sum to one: the net there has the weights ``sum_i share_i * w_i``
(Wortsman et al., "Learning Neural Network Subspaces", ICML 2021, section 3). Endpoints are counted from 0.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samnesia.perturb.errors import ConfigurationError

if TYPE_CHECKING:
    from torch import Tensor

MOST_ENDPOINTS = 64
Shares = tuple[float, ...]
"""Of each endpoint."""
Position = float | Sequence[float]
"""Along a line or a curve a number from 0 to 1; on a simplex, as on any shape, the share of each endpoint."""


@dataclass(frozen=True, kw_only=True)
class Shape(ABC):
    """What all shapes share."""

    beta: float = 1.0
    """Strength of the penalty ``beta * cos^2`` of two endpoints, which drives them apart; 0 is none."""
    layerwise: bool = False
    """Draw a place for every layer by itself, and not one for the whole net."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.beta < math.inf:
            raise ConfigurationError(
                f"cannot drive endpoints apart with beta {self.beta}, because it is the strength of a penalty; use 1, "
                "or 0 for none"
            )

    @property
    @abstractmethod
    def endpoints(self) -> int:
        """How many there are."""

    @property
    @abstractmethod
    def called(self) -> str:
        """What it is called in a sentence: ``a line``."""

    @property
    def centre_called(self) -> str:
        """What its centre is called."""
        return "midpoint"

    @property
    @abstractmethod
    def centre(self) -> Shares:
        """The place where the net is evaluated: the midpoint, of a simplex the barycentre."""

    @abstractmethod
    def numbers(self) -> int:
        """How many uniform numbers a place is drawn from."""

    @abstractmethod
    def drawn(self, uniform: Tensor) -> Tensor:
        """The places that uniform numbers of [0, 1) make: from ``[places, numbers]`` to ``[places, endpoints]``.

        Places are uniform along the parameter of a line or a curve, and over a simplex.
        """

    @abstractmethod
    def shares(self, position: Position) -> Shares:
        """The shares at a position; raises ConfigurationError for one that is none of this shape."""

    @abstractmethod
    def ways(self, points: int) -> dict[str, list[tuple[float, Shares]]]:
        """Ways over the shape by name: positions to plot against, and the shares there."""

    def corners(self) -> list[Shares]:
        """The shares at each endpoint."""
        return [tuple(float(i == j) for j in range(self.endpoints)) for i in range(self.endpoints)]

    def _given(self, shares: Iterable[float]) -> Shares:
        """Shares that a user gives himself."""
        found = tuple(float(share) for share in shares)
        if len(found) != self.endpoints or not math.isclose(sum(found), 1.0, abs_tol=1e-6):
            raise ConfigurationError(
                f"cannot stand at {found} on {self.called}, because a place there is {self.endpoints} shares that sum "
                "to one, one of each endpoint; give such shares"
            )
        return found


@dataclass(frozen=True, kw_only=True)
class _Path(Shape):
    """A shape along one parameter, from the first endpoint at 0 to the last one at 1."""

    @property
    def centre(self) -> Shares:
        """The midpoint of the parameter."""
        return self.shares(0.5)

    def numbers(self) -> int:
        """One: the parameter."""
        return 1

    def shares(self, position: Position) -> Shares:
        """The shares at a value of the parameter."""
        if not isinstance(position, (int, float)):
            return self._given(position)
        if not math.isfinite(position):
            raise ConfigurationError(
                f"cannot stand at {position} on {self.called}, because a place there is a number; use one from 0 to 1"
            )
        import torch

        found = self.drawn(torch.tensor([[float(position)]], dtype=torch.float64))
        return tuple(found[0].tolist())

    def ways(self, points: int) -> dict[str, list[tuple[float, Shares]]]:
        """From the first endpoint to the last."""
        steps = [i / (points - 1) for i in range(points)]
        return {"along": [(step, self.shares(step)) for step in steps]}


@dataclass(frozen=True, kw_only=True)
class Line(_Path):
    """A line between two endpoints: ``(1 - a) w_0 + a w_1`` with ``a ~ U(0, 1)``."""

    @property
    def endpoints(self) -> int:
        """Two."""
        return 2

    @property
    def called(self) -> str:
        """In a sentence."""
        return "a line"

    def drawn(self, uniform: Tensor) -> Tensor:
        """``(1 - a, a)``."""
        import torch

        return torch.cat([1.0 - uniform, uniform], dim=1)


@dataclass(frozen=True, kw_only=True)
class Curve(_Path):
    """A quadratic Bezier curve: ``(1 - a)^2 w_0 + 2 a (1 - a) w_1 + a^2 w_2`` with ``a ~ U(0, 1)``.

    It begins in the first endpoint and ends in the last; the one between is where it bends to.
    """

    @property
    def endpoints(self) -> int:
        """Three, with the one that it bends to."""
        return 3

    @property
    def called(self) -> str:
        """In a sentence."""
        return "a curve"

    def drawn(self, uniform: Tensor) -> Tensor:
        """``((1 - a)^2, 2 a (1 - a), a^2)``."""
        import torch

        rest = 1.0 - uniform
        return torch.cat([rest * rest, 2.0 * uniform * rest, uniform * uniform], dim=1)


@dataclass(frozen=True)
class Simplex(Shape):
    """A simplex between n endpoints: ``sum_i z_i w_i``, where z is uniform over all shares that sum to one."""

    n: int = 3
    """How many endpoints."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.n <= MOST_ENDPOINTS:
            raise ConfigurationError(
                f"cannot span a simplex of {self.n} endpoints, because it has 2 to {MOST_ENDPOINTS}; use 3, say"
            )

    @property
    def endpoints(self) -> int:
        """n."""
        return self.n

    @property
    def called(self) -> str:
        """In a sentence."""
        return f"a simplex of {self.n} endpoints"

    @property
    def centre_called(self) -> str:
        """What its centre is called."""
        return "barycentre"

    @property
    def centre(self) -> Shares:
        """The barycentre."""
        return (1.0 / self.n,) * self.n

    def numbers(self) -> int:
        """One for each endpoint."""
        return self.n

    def drawn(self, uniform: Tensor) -> Tensor:
        """``Z / sum(Z)`` with ``Z_i = -log(1 - u_i) ~ Exp(1)``: the Dirichlet distribution with all parameters 1."""
        exponential = -(-uniform).log1p()
        return exponential / exponential.sum(dim=1, keepdim=True)

    def shares(self, position: Position) -> Shares:
        """The shares themselves."""
        if isinstance(position, (int, float)):
            raise ConfigurationError(
                f"cannot stand at {position} on {self.called}, because a place there is a share of each endpoint; give "
                f"{self.n} numbers that sum to one"
            )
        return self._given(position)

    def ways(self, points: int) -> dict[str, list[tuple[float, Shares]]]:
        """From each endpoint, at 0, to the barycentre, at 1."""
        steps = [i / (points - 1) for i in range(points)]
        return {
            f"from endpoint {i}": [(step, tuple((1.0 - step) * c + step / self.n for c in corner)) for step in steps]
            for i, corner in enumerate(self.corners())
        }


AnyShape = Line | Curve | Simplex
