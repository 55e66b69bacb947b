"""Random perturbations, and how large they are for a given radius."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from samnesia.measure.sharpness.hill import Around, Offsets
from samnesia.perturb.parts.ball import Ball, Generators


class Noise(ABC):
    """A distribution of perturbations e, in the coordinates ``e / T`` of a ball; symmetric about zero."""

    @abstractmethod
    def draw(self, around: Around, generators: Generators) -> Offsets:
        """A perturbation for the radius of `around`; the same on every process that shares the generators' seed."""

    @property
    @abstractmethod
    def words(self) -> str:
        """What it is and how large, for a result."""

    @abstractmethod
    def meaning(self, ball: Ball) -> str:
        """What rho is of it, as a formula."""


@final
@dataclass(frozen=True, slots=True)
class OnSphere(Noise):
    """Of size rho exactly: for L2 Gaussian noise over its norm, for L∞ a random corner.

    Every draw lies in the ball of the worst case, which it therefore never exceeds, and is the perturbation of
    :func:`samnesia.random_perturbation`. For k weights it is Gaussian noise of variance rho²/k, but for the spread of
    its length, about ``1 / sqrt(2 k)`` of it.
    """

    def draw(self, around: Around, generators: Generators) -> Offsets:
        """A random point of the sphere."""
        return [e.mul_(around.rho) for e in around.ball.random(around.weights, generators).values()]

    @property
    def words(self) -> str:
        """Size rho."""
        return "random perturbations of size rho exactly"

    def meaning(self, ball: Ball) -> str:
        """The ball's own: it lies in it."""
        return ball.describe()


@final
@dataclass(frozen=True, slots=True)
class EntrywiseGaussian(Noise):
    """``e / T ~ N(0, rho²)`` in each entry (average-case sharpness of Andriushchenko et al., ICML 2023, L2).

    Its expected 2-norm in the ball's coordinates is about ``rho sqrt(k)`` for k weights: sqrt(k) times the radius of a
    worst case with the same rho, so that the two do not compare at equal rho.
    """

    def draw(self, around: Around, generators: Generators) -> Offsets:
        """``rho T z``."""
        return _scaled(around, around.weights.gaussian(generators))

    @property
    def words(self) -> str:
        """Size rho times the root of the number of weights."""
        return "Gaussian noise (expected 2-norm of e / T: rho sqrt(k) for k weights)"

    def meaning(self, ball: Ball) -> str:
        """Its standard deviation."""
        return _entrywise("N(0, rho²)", ball)


@final
@dataclass(frozen=True, slots=True)
class EntrywiseUniform(Noise):
    """``e / T ~ U(-rho, rho)`` in each entry (the L∞ form of Andriushchenko et al., ICML 2023).

    It lies in the L∞ ball of the radius; its expected 2-norm is about ``rho sqrt(k / 3)`` for k weights.
    """

    def draw(self, around: Around, generators: Generators) -> Offsets:
        """``rho T u``; a Gaussian entry z becomes uniform by ``erf(z / sqrt(2))``."""
        return _scaled(around, [torch.erf(z / 2.0**0.5) for z in around.weights.gaussian(generators)])

    @property
    def words(self) -> str:
        """Inside the cube."""
        return "uniform noise (expected 2-norm of e / T: rho sqrt(k / 3) for k weights)"

    def meaning(self, ball: Ball) -> str:
        """Its range."""
        return _entrywise("U(-rho, rho)", ball)


def _entrywise(law: str, ball: Ball) -> str:
    scaling = ball.scaling.describe()
    return f"e / T ~ {law} in each entry, {scaling}" if scaling else f"e ~ {law} in each entry"


def _scaled(around: Around, entries: list[Tensor]) -> Offsets:
    factors = around.ball.scaling.factors(around.weights)
    return [z * around.rho if t is None else z * t * around.rho for z, t in zip(entries, factors, strict=True)]
