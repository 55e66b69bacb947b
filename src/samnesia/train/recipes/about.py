"""What stands beside a recipe: where it comes from, what was published for it, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from samnesia.train.config import RunConfig

Mark = Literal["code", "text", "unverified"]
"""How a fact is known: read in the authors' code, read in a published text, or remembered and to be checked."""

A100_FLOPS = 312e12
"""Peak of an A100 in bfloat16, in floating-point operations per second (its data sheet)."""
ASSUMED_SHARE = 0.4
"""Share of the peak that the estimates assume; small images and small chunks reach less."""


@dataclass(frozen=True)
class Published:
    """A number that somebody has published."""

    value: float
    """The number, in percent."""
    measure: Literal["accuracy", "error"]
    """What it is: top-1 accuracy or error on the test set."""
    source: str
    """Paper, and where in it."""
    mark: Mark
    """How the number is known here."""

    def __str__(self) -> str:
        """As it is printed: ``error 16.5 % (Foret et al.; text)``."""
        return f"{self.measure} {self.value:g} % ({self.source}; {self.mark})"


@dataclass(frozen=True)
class About:
    """What a recipe reproduces."""

    source: str
    """The paper, and where the settings stand."""
    images: int
    """Training images of an epoch, for the estimate of the cost."""
    gmacs: float
    """Multiply-adds of one image's forward pass, in 1e9, for the estimate of the cost."""
    published: Published | None = None
    """What its authors report; None where that is not known here."""
    yardstick: Published | None = None
    """The nearest number that others report for the same setting; never to be quoted as the authors' own."""

    def gpu_hours(self, config: RunConfig) -> float:
        """Estimate the hours on one A100: six operations per multiply-add and image, at 40 % of the bf16 peak.

        A gradient is a forward pass and a backward pass of twice its cost, and a multiply-add is two operations. Data
        loading, evaluation and everything that is not a convolution or a matrix product are left out.
        """
        operations = 6e9 * self.gmacs * self.images * config.epochs * gradients_per_image(config)
        return operations / (ASSUMED_SHARE * A100_FLOPS) / 3600


def gradients_per_image(config: RunConfig) -> float:
    """Gradient evaluations per image of a run on average; a forward pass alone counts as a third of one."""
    return config.gradient_evaluations(_STEPS) / (config.epochs * _STEPS)


_STEPS = 100_000
"""Steps per epoch: so many that it does not matter how many there are."""
